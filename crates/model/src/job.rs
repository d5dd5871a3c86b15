//! Job ids: deterministic, so that the same mail is the same job however often it is enqueued.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::envelope::Work;
use crate::ids::{AccountId, InboxId, InvalidId, MailboxId, Uid, UidValidity};
use crate::lane::Lane;

/// Longest name of an entry that names no job, in bytes: its queue has 100 at most.
const UNNAMED_MAX: usize = 180;

/// Where a mail stands on its server: the identity of a mail job and the key of its ledger row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MailRef {
    /// The account it was fetched from.
    pub account: AccountId,
    /// The folder within the account.
    pub mailbox: MailboxId,
    /// The epoch the UID belongs to.
    pub uidvalidity: UidValidity,
    /// The message's number.
    pub uid: Uid,
}

/// The name of one unit of work, the same for the same mail for ever.
///
/// Mail: `m:<account>:<mailbox>:<uidvalidity>:<uid>`. Events: `e:<inbox row>`. Other kinds of work take another first
/// letter. An entry of the queue that names no job is kept as a dead letter by where it stood,
/// `u:<queue>:<partition>:<lane>:<entry id>`, which is no work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// The job of one mail.
    #[must_use]
    pub fn mail(at: &MailRef) -> Self {
        Self(format!("m:{}:{}:{}:{}", at.account.0.simple(), at.mailbox, at.uidvalidity, at.uid))
    }

    /// The job of what one webhook call brought.
    #[must_use]
    pub fn events(inbox: InboxId) -> Self {
        Self(format!("e:{inbox}"))
    }

    /// The name of an entry that names no job itself.
    #[must_use]
    pub fn unnamed(queue: &str, partition: u16, lane: Lane, entry: &str) -> Self {
        Self(format!("u:{queue}:{partition}:{lane}:{entry}"))
    }

    /// Whether this is the name of an entry that named no job.
    #[must_use]
    pub fn is_unnamed(&self) -> bool {
        let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let mut parts = self.0.rsplitn(4, ':');
        let (Some(entry), Some(lane), Some(partition), Some(queue)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        let is_entry = entry.split_once('-').is_some_and(|(ms, number_in)| number(ms) && number(number_in));
        let is_queue = queue
            .strip_prefix("u:")
            .is_some_and(|queue| !queue.is_empty() && !queue.contains(char::is_whitespace));
        is_entry
            && is_queue
            && number(partition)
            && lane.parse::<Lane>().is_ok()
            && self.0.len() <= UNNAMED_MAX
    }

    /// A job id read back from Redis, PostgreSQL or an operator's keyboard.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let id = Self(text.to_owned());
        if id.work().is_some() || id.is_unnamed() {
            return Ok(id);
        }
        Err(InvalidId {
            what: "job id",
            value: text.chars().take(120).collect(),
            expected: "m:<account>:<mailbox>:<uidvalidity>:<uid> or e:<inbox row>",
        })
    }

    /// What the job id says of the work; `None` for a text that is no job id, and for the name of an entry that named none.
    #[must_use]
    pub fn work(&self) -> Option<Work> {
        match self.0.split_once(':')? {
            ("m", _) => self.mail_ref().map(Work::Mail),
            // Read back exactly as it was written: one job has one name.
            ("e", row) => row
                .parse()
                .ok()
                .map(InboxId)
                .filter(|inbox| inbox.0 > 0 && inbox.to_string() == row)
                .map(|inbox| Work::Events { inbox }),
            _ => None,
        }
    }

    /// What the job id says about its mail; `None` for a job that is not a mail.
    #[must_use]
    pub fn mail_ref(&self) -> Option<MailRef> {
        let mut parts = self.0.split(':');
        if parts.next()? != "m" {
            return None;
        }
        let account = parts.next()?.parse().ok()?;
        let mailbox = MailboxId(parts.next()?.parse().ok()?);
        let uidvalidity = UidValidity::new(parts.next()?.parse().ok()?)?;
        let uid = Uid::new(parts.next()?.parse().ok()?)?;
        parts.next().is_none().then_some(MailRef { account, mailbox, uidvalidity, uid })
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_mail() -> MailRef {
        MailRef {
            account: "6d0b5e4e-52a4-4f0e-9d5f-8f8a6d7d0001".parse().unwrap(),
            mailbox: MailboxId(7),
            uidvalidity: UidValidity::new(1_700_000_000).unwrap(),
            uid: Uid::new(42).unwrap(),
        }
    }

    #[test]
    fn a_job_id_says_which_mail_it_is() {
        let id = JobId::mail(&some_mail());
        assert_eq!(id.as_str(), "m:6d0b5e4e52a44f0e9d5f8f8a6d7d0001:7:1700000000:42");
        assert_eq!(id.mail_ref(), Some(some_mail()));
        assert_eq!(JobId::parse(id.as_str()), Ok(id));
        let id = JobId::events(InboxId(7));
        assert_eq!((id.as_str(), id.mail_ref()), ("e:7", None));
        assert_eq!(JobId::parse("e:7"), Ok(id));
    }

    #[test]
    fn an_entry_that_names_no_job_has_a_name_of_its_place_and_is_no_work() {
        let id = JobId::unnamed("email:processing", 3, Lane::Low, "1700000000000-12");
        assert_eq!(id.as_str(), "u:email:processing:3:low:1700000000000-12");
        assert_eq!(JobId::parse(id.as_str()), Ok(id.clone()));
        assert!(id.is_unnamed() && id.work().is_none() && id.mail_ref().is_none());
        let longest = JobId::unnamed(&"q".repeat(100), u16::MAX, Lane::Normal, &format!("{0}-{0}", u64::MAX));
        assert!(longest.is_unnamed());
        for bad in [
            "u:q:0:low:1",
            "u:q:0:deep:1-1",
            "u:q::low:1-1",
            "u::0:low:1-1",
            "u:q q:0:low:1-1",
            "v:q:0:low:1-1",
        ] {
            assert!(JobId::parse(bad).is_err(), "{bad}");
        }
        assert!(!JobId::mail(&some_mail()).is_unnamed() && !JobId::events(InboxId(7)).is_unnamed());
    }

    #[test]
    fn what_is_not_a_job_id_is_refused_by_name() {
        for bad in [
            "",
            "e:",
            "e:0",
            "e:-1",
            "e:07",
            "e:+7",
            "m:1:2",
            "x:6d0b5e4e52a44f0e9d5f8f8a6d7d0001:7:1:1",
            "m:6d0b5e4e52a44f0e9d5f8f8a6d7d0001:7:0:1",
        ] {
            let error = JobId::parse(bad).unwrap_err().to_string();
            assert!(error.contains("job id") && error.contains("uidvalidity"), "{error}");
        }
    }
}
