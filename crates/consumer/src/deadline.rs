//! How the time of a drain is shared out, so that the process ends by itself before it is ended.

use std::time::Duration;

use mailfleet_runtime::Shutdown;

/// The steps of a stopping process, in their order. Each ends while enough is left for those after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Claims and batches that run.
    Work,
    /// Telling Redis how entries ended, and handing back the rest.
    Settle,
    /// Leaving the group.
    Leave,
}

impl Step {
    /// What is kept for the steps after this one.
    fn keeps(self, drain: Duration) -> Duration {
        let (most, share) = match self {
            Self::Work => (Duration::from_secs(2), 2),
            Self::Settle => (Duration::from_secs(1), 4),
            Self::Leave => (Duration::from_millis(250), 8),
        };
        most.min(drain / share)
    }
}

/// Comes when a stopping process has no time left for this step; never while nothing stops.
pub async fn over(shutdown: &Shutdown, step: Step) {
    shutdown.soft.cancelled().await;
    let left = shutdown.time_left().unwrap_or_default();
    tokio::time::sleep(left.saturating_sub(step.keeps(shutdown.drain()))).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_leaves_time_for_the_next_however_short_the_drain() {
        for drain in [1, 2, 25, 3600].map(Duration::from_secs) {
            let kept = [Step::Work, Step::Settle, Step::Leave].map(|step| step.keeps(drain));
            assert!(kept[0] <= drain / 2, "most of the drain is for the work: {drain:?}: {kept:?}");
            for (earlier, later) in [(kept[0], kept[1]), (kept[1], kept[2]), (kept[2], Duration::ZERO)] {
                assert!(earlier >= later + Duration::from_millis(100), "{drain:?}: {kept:?}");
            }
        }
    }

    #[tokio::test]
    async fn no_step_is_over_while_nothing_stops() {
        let shutdown = Shutdown::new(Duration::ZERO);
        tokio::select! {
            biased;
            () = over(&shutdown, Step::Leave) => panic!("nothing stops"),
            () = tokio::task::yield_now() => shutdown.begin(),
        }
        over(&shutdown, Step::Leave).await;
    }
}
