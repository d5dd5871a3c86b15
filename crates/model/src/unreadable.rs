//! What stood in an entry that nobody could read, kept byte for byte with its dead letter.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::envelope::{Envelope, EnvelopeError};
use crate::job::JobId;

/// Bytes kept of one entry; no entry of ours has more beside its mail. What is beyond is cut, and the letter says so.
const MAX_BYTES: usize = 8 << 20;

/// The fields of an entry, in their order; the raw mail is kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    unreadable: Vec<(Word, Word)>,
}

/// A name or a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Word {
    /// Text that JSON and PostgreSQL take as it is.
    Text(String),
    /// Anything else.
    Bytes {
        base64: String,
        /// How many bytes there were, where not all are kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<usize>,
    },
}

impl Word {
    /// Keeps `bytes` as far as there is room.
    fn keep(bytes: &[u8], room: &mut usize) -> Self {
        let kept = bytes.get(..*room).unwrap_or(bytes);
        *room -= kept.len();
        let whole = kept.len() == bytes.len();
        match std::str::from_utf8(kept) {
            Ok(text) if whole && !text.contains(char::is_control) => Self::Text(text.to_owned()),
            _ => Self::Bytes { base64: BASE64.encode(kept), of: (!whole).then_some(bytes.len()) },
        }
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.clone().into_bytes()),
            Self::Bytes { base64, of: None } => BASE64.decode(base64.as_bytes()).ok(),
            Self::Bytes { of: Some(_), .. } => None,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Bytes { base64, of: None } => format!("(base64) {base64}"),
            Self::Bytes { base64, of: Some(of) } => format!("(base64, cut; {of} bytes in all) {base64}"),
        }
    }
}

impl Unreadable {
    /// Of these names and values.
    #[must_use]
    pub fn new(fields: &[(Vec<u8>, Vec<u8>)]) -> Self {
        let mut room = MAX_BYTES;
        let mut keep = |bytes: &[u8]| Word::keep(bytes, &mut room);
        Self { unreadable: fields.iter().map(|(name, value)| (keep(name), keep(value))).collect() }
    }

    /// For the letter, in the place of its envelope.
    #[must_use]
    pub fn to_json(&self) -> Value {
        // Unwrap safety: lists of strings and numbers always serialise.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Read back from a letter; `None` where an envelope stands there.
    #[must_use]
    pub fn read(json: &Value) -> Option<Self> {
        // Tried only where it can be one: an envelope has no such key.
        json.get("unreadable")?;
        Self::deserialize(json).ok()
    }

    /// Names and values for people.
    #[must_use]
    pub fn shown(&self) -> Vec<(String, String)> {
        self.unreadable.iter().map(|(name, value)| (name.shown(), value.shown())).collect()
    }

    /// The first value of this name, if all of it was kept.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Vec<u8>> {
        let is = |word: &Word| word.bytes().is_some_and(|bytes| bytes == name.as_bytes());
        self.unreadable.iter().find(|(word, _)| is(word))?.1.bytes()
    }
}

/// Why there is no envelope in a dead letter by which its job could be done again.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// It cannot be read; perhaps another version can.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// It is that of another job.
    #[error("its envelope is that of {0}")]
    OfAnother(JobId),
    /// Its entry had none.
    #[error("its entry had no envelope")]
    None,
}

impl Envelope {
    /// The envelope in a dead letter of this job: as it travelled, or found among the fields of an entry that was
    /// [`Unreadable`] when it died.
    pub fn of_letter(json: &Value, job: &JobId) -> Result<Self, LetterError> {
        let envelope = match Unreadable::read(json) {
            Some(entry) => Self::decode(&entry.value("e").ok_or(LetterError::None)?)?,
            None => Self::decode(json.to_string().as_bytes())?,
        };
        if envelope.job_id() != *job {
            return Err(LetterError::OfAnother(envelope.job_id()));
        }
        Ok(envelope)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(e: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        vec![(b"j".to_vec(), b"e:7".to_vec()), (b"e".to_vec(), e.to_vec())]
    }

    proptest! {
        #[test]
        fn every_byte_comes_back_through_json(e in prop::collection::vec(any::<u8>(), 0..200), x in any::<Vec<u8>>()) {
            let mut fields = fields(&e);
            fields.push((x.clone(), e.clone()));
            let kept = Unreadable::new(&fields);
            let text = kept.to_json().to_string();
            prop_assert!(!text.contains("\\u0000"));
            let read = Unreadable::read(&serde_json::from_str(&text).unwrap()).unwrap();
            prop_assert_eq!(&read, &kept);
            prop_assert_eq!(read.value("e"), Some(e));
            prop_assert_eq!(read.shown().len(), 3);
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_says_that_it_was_cut() {
        let kept =
            Unreadable::new(&[(b"e".to_vec(), vec![b'x'; 9 << 20]), (b"more".to_vec(), b"y".to_vec())]);
        assert!(kept.to_json().to_string().len() < 12 << 20);
        assert_eq!((kept.value("e"), kept.shown().len()), (None, 2));
        assert!(kept.shown()[0].1.contains("9437184 bytes in all"));
    }

    #[test]
    fn a_letter_gives_back_the_envelope_of_its_own_job_alone() {
        let json = serde_json::json!({
            "v": 1, "kind": "events", "inbox": 7, "size": 0, "internal_date_ms": null, "enqueued_at_ms": 5, "encoding": "identity"
        });
        let (job, other) = (JobId::parse("e:7").unwrap(), JobId::parse("e:8").unwrap());
        let kept = Unreadable::new(&fields(json.to_string().as_bytes())).to_json();
        for json in [&json, &kept] {
            assert_eq!(Envelope::of_letter(json, &job).unwrap().job_id(), job);
            assert!(matches!(Envelope::of_letter(json, &other), Err(LetterError::OfAnother(_))));
        }
        let rubbish = Unreadable::new(&fields(b"\xff\x00")).to_json();
        assert!(matches!(Envelope::of_letter(&rubbish, &job), Err(LetterError::Envelope(_))));
        assert!(matches!(Envelope::of_letter(&Unreadable::new(&[]).to_json(), &job), Err(LetterError::None)));
    }
}
