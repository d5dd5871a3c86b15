//! What a multipart holds outside its parts: the preamble before the first, the epilogue behind the last
//! (RFC 2046 section 5.1.1).
//!
//! Readers are told to ignore both, and all do: what stands there is no attachment and belongs to no text. Yet people
//! and machines have put content there (list footers, the words of a bounce, a second mail, parts behind a boundary
//! that closed too early). It is kept in [`Mail::stray`](crate::Mail::stray), beside what other readers show, and named
//! as a defect. The usual note to readers without MIME is no content.

use crate::charsets;
use crate::defect::Defect;
use crate::mail::Attachment;
use crate::transfer;
use crate::words::Decoder;
use mailfleet_model::Disposition;

/// Where text outside the parts of a multipart stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Before the first part.
    Preamble,
    /// Behind the last part.
    Epilogue,
}

impl Place {
    /// `preamble` or `epilogue`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preamble => "preamble",
            Self::Epilogue => "epilogue",
        }
    }
}

/// Content that a multipart holds outside its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Where it stood.
    pub place: Place,
    /// What stood there, line ends as LF, without NUL characters: UTF-8 where the bytes are, else the charset of the
    /// mail, else windows-1252.
    pub text: String,
}

impl Stray {
    /// As a file, for whoever stores attachments and has no other place for it: `preamble.txt` or `epilogue.txt`.
    #[must_use]
    pub fn into_attachment(self) -> Attachment {
        Attachment {
            filename: Some(format!("{}.txt", self.place.as_str())),
            mime_type: "text/plain".to_owned(),
            content: self.text.into_bytes(),
            disposition: Disposition::Attachment,
            content_id: None,
        }
    }

    /// Reads what stood at a place; `None` where that is nothing, or the usual note.
    pub(crate) fn read(place: Place, raw: &[u8], decoder: &mut Decoder) -> Option<Self> {
        if raw.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        let raw = transfer::lf(raw);
        if place == Place::Preamble && is_usual_note(&raw) {
            return None;
        }
        decoder.found.note(Defect::StrayText);
        let text = charsets::guess_with(&raw, &decoder.hint).into_owned();
        Some(Self { place, text: decoder.clean(text) })
    }
}

/// Whether this is no more than what mail programs write for readers that know no MIME. In every language each paragraph
/// of it names MIME or the multipart, and it is short. Its length is counted with line ends as LF: a mail must read the
/// same with both.
fn is_usual_note(preamble: &[u8]) -> bool {
    const LONGEST: usize = 1_000;
    if preamble.len() > LONGEST {
        return false;
    }
    let lines: Vec<&[u8]> = preamble.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).collect();
    lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty()).all(names_mime)
}

fn names_mime(lines: &[&[u8]]) -> bool {
    const WORDS: &[&[u8]] = &[b"mime", b"multipart", b"multi-part"];
    lines.iter().any(|line| {
        // `pantomime` is no word of these.
        let begins = |at: usize| at.checked_sub(1).is_none_or(|before| !line[before].is_ascii_alphabetic());
        let is_word = |word: &[u8]| {
            line.windows(word.len()).enumerate().any(|(at, w)| w.eq_ignore_ascii_case(word) && begins(at))
        };
        WORDS.iter().any(|word| is_word(word))
    })
}

#[cfg(test)]
mod tests {
    use crate::{Limits, parse};

    /// Places and texts, and how often the defect is named.
    fn strays(raw: &str) -> (Vec<(&'static str, String)>, usize) {
        let parsed = parse(raw.as_bytes(), &Limits::default());
        let named = parsed.defects.iter().filter(|defect| defect.code() == "stray-text").count();
        assert!(parsed.mail.attachments.is_empty(), "{:?}", parsed.mail.attachments);
        (parsed.mail.stray.into_iter().map(|stray| (stray.place.as_str(), stray.text)).collect(), named)
    }

    const MIXED: &str = "From: a@b.org\nContent-Type: multipart/mixed; boundary=b\n\n";

    #[test]
    fn a_preamble_and_an_epilogue_with_content_are_kept_and_named() {
        let (kept, named) =
            strays(&format!("{MIXED}Your order:\r\n5\0 pears\n--b\n\ntext\n--b--\n\n-- \nThe list\n"));
        let wanted =
            [("preamble", "Your order:\n5 pears".to_owned()), ("epilogue", "\n-- \nThe list\n".to_owned())];
        assert_eq!((kept, named), (wanted.to_vec(), 1));
    }

    #[test]
    fn the_note_to_readers_without_mime_is_no_content() {
        for note in [
            "This is a multi-part message in MIME format.",
            "Dies ist eine mehrteilige Nachricht im MIME-Format.",
        ] {
            assert_eq!(strays(&format!("{MIXED}{note}\n--b\n\ntext\n--b--\n\n \n")), (vec![], 0));
        }
        let beside = "This is a multi-part message in MIME format.\n\nYour order: 5 pears";
        assert_eq!(strays(&format!("{MIXED}{beside}\n--b\n\ntext\n--b--\n")).0[0].1, beside);
        // Behind the parts it is none.
        assert_eq!(strays(&format!("{MIXED}--b\n\ntext\n--b--\nSee the MIME part\n")).1, 1);
    }

    #[test]
    fn a_word_that_holds_mime_makes_no_note() {
        let (kept, _) = strays(&format!("{MIXED}Our pantomime is on Friday\n--b\n\ntext\n--b--\n"));
        assert_eq!(kept, [("preamble", "Our pantomime is on Friday".to_owned())]);
    }

    #[test]
    fn stray_text_is_in_the_charset_of_the_mail() {
        let text = "--b\nContent-Type: text/plain; charset=koi8-r\n\ntext\n--b--\n";
        let raw = [MIXED.as_bytes(), text.as_bytes(), b"\xf0\xd2\xc9\n"].concat();
        let mail = parse(&raw, &Limits::default()).mail;
        assert_eq!(mail.stray[0].text, "При\n");
    }

    #[test]
    fn how_long_a_note_is_does_not_depend_on_its_line_ends() {
        let mail = format!("{MIXED}MIME\n{}--b\n\ntext\n--b--\n", "x\n".repeat(490));
        assert_eq!(strays(&mail), strays(&mail.replace('\n', "\r\n")));
        assert_eq!(strays(&mail).0, vec![]);
    }

    #[test]
    fn a_part_behind_the_closing_boundary_is_not_lost() {
        let (kept, _) =
            strays(&format!("{MIXED}--b\n\ntext\n--b--\n--b\nContent-Type: image/gif\n\nR0lGOD\n"));
        assert!(kept.iter().any(|(place, text)| *place == "epilogue" && text.contains("R0lGOD")), "{kept:?}");
    }

    #[test]
    fn a_multipart_of_nothing_but_a_preamble_is_its_text() {
        let parsed = parse(format!("{MIXED}all there is\n--b--\nfoot\n").as_bytes(), &Limits::default());
        assert_eq!(parsed.mail.content_text(), "all there is");
        assert_eq!(parsed.mail.stray.len(), 1);
    }

    #[test]
    fn stray_text_can_be_stored_as_a_file() {
        let mail = parse(format!("{MIXED}--b\n\ntext\n--b--\nfoot").as_bytes(), &Limits::default()).mail;
        let file = mail.stray.into_iter().next().unwrap().into_attachment();
        assert_eq!((file.filename.as_deref(), file.content.as_slice()), (Some("epilogue.txt"), &b"foot"[..]));
    }
}
