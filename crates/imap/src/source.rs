//! What the rest of the fleet sees of a mail server: a trait, so that another client library stays possible.

use std::ops::ControlFlow;
use std::time::Duration;

use mailfleet_model::{Uid, UidValidity};

use crate::error::Result;
use crate::interrupt::Interrupt;

/// A mailbox that was opened read-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Selected {
    /// The epoch of the UIDs. `None` where the server tells none or 0 even when asked again by STATUS; such a
    /// mailbox has no UIDs that last (RFC 3501 §2.3.1.1).
    pub uidvalidity: Option<UidValidity>,
    /// The lowest UID the next message can get. `None` where the server tells none or 0.
    pub uidnext: Option<u32>,
    /// Messages in the mailbox when it was opened.
    pub exists: u32,
    /// HIGHESTMODSEQ (RFC 7162); `None` where the server or mailbox keeps none.
    pub highest_modseq: Option<u64>,
}

/// What a listing tells about one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UidInfo {
    /// The message.
    pub uid: Uid,
    /// RFC822.SIZE in bytes; servers may estimate it. 0 where the server tells none.
    pub size: u64,
    /// INTERNALDATE in milliseconds since 1970.
    pub internal_date_ms: Option<i64>,
    /// Flags such as `\Seen`.
    pub flags: Vec<String>,
}

/// One message, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The message.
    pub uid: Uid,
    /// Flags such as `\Seen`.
    pub flags: Vec<String>,
    /// INTERNALDATE in milliseconds since 1970.
    pub internal_date_ms: Option<i64>,
    /// Length of `raw` in bytes.
    pub size: u64,
    /// The mail as the server holds it.
    pub raw: Vec<u8>,
}

/// What became of a fetch. Every UID asked for is in exactly one of `arrived`, `oversize` and `missing`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FetchReport {
    /// UIDs whose mail was given to the sink, ascending.
    pub arrived: Vec<Uid>,
    /// Mail longer than `max_message_bytes`, with its length: read past and not kept.
    pub oversize: Vec<(Uid, u64)>,
    /// UIDs that did not come, ascending: expunged, or left out by the server. [`MailSource::still_there`] tells
    /// which; the cursor must not move past one that is still there.
    pub missing: Vec<Uid>,
    /// What the server said when it ended the fetch with NO, such as `[EXPUNGEISSUED]`.
    pub refused: Option<String>,
    /// The sink broke off; what had not come by then counts as missing.
    pub stopped: bool,
}

/// One mailbox of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxInfo {
    /// The name as people read it; can be given to [`MailSource::examine`].
    pub name: String,
    /// Separates the levels of the name; `None` for a flat name.
    pub delimiter: Option<String>,
    /// Whether it can be opened (no `\Noselect` or `\NonExistent`).
    pub selectable: bool,
    /// Attributes such as `\Sent` (RFC 6154), as told.
    pub attributes: Vec<String>,
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The number of messages changed: list what is new.
    NewMail,
    /// Nothing was told in the whole time.
    Timeout,
    /// [`Interrupt::raise`] was called.
    Interrupted,
}

/// One logged-in connection.
///
/// Any error except [`Error::NoSuchMailbox`](crate::Error::NoSuchMailbox) and
/// [`Error::Refused`](crate::Error::Refused) ends the connection: every later call fails at once, drop it and connect
/// again. After an error of `list_uids`, `search_uids` or `fetch` nothing is known about the messages that were not
/// handed over: no cursor may move past them.
pub trait MailSource: Send {
    /// Opens a mailbox read-only (EXAMINE): nothing in it changes, no mail becomes read.
    fn examine(&mut self, mailbox: &str) -> Result<Selected>;

    /// One page of messages with UID ≥ `from`, ascending; empty only if there are none. To list all, go on from
    /// the last UID + 1 until a page is empty. A page is bounded by `list_window`.
    fn list_uids(&mut self, from: u32) -> Result<Vec<UidInfo>>;

    /// The UIDs in `from..=to` that the server holds, ascending.
    fn search_uids(&mut self, from: u32, to: u32) -> Result<Vec<Uid>>;

    /// Which of `uids` the server still holds, ascending. Tells an expunged message from one that a fetch left out.
    fn still_there(&mut self, uids: &[Uid]) -> Result<Vec<Uid>>;

    /// Fetches whole messages (`BODY.PEEK[]`) and gives each to `sink` the moment it has come, so that a batch is
    /// never held. Time spent in `sink` does not count against the server. When `sink` breaks, the rest of the
    /// answer is read and thrown away.
    fn fetch(
        &mut self,
        uids: &[Uid],
        sink: &mut dyn FnMut(Fetched) -> ControlFlow<()>,
    ) -> Result<FetchReport>;

    /// All mailboxes of the account, as told; may be empty for a moment on some servers, so never delete by it.
    fn list_mailboxes(&mut self) -> Result<Vec<MailboxInfo>>;

    /// Waits until the open mailbox has news, by IDLE or by asking now and then (see
    /// [`Waits`](crate::Waits)). News that came with any
    /// answer since the last `examine`, and that no wait has told yet, end it at once. A listing takes no news back,
    /// because only its reader knows whether the end of the mailbox was what it looked at: it costs one look more
    /// where it was, and no mail waits where it was not.
    fn wait(&mut self, at_most: Duration, interrupt: &Interrupt) -> Result<Wake>;

    /// What the server says it can do after login, sorted, such as `IDLE`, `CONDSTORE`, `UIDPLUS`.
    fn capabilities(&self) -> &[String];

    /// Whether new mail is told by IDLE; otherwise it is asked for.
    fn idles(&self) -> bool;

    /// Says goodbye. Errors only tell that the server did not answer.
    fn logout(self: Box<Self>) -> Result<()>;
}
