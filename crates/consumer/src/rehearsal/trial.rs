//! A rehearsal as a step of the work on mails: which entries it is for, and what its end means for them.

use std::time::Duration;

use mailfleet_model::Class;
use mailfleet_queue::{Delivery, Failure};

use super::Ending;
use crate::batch::{Case, Context, Verdict};
use crate::ingest::Rejection;
use crate::persist::Mails;

/// How often it is asked whether the lease is still there.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Whether an entry is rehearsed: it ran alone before, and its consumer died.
pub fn is_due(delivery: &Delivery) -> bool {
    delivery.run_alone() && delivery.counters().crashes > 0 && !delivery.exhausted_crashes()
}

impl Context<Mails> {
    /// Lets a child process read first what a consumer has died on. A verdict is given where the work must not go on.
    pub async fn rehearse(&self, cases: &mut [Case<'_>]) {
        for case in cases.iter_mut().filter(|case| is_due(case.delivery)) {
            if !case.goes_on() {
                continue;
            }
            let delivery = case.delivery;
            let ending = tokio::select! {
                ending = self.kind.rehearsal.perform(delivery.envelope(), delivery.raw()) => ending,
                () = lost(delivery) => continue,
            };
            case.verdict = self.meaning(delivery, ending);
        }
    }

    fn meaning(&self, delivery: &Delivery, ending: Ending) -> Option<Verdict> {
        let job = delivery.job_id();
        match ending {
            Ending::Well => {
                tracing::info!(%job, "a mail that a consumer died on was read by a child process; it runs here now");
                None
            }
            Ending::Unknown(why) => {
                if let Some(suppressed) = self.log.open() {
                    tracing::warn!(%job, error = why, suppressed, "a mail could not be rehearsed; tried again, uncounted");
                }
                Some(Verdict::Later)
            }
            Ending::Crash(why) => {
                let crashes = delivery.counters().crashes.saturating_add(1);
                let most = self.consumer.queue().config().max_crashes;
                tracing::warn!(%job, crashes, most, error = why, "a mail ended the child process that read it");
                if crashes < most {
                    return Some(Verdict::Crashed);
                }
                Some(Verdict::Dead(Rejection::rehearsed(crashes, Failure::new(Class::Hostile, why))))
            }
        }
    }
}

/// Comes when the lease is lost: then somebody else runs it, and what is begun here is given up.
async fn lost(delivery: &Delivery) {
    while !delivery.lease_lost() {
        tokio::time::sleep(ASK_EVERY).await;
    }
}
