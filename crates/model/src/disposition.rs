//! Where a part stands in its mail.

use serde::{Deserialize, Serialize};

/// How a part is meant to be shown (RFC 2183).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disposition {
    /// Within the text, such as an image the HTML refers to.
    Inline,
    /// Beside the text.
    Attachment,
}

impl Disposition {
    /// `inline` or `attachment`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Attachment => "attachment",
        }
    }
}
