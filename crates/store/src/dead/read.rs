//! Reading dead letters.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use mailfleet_model::{AccountId, Counters, JobId, MailRef, MailboxId, TenantId, lookup_message_id};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::filter::MATCHES;
use super::{DeadFilter, DeadLetter, DeadState, Letters, UnreadLetter};
use crate::error::{Error, Result};
use crate::rows::{self, count, get};
use crate::store::Store;

/// The most letters one question returns.
const MAX_LIMIT: u32 = 100_000;
const COLUMNS: &str = "id, job_id, tenant_id, account_id, mailbox_id, uidvalidity, uid, message_id, lane, envelope, \
     raw_size_bytes, reason, class, error, COALESCE(fingerprint, mailfleet.dead_fingerprint(reason, class, error)) AS fingerprint, attempts, \
     crashes, drains, history, previous, state, created, died, closed";

impl Store {
    /// Dead letters, the last to die first, without their raw mails.
    pub async fn dead_letters(&self, filter: &DeadFilter) -> Result<Letters> {
        self.listed(filter, 0, "died DESC, id DESC").await
    }

    /// Dead letters with a number above `after`, the lowest first, without their raw mails: a page of at most
    /// `filter.limit`. The next page begins after [`Letters::highest`].
    pub async fn dead_letters_page(&self, filter: &DeadFilter, after: i64) -> Result<Letters> {
        self.listed(filter, after, "id").await
    }

    async fn listed(&self, filter: &DeadFilter, after: i64, order: &'static str) -> Result<Letters> {
        let sql = format!(
            "SELECT {COLUMNS}, NULL::bytea AS raw FROM mailfleet.dead_letters d \
             WHERE {MATCHES} AND d.id > $9 ORDER BY {order} LIMIT $10::bigint"
        );
        let limit = i64::from(filter.limit.min(MAX_LIMIT));
        let values = filter.values();
        let mut params = values.params();
        params.extend([&after as &(dyn ToSql + Sync), &limit]);
        letters(&self.survey("listing dead letters", &sql, &params).await?)
    }

    /// The dead letter of a job, with its raw mail.
    pub async fn dead_letter_by_job(&self, job: &JobId) -> Result<Option<DeadLetter>> {
        let sql = format!("SELECT {COLUMNS}, raw FROM mailfleet.dead_letters WHERE job_id = $1");
        let rows = self.survey("reading a dead letter", &sql, &[&job.as_str()]).await?;
        rows.first().map(letter).transpose()
    }

    /// The dead letter of this number, with its raw mail.
    pub async fn dead_letter_by_id(&self, id: i64) -> Result<Option<DeadLetter>> {
        let sql = format!("SELECT {COLUMNS}, raw FROM mailfleet.dead_letters WHERE id = $1");
        let rows = self.survey("reading a dead letter", &sql, &[&id]).await?;
        rows.first().map(letter).transpose()
    }

    /// The dead letters whose mail has this Message-ID, without their raw mails; at most 100.
    pub(crate) async fn dead_letters_by_message_id(&self, id: &str) -> Result<Vec<DeadLetter>> {
        let sql = format!(
            "SELECT {COLUMNS}, NULL::bytea AS raw FROM mailfleet.dead_letters WHERE message_id = $1 \
             ORDER BY died DESC LIMIT 100"
        );
        let rows = self.survey("listing dead letters", &sql, &[&lookup_message_id(id)]).await?;
        let Letters { letters, mut unread, .. } = letters(&rows)?;
        // Nothing to show is not the same as nothing there.
        match unread.pop() {
            Some(UnreadLetter { place, value, .. }) if letters.is_empty() => {
                Err(Error::Unreadable { place, value })
            }
            _ => Ok(letters),
        }
    }

    /// Letters that have been replayed for at least `since` by the server's clock, with a number above `after`, the lowest
    /// first, without their raw mails: a page of all that the queue should hold. The next page begins after
    /// [`Letters::highest`].
    pub async fn replayed_letters(&self, since: Duration, after: i64, limit: u32) -> Result<Letters> {
        let sql = format!(
            "SELECT {COLUMNS}, NULL::bytea AS raw FROM mailfleet.dead_letters WHERE state = 'replayed' AND id > $1 \
             AND closed <= now() - make_interval(secs => $2) ORDER BY id LIMIT $3::bigint"
        );
        let limit = i64::from(limit.min(MAX_LIMIT));
        let params: [&(dyn ToSql + Sync); 3] = [&after, &since.as_secs_f64(), &limit];
        letters(&self.survey("listing replayed letters", &sql, &params).await?)
    }

    /// Which of these jobs were put back into the queue by an operator, and have neither been stored nor died since.
    pub async fn replayed_jobs(&self, jobs: &[JobId]) -> Result<HashSet<JobId>> {
        self.jobs_in(&[DeadState::Replayed], jobs).await
    }

    /// Which of these jobs have a letter that is not closed for good: it is open, or replayed and so either in the queue or
    /// open again soon.
    pub async fn unsettled_jobs(&self, jobs: &[JobId]) -> Result<HashSet<JobId>> {
        self.jobs_in(&[DeadState::Open, DeadState::Replayed], jobs).await
    }

    async fn jobs_in(&self, states: &[DeadState], jobs: &[JobId]) -> Result<HashSet<JobId>> {
        const SQL: &str =
            "SELECT job_id FROM mailfleet.dead_letters WHERE job_id = ANY($1) AND state = ANY($2)";
        let ids: Vec<&str> = jobs.iter().map(JobId::as_str).collect();
        let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
        let rows =
            self.survey("looking for jobs by the state of their letters", SQL, &[&ids, &states]).await?;
        rows.iter().map(|row| job(get(row, "job_id")?)).collect()
    }

    /// Open dead letters by reason, sorted by reason.
    pub async fn dead_count(&self) -> Result<Vec<(String, u64)>> {
        const SQL: &str = "SELECT reason, count(*) AS n FROM mailfleet.dead_letters WHERE state = 'open' \
             GROUP BY reason ORDER BY reason";
        let rows = self.survey("counting dead letters", SQL, &[]).await?;
        rows.iter().map(|row| Ok((get(row, "reason")?, count(row, "n")?))).collect()
    }
}

/// A stored job id.
fn job(id: &str) -> Result<JobId> {
    JobId::parse(id).map_err(|_| Error::Unreadable { place: "dead_letters.job_id", value: id.to_owned() })
}

/// One letter that a later version wrote, or somebody's hand, keeps none of the others from being read.
fn letters(rows: &[Row]) -> Result<Letters> {
    let mut letters = Letters::default();
    for row in rows {
        let id = get(row, "id")?;
        letters.highest = letters.highest.max(Some(id));
        match letter(row) {
            Ok(letter) => letters.letters.push(letter),
            Err(Error::Unreadable { place, value }) => {
                letters.unread.push(UnreadLetter { id, job: get(row, "job_id")?, place, value });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(letters)
}

fn letter(row: &Row) -> Result<DeadLetter> {
    let account = get::<Option<Uuid>>(row, "account_id")?.map(AccountId);
    let number = |column| get::<i32>(row, column).map(|count| u32::try_from(count).unwrap_or(0));
    Ok(DeadLetter {
        id: get(row, "id")?,
        job: job(get(row, "job_id")?)?,
        at: position(row, account)?,
        tenant: get::<Option<Uuid>>(row, "tenant_id")?.map(TenantId),
        account,
        message_id: get(row, "message_id")?,
        lane: rows::lane(get(row, "lane")?)?,
        envelope_json: get(row, "envelope")?,
        raw: get::<Option<Vec<u8>>>(row, "raw")?.map(Bytes::from),
        raw_size_bytes: get::<Option<i64>>(row, "raw_size_bytes")?.and_then(|size| u64::try_from(size).ok()),
        reason: get(row, "reason")?,
        class: rows::class(get(row, "class")?)?,
        error: get(row, "error")?,
        fingerprint: get(row, "fingerprint")?,
        counters: Counters {
            attempts: number("attempts")?,
            crashes: number("crashes")?,
            drains: number("drains")?,
        },
        history: get(row, "history")?,
        previous: get(row, "previous")?,
        state: DeadState::read(get(row, "state")?)?,
        created: get(row, "created")?,
        died: get(row, "died")?,
        closed: get(row, "closed")?,
    })
}

fn position(row: &Row, account: Option<AccountId>) -> Result<Option<MailRef>> {
    let mailbox: Option<i32> = get(row, "mailbox_id")?;
    let epoch: Option<u32> = get(row, "uidvalidity")?;
    let uid: Option<u32> = get(row, "uid")?;
    let (Some(account), Some(mailbox), Some(epoch), Some(uid)) = (account, mailbox, epoch, uid) else {
        return Ok(None);
    };
    let (uidvalidity, uid) = (rows::uidvalidity(epoch)?, rows::uid(uid)?);
    Ok(Some(MailRef { account, mailbox: MailboxId(mailbox), uidvalidity, uid }))
}
