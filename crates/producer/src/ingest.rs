//! From UIDs to queued jobs: fetch, choose the lane, enqueue, and say what each UID came to.
//!
//! The scan and the sweep both end here. No cursor is moved here; the caller moves it over what is covered.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::time::Instant;

use mailfleet_imap::{Fetched, MailSource};
use mailfleet_mime::Peek;
use mailfleet_model::{
    Class, Counters, Direction, ENVELOPE_VERSION, Encoding, Envelope, JobId, Lane, MailRef, MailboxId,
    StorageKey, TenantId, Uid, UidValidity, Work, lookup_message_id,
};
use mailfleet_queue::{Enqueued, NewJob};
use mailfleet_store::{Account, NewDeadLetter};

use crate::metrics::{Aside, EnqueueResult};
use crate::plan::Marks;
use crate::priority::{self, Facts};
use crate::problem::Problem;
use crate::services::Services;

/// More flags than this are not carried along; a server with more means no good.
const MAX_FLAGS: usize = 64;

/// Where mail is taken from: one mailbox of one account under one UIDVALIDITY.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The servers behind.
    pub services: &'a Services,
    /// The account.
    pub account: &'a Account,
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Its name, for logs.
    pub name: &'a str,
    /// The epoch.
    pub uidvalidity: UidValidity,
    /// How far it has been read; decides what is history.
    pub marks: Marks,
    /// Whether its mail came in or is our own.
    pub direction: Direction,
}

/// What a set of UIDs came to. A UID that is in none of the three was not looked at.
#[derive(Debug, Default)]
pub struct Settled {
    /// Queued, live already, or with an outcome: the cursor may pass.
    pub covered: BTreeSet<Uid>,
    /// The queue did not take them: they wait in the mailbox.
    pub refused: Vec<Refused>,
    /// Listed by the server and left out of its answers.
    pub withheld: Vec<Uid>,
}

/// A mail that the queue did not take.
#[derive(Debug, Clone, Copy)]
pub struct Refused {
    /// Its UID.
    pub uid: Uid,
    /// When its server got it.
    pub internal_date_ms: Option<i64>,
    /// What the queue said.
    pub why: Enqueued,
}

impl Place<'_> {
    fn at(&self, uid: Uid) -> MailRef {
        MailRef { account: self.account.id, mailbox: self.mailbox, uidvalidity: self.uidvalidity, uid }
    }

    /// Which of `uids` (ascending) have an outcome or a live job.
    ///
    /// Outcomes are read first: a job that ends in between is found neither here nor there and is fetched once more,
    /// which the ledger makes harmless. The other order could take a job for live that has ended without an outcome.
    pub fn accounted(&self, uids: &[Uid]) -> Result<BTreeSet<Uid>, Problem> {
        let (Some(&from), Some(&to)) = (uids.first(), uids.last()) else { return Ok(BTreeSet::new()) };
        let store = &self.services.store;
        let mut accounted =
            self.services.block_on(store.outcomes(self.mailbox, self.uidvalidity, from, to))?;
        // The ledger also knows of messages that are no longer there.
        accounted.retain(|uid| uids.binary_search(uid).is_ok());
        let open = mailfleet_model::unaccounted(uids, &accounted);
        if !open.is_empty() {
            let jobs: Vec<JobId> = open.iter().map(|&uid| JobId::mail(&self.at(uid))).collect();
            let live = self.services.block_on(self.services.queue.live(&jobs))?;
            accounted.extend(open.iter().zip(live).filter_map(|(&uid, live)| live.then_some(uid)));
        }
        Ok(accounted)
    }

    /// Fetches `uids` (ascending) and enqueues them. The caller holds the room for them.
    pub fn fetch_and_enqueue(&self, session: &mut dyn MailSource, uids: &[Uid]) -> Result<Settled, Problem> {
        let mut intake =
            Intake { place: *self, held: Vec::new(), held_bytes: 0, settled: Settled::default() };
        if uids.is_empty() {
            return Ok(intake.settled);
        }
        let mut failure = None;
        let begun = Instant::now();
        let report = session.fetch(uids, &mut |fetched| match intake.take(fetched) {
            Ok(()) => ControlFlow::Continue(()),
            Err(problem) => {
                failure = Some(problem);
                ControlFlow::Break(())
            }
        })?;
        let metrics = &self.services.metrics;
        metrics.fetch_seconds.observe(begun.elapsed().as_secs_f64());
        if let Some(problem) = failure {
            return Err(problem);
        }
        intake.flush()?;
        let mut settled = intake.settled;

        if let Some(refusal) = &report.refused {
            tracing::warn!(mailbox = self.name, refusal, "the server ended a fetch early");
        }
        self.bury_too_large(&report.oversize)?;
        settled.covered.extend(report.oversize.iter().map(|(uid, _)| *uid));
        if !report.missing.is_empty() {
            let there: BTreeSet<Uid> = session.still_there(&report.missing)?.into_iter().collect();
            let (withheld, gone): (Vec<Uid>, Vec<Uid>) =
                report.missing.iter().partition(|uid| there.contains(uid));
            self.record_vanished(&gone)?;
            metrics.aside.get(Aside::Omitted).inc_by(count(withheld.len()));
            settled.covered.extend(gone);
            settled.withheld = withheld;
        }
        Ok(settled)
    }

    fn record_vanished(&self, gone: &[Uid]) -> Result<(), Problem> {
        if gone.is_empty() {
            return Ok(());
        }
        let store = &self.services.store;
        self.services.block_on(store.record_vanished(self.mailbox, self.uidvalidity, gone))?;
        self.services.metrics.aside.get(Aside::Vanished).inc_by(count(gone.len()));
        tracing::info!(mailbox = self.name, messages = gone.len(), "expunged before they were fetched");
        Ok(())
    }

    /// Parks mails above the size limit, without their bytes, so that they are accounted for.
    pub fn bury_too_large(&self, mails: &[(Uid, u64)]) -> Result<(), Problem> {
        if mails.is_empty() {
            return Ok(());
        }
        let limit = self.services.config.imap.max_message_bytes;
        let letters: Vec<NewDeadLetter> = mails
            .iter()
            .map(|&(uid, size)| {
                let envelope = self.envelope(uid, size, None, Vec::new(), None);
                NewDeadLetter {
                    job: envelope.job_id(),
                    at: envelope.work.mail(),
                    lane: Lane::Normal,
                    envelope_json: serde_json::to_value(&envelope).unwrap_or_default(),
                    raw: None,
                    reason: "too_large".to_owned(),
                    class: Class::Hostile,
                    error: format!("the mail has {size} bytes, `imap.max_message_bytes` allows {limit}"),
                    counters: Counters::default(),
                    history: serde_json::Value::Array(Vec::new()),
                    tenant: self.account.tenant,
                    account: Some(self.account.id),
                    message_id: None,
                }
            })
            .collect();
        self.services.block_on(self.services.store.dead_letter(&letters))?;
        self.services.metrics.aside.get(Aside::TooLarge).inc_by(count(mails.len()));
        tracing::warn!(
            mailbox = self.name,
            messages = mails.len(),
            limit,
            "dead-lettered mail above the size limit (imap.max_message_bytes)"
        );
        Ok(())
    }

    fn envelope(
        &self,
        uid: Uid,
        size: u64,
        message_id: Option<&str>,
        mut flags: Vec<String>,
        internal_date_ms: Option<i64>,
    ) -> Envelope {
        flags.truncate(MAX_FLAGS);
        Envelope {
            v: ENVELOPE_VERSION,
            work: Work::Mail(self.at(uid)),
            size,
            message_id: message_id.and_then(lookup_message_id),
            direction: self.direction,
            flags,
            internal_date_ms,
            enqueued_at_ms: self.services.clock.now_ms(),
            encoding: Encoding::Identity,
            traceparent: None,
        }
    }

    /// The tenant of each mail, where it can be told, by the consumer's rule: the account's own, else the owner of the
    /// domain that the mail was delivered to. One query for all; asked only for mails that are answers.
    fn tenants(&self, answers: &[Option<&Peek>]) -> Result<Vec<Option<TenantId>>, Problem> {
        if self.account.tenant.is_some() {
            return Ok(vec![self.account.tenant; answers.len()]);
        }
        let to_cc = self.account.recipient_from_to_cc;
        let domains: Vec<Vec<String>> =
            answers.iter().map(|peek| peek.map_or_else(Vec::new, |peek| peek.owner_domains(to_cc))).collect();
        let asked: Vec<String> = domains.iter().flatten().cloned().collect();
        let owners = if asked.is_empty() {
            HashMap::new()
        } else {
            self.services.block_on(self.services.store.tenants_by_domain(&asked))?
        };
        Ok(domains.iter().map(|of| of.iter().find_map(|domain| owners.get(domain).copied())).collect())
    }

    /// Which of the mails answer a message that their tenant sent through us: one query for all.
    fn answers_us(&self, mails: &[(Peek, Facts)]) -> Result<Vec<bool>, Problem> {
        let rules = &self.services.config.producer.priority;
        let answers: Vec<Option<&Peek>> = mails
            .iter()
            .map(|(peek, facts)| {
                let answers = self.direction == Direction::Inbound && !peek.in_reply_to.is_empty();
                (answers && facts.wants_lookup(rules)).then_some(peek)
            })
            .collect();
        let tenants = self.tenants(&answers)?;
        let parents: Vec<Vec<StorageKey>> = answers
            .iter()
            .zip(&tenants)
            .map(|(peek, tenant)| match (peek, tenant) {
                (Some(peek), Some(tenant)) => priority::parent_keys(peek, *tenant),
                _ => Vec::new(),
            })
            .collect();
        let asked: Vec<StorageKey> = parents.iter().flatten().cloned().collect();
        let known: HashSet<StorageKey> = if asked.is_empty() {
            HashSet::new()
        } else {
            let tenants = tenants.into_iter().flatten().collect();
            self.services.block_on(self.services.store.known_outbound(&tenants, &asked))?
        };
        Ok(parents.iter().map(|keys| keys.iter().any(|key| known.contains(key))).collect())
    }

    fn enqueue(&self, mails: Vec<Fetched>, settled: &mut Settled) -> Result<(), Problem> {
        let rules = &self.services.config.producer.priority;
        let peeked: Vec<(Peek, Facts)> = mails
            .iter()
            .map(|mail| {
                let peek = mailfleet_mime::peek(&mail.raw);
                let history = self.marks.before_first_contact(mail.uid);
                let facts = match self.direction {
                    Direction::Inbound => Facts::new(&peek, history),
                    Direction::Outbound => Facts::ours(history),
                };
                (peek, facts)
            })
            .collect();
        let answers = self.answers_us(&peeked)?;
        let mut asked = Vec::with_capacity(mails.len());
        let mut jobs = Vec::with_capacity(mails.len());
        for ((mail, (peek, facts)), answers_us) in mails.into_iter().zip(peeked).zip(answers) {
            let lane = facts.lane(rules, answers_us);
            asked.push((mail.uid, mail.internal_date_ms, lane));
            let id = peek.message_id.as_deref();
            let envelope = self.envelope(mail.uid, mail.size, id, mail.flags, mail.internal_date_ms);
            jobs.push(NewJob { envelope, lane, raw: mail.raw.into() });
        }
        let answers = self.services.block_on(self.services.queue.enqueue(jobs))?;
        for ((uid, internal_date_ms, lane), answer) in asked.into_iter().zip(answers) {
            let result = match answer {
                Enqueued::Queued => EnqueueResult::Queued,
                Enqueued::AlreadyLive => EnqueueResult::AlreadyLive,
                Enqueued::LaneFull => EnqueueResult::LaneFull,
                Enqueued::AccountFull => EnqueueResult::AccountFull,
                Enqueued::Closed => EnqueueResult::Closed,
            };
            self.services.metrics.enqueued.get((lane, result)).inc();
            if answer.is_in() {
                settled.covered.insert(uid);
            } else {
                settled.refused.push(Refused { uid, internal_date_ms, why: answer });
            }
        }
        Ok(())
    }
}

/// Mails on their way from the socket to the queue, in pieces that are bounded whatever sizes the server announced.
struct Intake<'a> {
    place: Place<'a>,
    held: Vec<Fetched>,
    held_bytes: u64,
    settled: Settled,
}

impl Intake<'_> {
    fn take(&mut self, mail: Fetched) -> Result<(), Problem> {
        let services = self.place.services;
        services.metrics.fetched.inc();
        services.metrics.fetched_bytes.inc_by(mail.size);
        self.held_bytes += mail.size;
        self.held.push(mail);
        if self.held_bytes >= services.config.producer.batch_bytes {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Problem> {
        self.held_bytes = 0;
        let mails = std::mem::take(&mut self.held);
        if mails.is_empty() { Ok(()) } else { self.place.enqueue(mails, &mut self.settled) }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
