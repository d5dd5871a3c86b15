//! What an operator put back and a process died on again. A replay has one attempt, which the queue counts; crashes it cannot
//! count so, because one that an entry met among others proves nothing. PostgreSQL knows which entries were replayed,
//! whatever Redis lost meanwhile, and is asked only where a process has died.

use mailfleet_model::JobId;

use crate::batch::{Case, Context, Kind, Verdict};
use crate::ingest::Rejection;

impl<K: Kind> Context<K> {
    /// Ends replayed entries on which a process has died since, while they ran alone: they are not run again. Where
    /// PostgreSQL cannot say which were replayed, they come again, uncounted.
    pub async fn end_replayed_crashes(&self, cases: &mut [Case<'_>]) {
        let crashed = |case: &&mut Case<'_>| case.verdict.is_none() && case.delivery.counters().crashes > 0;
        let jobs: Vec<JobId> =
            cases.iter_mut().filter(crashed).map(|case| case.delivery.job_id().clone()).collect();
        if jobs.is_empty() {
            return;
        }
        let replayed = match self.gate.through(|| self.store.replayed_jobs(&jobs)).await {
            Ok(replayed) => Some(replayed),
            Err(error) => {
                if let Some(suppressed) = self.log.open() {
                    tracing::error!(%error, suppressed, "cannot tell which entries were replayed; they come again");
                }
                None
            }
        };
        for case in cases.iter_mut().filter(crashed) {
            match &replayed {
                None => case.verdict = Some(Verdict::Later),
                Some(replayed) if replayed.contains(case.delivery.job_id()) => {
                    let rejection = Rejection::crashed_again(case.delivery.counters().crashes);
                    case.verdict = Some(Verdict::Dead(rejection));
                }
                Some(_) => {}
            }
        }
    }
}
