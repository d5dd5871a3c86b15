//! Dead letters: written to PostgreSQL, each with all that is needed to see why and to do the job again.

use mailfleet_model::{Class, Unreadable};
use mailfleet_queue::{Delivery, Failure};
use mailfleet_store::{DeadOutcome, Error, NewDeadLetter};

use crate::batch::{Case, Context, Kind, Verdict};
use crate::ingest::{Charge, MALFORMED, Rejection, message_id};
use crate::metrics::Outcome;

/// The reason of what is not to be run any more because processes died on it.
const CRASHES_EXHAUSTED: &str = "crashes_exhausted";

impl<K: Kind> Context<K> {
    /// Writes the letters of all entries that are to die, in one transaction with their ledger rows.
    pub async fn bury(&self, cases: &mut [Case<'_>]) {
        let (mut indexes, mut letters) = (Vec::new(), Vec::new());
        for (index, case) in cases.iter_mut().enumerate() {
            case.is_ours();
            if let Some(Verdict::Dead(why)) = &case.verdict {
                indexes.push(index);
                letters.push(self.letter(case, why));
            }
        }
        if letters.is_empty() {
            return;
        }
        let outcomes = match self.write_letters(&letters).await {
            Ok(outcomes) => outcomes.into_iter().map(Some).collect(),
            Err(_) => self.write_letters_each(&letters).await,
        };
        for ((index, letter), outcome) in indexes.into_iter().zip(letters).zip(outcomes) {
            let Some(case) = cases.get_mut(index) else { continue };
            match outcome {
                Some(DeadOutcome::Recorded) => tracing::warn!(
                    job = %letter.job, reason = letter.reason, class = %letter.class, error = letter.error, "dead letter"
                ),
                // Another run of this very mail succeeded meanwhile: there is nothing to bury.
                Some(DeadOutcome::AlreadyPersisted) => {
                    case.verdict = Some(Verdict::Done(Outcome::Redelivered));
                }
                // Not written, so the entry must not move: it comes again and is judged again.
                None => case.verdict = Some(Verdict::Later),
            }
        }
    }

    /// Each letter by itself, so that one that cannot be written keeps none of the others. Its entry comes again after a
    /// while, for as long as that lasts; nothing of it is lost meanwhile, and an alert tells of it.
    pub async fn write_letters_each(&self, letters: &[NewDeadLetter]) -> Vec<Option<DeadOutcome>> {
        let mut outcomes = Vec::with_capacity(letters.len());
        for letter in letters {
            outcomes.push(match self.write_letters(std::slice::from_ref(letter)).await {
                Ok(outcome) => outcome.into_iter().next(),
                Err(error) => {
                    self.metrics.letters_refused.inc();
                    if let Some(suppressed) = self.log.open() {
                        tracing::error!(job = %letter.job, %error, suppressed, "a dead letter could not be written; tried again");
                    }
                    None
                }
            });
        }
        outcomes
    }

    /// Writes letters once PostgreSQL can be used.
    pub async fn write_letters(&self, letters: &[NewDeadLetter]) -> Result<Vec<DeadOutcome>, Error> {
        let outcomes = self.gate.through(|| self.store.dead_letter(letters)).await?;
        self.gate.worked();
        Ok(outcomes)
    }

    fn letter(&self, case: &Case<'_>, why: &Rejection) -> NewDeadLetter {
        let delivery = case.delivery;
        let at = delivery.envelope().work.mail();
        let mut counters = delivery.counters();
        let failure = match &why.charge {
            Charge::NotRun => None,
            Charge::Free => Some(Failure::new(why.class, &*why.error)),
            Charge::Attempt(failure) => {
                counters.attempts = counters.attempts.saturating_add(1);
                Some(failure.clone())
            }
            Charge::Crash(failure) => {
                counters.crashes = counters.crashes.saturating_add(1);
                Some(failure.clone())
            }
        };
        let history = match failure {
            Some(failure) => delivery.history_with(self.clock.now_ms(), self.consumer.name(), &failure),
            None => delivery.history().to_vec(),
        };
        // What ends processes is not looked at again, not even for its Message-ID.
        let deadly = matches!(why.charge, Charge::NotRun | Charge::Crash(_));
        self.suspects.forget(delivery.job_id());
        NewDeadLetter {
            job: delivery.job_id().clone(),
            at,
            lane: delivery.lane(),
            envelope_json: envelope_json(delivery),
            // What is no mail has nothing beside its envelope; the replay needs no more.
            raw: at.map(|_| delivery.raw().clone()),
            reason: why.reason.to_owned(),
            class: why.class,
            error: why.error.clone(),
            counters,
            history: serde_json::json!(history),
            tenant: case.tenant,
            account: at.map(|at| at.account),
            message_id: at.filter(|_| !deadly).and_then(|_| message_id(delivery.raw())),
        }
    }
}

/// The envelope as it travelled; of an entry that cannot be read all that stands in it, byte for byte, so that a person, or a
/// version that knows better, can make something of it.
fn envelope_json(delivery: &Delivery) -> serde_json::Value {
    if delivery.malformed().is_none() {
        return serde_json::json!(delivery.envelope());
    }
    let mut fields = delivery.fields().to_vec();
    // A mail's raw bytes have their own place in the letter.
    if delivery.envelope().work.mail().is_none() && !delivery.raw().is_empty() {
        fields.push((b"r".to_vec(), delivery.raw().to_vec()));
    }
    Unreadable::new(&fields).to_json()
}

impl Rejection {
    /// Why an entry is not even read.
    pub fn unread(delivery: &Delivery) -> Option<Self> {
        if delivery.exhausted_crashes() {
            let crashes = delivery.counters().crashes;
            let error = format!("its process died on it {crashes} times while it ran alone");
            return Some(Self::not_run(error));
        }
        let malformed = delivery.malformed()?;
        Some(Self::new(MALFORMED, Class::Fault, malformed.to_owned()))
    }

    /// PostgreSQL, or the owner of the key, refuses the rows. `code` is a SQLSTATE or `key_conflict`.
    pub fn refused(code: &str, message: &str) -> Self {
        let reason = if code == "key_conflict" { "key_conflict" } else { "refused_by_postgresql" };
        Self::new(
            reason,
            Class::Data,
            format!("PostgreSQL refused the rows of this entry ({code}): {message}"),
        )
    }

    /// The last attempt it had ended like the others.
    pub fn exhausted(failure: Failure) -> Self {
        let error = format!("the last of its attempts failed: {}", failure.text);
        Self { reason: "attempts_exhausted", class: failure.class, error, charge: Charge::Attempt(failure) }
    }

    /// A process died on the replay of it.
    pub fn crashed_again(crashes: u32) -> Self {
        Self::not_run(format!("replayed, and its process died on it while it ran alone ({crashes} times)"))
    }

    /// Processes have died on it, and it is not run once more.
    fn not_run(error: String) -> Self {
        Self { reason: CRASHES_EXHAUSTED, class: Class::Hostile, error, charge: Charge::NotRun }
    }

    /// An error of the store that is about this entry and would be the same the next time.
    pub fn permanent(class: Class, error: &Error) -> Self {
        Self::new("refused_by_postgresql", class, error.to_string())
    }

    /// The last of the crashes it may cost was that of the child process that read it first.
    pub fn rehearsed(crashes: u32, failure: Failure) -> Self {
        let error = format!(
            "processes died on it {crashes} times while it ran alone, the last one a child: {}",
            failure.text
        );
        Self { reason: CRASHES_EXHAUSTED, class: failure.class, error, charge: Charge::Crash(failure) }
    }
}
