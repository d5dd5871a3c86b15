//! The jobs: mails of 1 KiB of a hundred accounts, all in the lane of new mail.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use mailfleet_model::{
    AccountId, Direction, ENVELOPE_VERSION, Encoding, Envelope, Lane, MailRef, MailboxId, Uid, UidValidity,
    Work,
};
use mailfleet_queue::{Enqueued, NewJob, Queue};
use uuid::Uuid;

/// Jobs handed to one call.
pub(crate) const BATCH: u64 = 1_000;
/// Calls under way at once: while Redis runs one, the next is being written.
pub(crate) const AT_ONCE: usize = 3;
/// A producer hands in what it fetched from one mailbox, then what it fetched from the next: so many in a row.
const IN_A_ROW: u64 = 200;
const ACCOUNTS: u64 = 100;
const BYTES: usize = 1_024;

/// Job number `n`.
pub(crate) fn job(n: u64, raw: &Bytes) -> Result<NewJob> {
    let at = MailRef {
        account: AccountId(Uuid::from_u128(u128::from(n / IN_A_ROW % ACCOUNTS) + 1)),
        mailbox: MailboxId(1),
        uidvalidity: UidValidity::new(7).context("UIDVALIDITY")?,
        uid: Uid::new(u32::try_from(n + 1)?).context("UID")?,
    };
    let envelope = Envelope {
        v: ENVELOPE_VERSION,
        work: Work::Mail(at),
        size: raw.len() as u64,
        message_id: None,
        direction: Direction::Inbound,
        flags: Vec::new(),
        internal_date_ms: Some(1_700_000_000_000),
        enqueued_at_ms: 1_700_000_000_000,
        encoding: Encoding::Identity,
        traceparent: None,
    };
    Ok(NewJob { envelope, lane: Lane::Normal, raw: raw.clone() })
}

/// 1 KiB.
pub(crate) fn raw() -> Bytes {
    Bytes::from(vec![b'x'; BYTES])
}

/// Enqueues jobs `from..to` by a few calls at once; all of them must be new.
pub(crate) async fn enqueue(queue: &Queue, from: u64, to: u64) -> Result<()> {
    let raw = raw();
    let mut under_way = tokio::task::JoinSet::new();
    let mut next = from;
    while next < to || !under_way.is_empty() {
        while next < to && under_way.len() < AT_ONCE {
            let end = to.min(next + BATCH);
            let jobs = (next..end).map(|n| job(n, &raw)).collect::<Result<Vec<_>>>()?;
            let queue = queue.clone();
            under_way.spawn(async move { queue.enqueue(jobs).await });
            next = end;
        }
        let Some(answered) = under_way.join_next().await else { break };
        let enqueued = answered??;
        ensure!(
            enqueued.iter().all(|answer| *answer == Enqueued::Queued),
            "a job was not taken: {enqueued:?}"
        );
    }
    Ok(())
}
