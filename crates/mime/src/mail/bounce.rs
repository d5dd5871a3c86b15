//! What a report says of the mail that it is about, and of each of its recipients.

use crate::bounce::reason::Reason;

/// How final a bounce is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BounceKind {
    /// The address is dead: never write there again.
    Hard,
    /// This mail, this time.
    Soft,
    /// Not a failure: the recipient complained.
    Complaint,
    /// Not a failure: a report that the mail was delivered, relayed or expanded.
    Delivered,
}

impl BounceKind {
    /// `hard`, `soft`, `complaint` or `delivered`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Soft => "soft",
            Self::Complaint => "complaint",
            Self::Delivered => "delivered",
        }
    }
}

/// What a delivery report or complaint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounce {
    /// The worst of its recipients.
    pub kind: BounceKind,
    /// Every recipient the report names, in its order.
    pub recipients: Vec<Recipient>,
    /// Message-ID of the returned mail, without angle brackets.
    pub original_message_id: Option<String>,
    /// What else the report returns of the mail it is about.
    pub original: Original,
}

/// The mail that a report returns, whole, as headers only, or inside its text: what it can be matched by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Original {
    /// The fields of its header in their order: lower-case name, decoded value. Empty where nothing is returned.
    pub headers: Vec<(String, String)>,
    /// The addresses of its To and Cc fields.
    pub recipients: Vec<String>,
}

/// What a delivery report says of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The address, without its type (`rfc822;`) and angle brackets.
    pub address: String,
    /// The address that the sender wrote to (Original-Recipient, RFC 3464 §2.3.1), where the report tells it and it is
    /// another: the mail was forwarded.
    pub original: Option<String>,
    /// Enhanced status code (RFC 3463), such as `5.1.1`.
    pub status: Option<String>,
    /// `failed`, `delayed`, `delivered`, `relayed` or `expanded`, where the report says so.
    pub action: Option<String>,
    /// What the remote server said, on one line.
    pub diagnostic: Option<String>,
    /// The server that said so.
    pub remote_mta: Option<String>,
    /// Three digits of the SMTP reply, such as 550.
    pub reply_code: Option<u16>,
    /// Why, in the established vocabulary.
    pub reason: Reason,
    /// How final it is.
    pub kind: BounceKind,
}
