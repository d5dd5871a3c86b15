//! Why a call is not taken.

/// Why a call is not taken. The texts go to the sender: they hold no secret, and nothing of ours that it does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read, or has not the shape that the provider's calls have.
    #[error("{0}")]
    Malformed(String),
    /// It is not known to come from the provider, or too old to be new.
    #[error("{0}")]
    Unverified(String),
    /// Our side cannot verify: the secret of the endpoint is no secret of this provider. The call may come again.
    #[error("{0}")]
    Unconfigured(String),
}

impl Refusal {
    pub(crate) fn malformed(text: impl Into<String>) -> Self {
        Self::Malformed(text.into())
    }

    pub(crate) fn unverified(text: impl Into<String>) -> Self {
        Self::Unverified(text.into())
    }

    pub(crate) fn unconfigured(text: impl Into<String>) -> Self {
        Self::Unconfigured(text.into())
    }
}
