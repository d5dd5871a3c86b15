//! What was wrong with a mail, as values.

use std::fmt;

/// One thing that [`parse`](crate::parse) had to bend, guess or leave undone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Defect {
    /// Longer than `max_raw_bytes`: the body is one opaque attachment.
    TooLarge {
        /// Length of the mail in bytes.
        bytes: usize,
    },
    /// More parts than `max_parts`: the rest is one opaque attachment.
    TooManyParts,
    /// Nested deeper than `max_depth`: the deeper multipart is an opaque attachment.
    TooDeep,
    /// A header block longer than `max_header_bytes` or with more than `max_headers` fields: the rest of it is skipped.
    HeadersTruncated,
    /// More encoded words than `max_encoded_words`: the later ones stay as they were sent.
    TooManyEncodedWords,
    /// More addresses in one field than `max_addresses`: the later ones are only in the headers.
    TooManyAddresses,
    /// More recipients in a report than `max_recipients`: the later ones are only in the attachment.
    TooManyRecipients,
    /// A line in a header block that is neither a field nor a continuation; skipped.
    BadHeaderLine,
    /// The body begins without the blank line that ends a header block.
    MissingBlankLine,
    /// A multipart without a boundary parameter.
    NoBoundary,
    /// A boundary that never appears: the multipart's body is taken as text.
    BoundaryNotFound,
    /// A multipart that is not closed.
    UnclosedMultipart,
    /// Content before the first or behind the last part of a multipart; kept in [`Mail::stray`](crate::Mail::stray).
    StrayText,
    /// base64 with characters that do not belong there, or cut short; decoded leniently.
    BadBase64,
    /// Quoted-printable with raw 8-bit bytes or broken escapes; these are passed through.
    BadQuotedPrintable,
    /// A Content-Transfer-Encoding that is not known; the bytes are kept as they are.
    UnknownEncoding(String),
    /// A charset that is not known; guessed.
    UnknownCharset(String),
    /// Bytes that the declared charset does not have.
    BadCharset(String),
    /// NUL characters, removed from text (they are kept in attachments and in the raw mail).
    NulRemoved,
    /// A Date that cannot be read or lies outside 1970..2100.
    BadDate(String),
    /// A Date that lies days behind the last Received: a mail is not received before it is sent.
    LateDate(String),
    /// A winmail.dat that is none or ends early; what could be read of it is listed.
    BadTnef,
    /// No From field, or none with an address.
    NoFrom,
    /// A file name with a path or control characters; cleaned.
    UnsafeFilename(String),
    /// HTML too long or too deeply nested to render: its tags are cut out.
    HtmlNotRendered,
    /// More decoded bytes than `max_decoded_bytes`: the later parts are attachments as they were sent, undecoded, what later
    /// files enclose is not taken out, and text that is made of long HTML is cut.
    TooMuchDecoded,
    /// More work than `max_work`: what takes long is left out.
    TooMuchWork,
}

impl Defect {
    /// The kebab-case code of this defect, fit for a label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::TooManyParts => "too-many-parts",
            Self::TooDeep => "too-deep",
            Self::HeadersTruncated => "headers-truncated",
            Self::TooManyEncodedWords => "too-many-encoded-words",
            Self::TooManyAddresses => "too-many-addresses",
            Self::TooManyRecipients => "too-many-recipients",
            Self::BadHeaderLine => "bad-header-line",
            Self::MissingBlankLine => "missing-blank-line",
            Self::NoBoundary => "no-boundary",
            Self::BoundaryNotFound => "boundary-not-found",
            Self::UnclosedMultipart => "unclosed-multipart",
            Self::StrayText => "stray-text",
            Self::BadBase64 => "bad-base64",
            Self::BadQuotedPrintable => "bad-quoted-printable",
            Self::UnknownEncoding(_) => "unknown-encoding",
            Self::UnknownCharset(_) => "unknown-charset",
            Self::BadCharset(_) => "bad-charset",
            Self::NulRemoved => "nul-removed",
            Self::BadDate(_) => "bad-date",
            Self::LateDate(_) => "late-date",
            Self::BadTnef => "bad-tnef",
            Self::NoFrom => "no-from",
            Self::UnsafeFilename(_) => "unsafe-filename",
            Self::HtmlNotRendered => "html-not-rendered",
            Self::TooMuchDecoded => "too-much-decoded",
            Self::TooMuchWork => "too-much-work",
        }
    }

    /// What is known beyond the code: at most 80 characters of what was found.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::TooLarge { bytes } => Some(format!("{bytes} bytes")),
            Self::UnknownEncoding(text)
            | Self::UnknownCharset(text)
            | Self::BadCharset(text)
            | Self::BadDate(text)
            | Self::LateDate(text)
            | Self::UnsafeFilename(text) => Some(text.chars().filter(|c| !c.is_control()).take(80).collect()),
            _ => None,
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())?;
        match self.detail() {
            Some(detail) if !detail.is_empty() => write!(f, ": {detail}"),
            _ => Ok(()),
        }
    }
}

/// Defects as they are found: each kind at most [`Found::MAX_EACH`] times, so that a mail with a million broken
/// words has a short list.
#[derive(Debug, Default)]
pub(crate) struct Found(Vec<Defect>);

impl Found {
    const MAX_EACH: usize = 8;

    /// Notes a defect, unless it is there already or its kind is there often enough.
    pub(crate) fn note(&mut self, defect: Defect) {
        let same_kind = self.0.iter().filter(|d| d.code() == defect.code());
        if same_kind.count() < Self::MAX_EACH && !self.0.contains(&defect) {
            self.0.push(defect);
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_vec(self) -> Vec<Defect> {
        self.0
    }
}
