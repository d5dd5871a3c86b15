//! The queue's depth as metrics. Every process that looks at the queue shows the same names and the same numbers, so that
//! there is one definition for dashboards, alerts and autoscalers.

use std::time::Duration;

use mailfleet_model::Lane;

use crate::metrics::{AgeGauges, DepthGauges, Metrics};

/// Depth, ages, bytes and backlog by queue, what operators paused of it and which lanes refuse. All replicas read the same
/// queue: take `max` over them, never `sum`.
#[derive(Debug, Clone)]
pub struct QueueGauges {
    entries: DepthGauges,
    oldest_age: AgeGauges,
    bytes: DepthGauges,
    refusing: DepthGauges,
    dead: DepthGauges,
    dead_by_lane: DepthGauges,
    dead_oldest_age: AgeGauges,
    backlog: DepthGauges,
    paused: DepthGauges,
    closed: DepthGauges,
}

impl QueueGauges {
    /// Registers `mailfleet_queue_entries`, `_oldest_age_seconds`, `_bytes`, `_refusing`, `_dead_entries`,
    /// `_dead_lane_entries`, `_dead_oldest_age_seconds`, `_backlog_entries`, `_paused` and `_closed`; nothing is known yet, so no series exists
    /// yet.
    pub fn register(metrics: &Metrics) -> prometheus::Result<Self> {
        Ok(Self {
            entries: metrics.depths(
                "mailfleet_queue_entries",
                "Entries by lane and state (waiting, in_flight, delayed, released); absent while unknown; use max over replicas.",
                &["queue", "lane", "state"],
            )?,
            oldest_age: metrics.ages(
                "mailfleet_queue_oldest_age_seconds",
                "Age of the oldest entry by lane and state (waiting, in_flight, delayed, released), since it came into the \
                 lane; 0 where there is none, absent while unknown; use max over replicas.",
                &["queue", "lane", "state"],
            )?,
            bytes: metrics.depths(
                "mailfleet_queue_bytes",
                "Bytes that the entries of a lane store: job ids, envelopes and packed mail; absent while unknown; use max \
                 over replicas.",
                &["queue", "lane"],
            )?,
            refusing: metrics.depths(
                "mailfleet_queue_refusing",
                "1 while the lane refuses what is new, because of its entries or the memory of Redis (why), else 0; absent \
                 while unknown; use max over replicas.",
                &["queue", "lane", "why"],
            )?,
            dead: metrics.depths(
                "mailfleet_queue_dead_entries",
                "Lines of the index of dead letters, of which PostgreSQL has the truth; absent while unknown; use max over \
                 replicas.",
                &["queue"],
            )?,
            dead_by_lane: metrics.depths(
                "mailfleet_queue_dead_lane_entries",
                "Lines of the index of dead letters by the lane that the job had; absent while unknown, and with more than \
                 1000 lines in a partition; use max over replicas.",
                &["queue", "lane"],
            )?,
            dead_oldest_age: metrics.ages(
                "mailfleet_queue_dead_oldest_age_seconds",
                "Time since the oldest line of that index; 0 where there is none, absent while unknown; use max over \
                 replicas.",
                &["queue"],
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

    /// Shows one queue: entries and age of the oldest by lane and state, and the backlog. What is `None` is taken away: a
    /// zero would tell an autoscaler to go home.
    pub fn show<'a>(
        &self,
        queue: &str,
        entries: impl IntoIterator<Item = (Lane, &'a str, Option<u64>)>,
        ages: impl IntoIterator<Item = (Lane, &'a str, Option<Duration>)>,
        backlog: Option<u64>,
    ) {
        for (lane, state, entries) in entries {
            self.entries.set(&[queue, lane.as_str(), state], entries);
        }
        for (lane, state, age) in ages {
            self.oldest_age.set(&[queue, lane.as_str(), state], age);
        }
        self.backlog.set(&[queue], backlog);
    }

    /// Shows what the lanes of a queue store, and whether they refuse what is new: because of their entries, because of the
    /// memory of Redis. What is `None` is taken away.
    pub fn show_fill(
        &self,
        queue: &str,
        bytes: impl Fn(Lane) -> Option<u64>,
        refusing: impl Fn(Lane) -> Option<(bool, bool)>,
    ) {
        for lane in Lane::ALL {
            self.bytes.set(&[queue, lane.as_str()], bytes(lane));
            let (entries, memory) = refusing(lane).unzip();
            for (why, refusing) in [("entries", entries), ("memory", memory)] {
                self.refusing.set(&[queue, lane.as_str(), why], refusing.map(u64::from));
            }
        }
    }

    /// Shows the index of a queue's dead letters. What is `None` is taken away.
    pub fn show_dead(
        &self,
        queue: &str,
        entries: Option<u64>,
        of_lane: impl Fn(Lane) -> Option<u64>,
        oldest_age: Option<Duration>,
    ) {
        self.dead.set(&[queue], entries);
        for lane in Lane::ALL {
            self.dead_by_lane.set(&[queue, lane.as_str()], of_lane(lane));
        }
        self.dead_oldest_age.set(&[queue], oldest_age);
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
        let age = Some(Duration::from_secs(2));
        gauges.show("mail", [(Lane::Low, "waiting", Some(0))], [(Lane::High, "released", age)], Some(9));
        gauges.show_fill("mail", |_| Some(77), |lane| Some((lane == Lane::Low, false)));
        gauges.show_dead("mail", Some(3), |lane| (lane == Lane::Low).then_some(2), age);
        gauges.show_paused("mail", |lane| Some(lane == Lane::Low), Some(false));
        let known = text();
        for series in [
            "mailfleet_queue_entries{lane=\"low\",queue=\"mail\",state=\"waiting\"} 0",
            "mailfleet_queue_oldest_age_seconds{lane=\"high\",queue=\"mail\",state=\"released\"} 2",
            "mailfleet_queue_bytes{lane=\"normal\",queue=\"mail\"} 77",
            "mailfleet_queue_refusing{lane=\"low\",queue=\"mail\",why=\"entries\"} 1",
            "mailfleet_queue_refusing{lane=\"low\",queue=\"mail\",why=\"memory\"} 0",
            "mailfleet_queue_dead_entries{queue=\"mail\"} 3",
            "mailfleet_queue_dead_lane_entries{lane=\"low\",queue=\"mail\"} 2",
            "mailfleet_queue_dead_oldest_age_seconds{queue=\"mail\"} 2",
            "mailfleet_queue_backlog_entries{queue=\"mail\"} 9",
            "mailfleet_queue_paused{lane=\"high\",queue=\"mail\"} 0",
            "mailfleet_queue_paused{lane=\"low\",queue=\"mail\"} 1",
            "mailfleet_queue_closed{queue=\"mail\"} 0",
        ] {
            assert!(known.contains(series), "{series} in {known}");
        }
        gauges.show("mail", [(Lane::Low, "waiting", None)], [(Lane::High, "released", None)], None);
        gauges.show_fill("mail", |_| None, |_| None);
        gauges.show_dead("mail", None, |_| None, None);
        gauges.show_paused("mail", |_| None, None);
        assert_eq!(text(), "");
    }
}
