//! The queue's depth as metrics. Every process that looks at the queue shows the same names and the same numbers, so that
//! there is one definition for dashboards, alerts and autoscalers.

use std::time::Duration;

use mailfleet_model::Lane;

use crate::metrics::{AgeGauges, DepthGauges, Metrics};

/// Depth, age and backlog by queue, and what operators paused of it. All replicas read the same queue: take `max` over them, never `sum`.
#[derive(Debug, Clone)]
pub struct QueueGauges {
    entries: DepthGauges,
    oldest_age: AgeGauges,
    backlog: DepthGauges,
    paused: DepthGauges,
    closed: DepthGauges,
}

impl QueueGauges {
    /// Registers `mailfleet_queue_entries`, `mailfleet_queue_oldest_age_seconds`, `mailfleet_queue_backlog_entries`,
    /// `mailfleet_queue_paused` and `mailfleet_queue_closed`; nothing is known yet, so no series exists yet.
    pub fn register(metrics: &Metrics) -> prometheus::Result<Self> {
        Ok(Self {
            entries: metrics.depths(
                "mailfleet_queue_entries",
                "Entries by lane and state (waiting, in_flight, delayed, released); absent while unknown; use max over replicas.",
                &["queue", "lane", "state"],
            )?,
            oldest_age: metrics.ages(
                "mailfleet_queue_oldest_age_seconds",
                "Age of the oldest entry of a lane that could be taken now; 0 where there is none, absent while unknown; \
                 use max over replicas.",
                &["queue", "lane"],
            )?,
            backlog: metrics.depths(
                "mailfleet_queue_backlog_entries",
                "All work there is now: waiting, released, in flight, and retries that are due, without what waits in a \
                 paused lane; absent while unknown; use max over replicas.",
                &["queue"],
            )?,
            paused: metrics.depths(
                "mailfleet_queue_paused",
                "1 while consumers take nothing new of the lane (`mailfleet queue pause`), else 0; absent while unknown; \
                 use max over replicas.",
                &["queue", "lane"],
            )?,
            closed: metrics.depths(
                "mailfleet_queue_closed",
                "1 while nothing new enters the queue (`mailfleet queue drain`), else 0; absent while unknown; use max \
                 over replicas.",
                &["queue"],
            )?,
        })
    }

    /// Shows one queue: entries by lane and state, the age of each lane's oldest entry, and the backlog. What is `None`
    /// is taken away: a zero would tell an autoscaler to go home.
    pub fn show<'a>(
        &self,
        queue: &str,
        entries: impl IntoIterator<Item = (Lane, &'a str, Option<u64>)>,
        oldest_age: impl Fn(Lane) -> Option<Duration>,
        backlog: Option<u64>,
    ) {
        for (lane, state, entries) in entries {
            self.entries.set(&[queue, lane.as_str(), state], entries);
        }
        for lane in Lane::ALL {
            self.oldest_age.set(&[queue, lane.as_str()], oldest_age(lane));
        }
        self.backlog.set(&[queue], backlog);
    }

    /// Shows which lanes of a queue are paused, and whether it is closed. What is `None` is taken away.
    pub fn show_paused(&self, queue: &str, paused: impl Fn(Lane) -> Option<bool>, closed: Option<bool>) {
        for lane in Lane::ALL {
            self.paused.set(&[queue, lane.as_str()], paused(lane).map(u64::from));
        }
        self.closed.set(&[queue], closed.map(u64::from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_queue_is_shown_and_what_is_unknown_is_absent() {
        let metrics = Metrics::default();
        let gauges = QueueGauges::register(&metrics).unwrap();
        let text = || prometheus::TextEncoder::new().encode_to_string(&metrics.registry().gather()).unwrap();
        gauges.show("mail", [(Lane::Low, "waiting", Some(0))], |_| Some(Duration::from_secs(2)), Some(9));
        gauges.show_paused("mail", |lane| Some(lane == Lane::Low), Some(false));
        let known = text();
        for series in [
            "mailfleet_queue_entries{lane=\"low\",queue=\"mail\",state=\"waiting\"} 0",
            "mailfleet_queue_oldest_age_seconds{lane=\"high\",queue=\"mail\"} 2",
            "mailfleet_queue_backlog_entries{queue=\"mail\"} 9",
            "mailfleet_queue_paused{lane=\"high\",queue=\"mail\"} 0",
            "mailfleet_queue_paused{lane=\"low\",queue=\"mail\"} 1",
            "mailfleet_queue_closed{queue=\"mail\"} 0",
        ] {
            assert!(known.contains(series), "{series} in {known}");
        }
        gauges.show("mail", [(Lane::Low, "waiting", None)], |_| None, None);
        gauges.show_paused("mail", |_| None, None);
        assert_eq!(text(), "");
    }
}
