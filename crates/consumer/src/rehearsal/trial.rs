//! A rehearsal as a step of the work on mails: what its end means for the entry.

use mailfleet_model::Class;
use mailfleet_queue::{Delivery, Failure};

use super::Ending;
use crate::batch::{Context, Verdict};
use crate::ingest::Rejection;
use crate::persist::Mails;

impl Context<Mails> {
    /// Lets a child process read a suspect first. A verdict is given where the work must not go on.
    pub async fn rehearse(&self, delivery: &Delivery) -> Option<Verdict> {
        let job = delivery.job_id();
        match self.kind.rehearsal.perform(delivery.envelope(), delivery.raw()).await {
            Ending::Well => {
                tracing::info!(%job, "a mail that a consumer died on was read by a child process; it runs here now");
                None
            }
            Ending::Unknown(why) if self.kind.rehearsal.forgives(job) => {
                if let Some(suppressed) = self.log.open() {
                    tracing::warn!(%job, error = why, suppressed, "a mail could not be rehearsed; tried again, uncounted");
                }
                Some(Verdict::Later)
            }
            // A failed attempt like others: where no child can be run at all it ends as a dead letter, `attempts_exhausted`,
            // whose class says that it is the machine and not the mail that somebody must look at.
            Ending::Unknown(why) => {
                Some(Verdict::Retry(Failure::new(Class::Fault, format!("it could not be rehearsed: {why}"))))
            }
            Ending::Crash(why) => {
                let crashes = delivery.counters().crashes.saturating_add(1);
                let most = self.consumer.queue().config().max_crashes;
                tracing::warn!(%job, crashes, most, error = why, "a mail ended the child process that read it");
                let failure = Failure::new(Class::Hostile, why);
                if crashes < most {
                    return Some(Verdict::Crashed(failure));
                }
                Some(Verdict::Dead(Rejection::rehearsed(crashes, failure)))
            }
        }
    }
}
