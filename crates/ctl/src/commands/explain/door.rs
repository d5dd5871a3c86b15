//! Whether a queue takes what is new, and how much is in it: why something is not in it, and why it does not move.

use mailfleet_model::Lane;
use mailfleet_queue::{Depth, Paused, Queue};
use serde_json::{Value, json};

use crate::commands::queue::{Kind, closed_line, pause_json, refusal_words};

/// A queue at one moment.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) kind: Kind,
    pub(super) depth: Depth,
    pub(super) lease_ms: u64,
    paused: Paused,
}

impl Look {
    /// Looks.
    pub(super) async fn at(kind: Kind, queue: &Queue) -> mailfleet_queue::Result<Self> {
        let (depth, paused) = (queue.depth().await?, queue.paused().await?);
        Ok(Self { kind, depth, paused, lease_ms: queue.config().lease_ms })
    }

    /// What keeps new entries out, a sentence for each; none where all lanes take them.
    pub(super) fn shut(&self) -> Vec<String> {
        let kind = self.kind.as_str();
        let waits = match self.kind {
            Kind::Mails => "mail waits in its mailbox",
            Kind::Events => "calls wait in PostgreSQL",
        };
        let refuses = |lane: Lane| match self.depth.lane(lane).refuses {
            None => Some(format!("{kind}: whether the {lane} lane refuses what is new is not known")),
            Some(why) if why.any() => {
                let mut reasons = Vec::new();
                if why.by_entries {
                    reasons.push("it has as many entries as it may");
                }
                if why.by_memory {
                    reasons.push("Redis has too little memory left for it");
                }
                Some(format!(
                    "{kind}: the {lane} lane refuses what is new, {}; {waits} and comes by itself when there is room",
                    reasons.join(" and ")
                ))
            }
            Some(_) => None,
        };
        let closed = self.paused.closed.iter().map(|closed| closed_line(self.kind, closed));
        closed.chain(Lane::ALL.into_iter().filter_map(refuses)).collect()
    }

    /// As one object, in the words of `queue depth`.
    pub(super) fn to_json(&self) -> Value {
        let refuses: serde_json::Map<String, Value> = Lane::ALL
            .into_iter()
            .map(|lane| (lane.to_string(), json!(self.depth.lane(lane).refuses.map(refusal_words))))
            .collect();
        json!({
            "kind": self.kind.as_str(), "closed": pause_json(self.paused.closed.as_ref()), "refuses": refuses,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use mailfleet_queue::{LaneDepth, Pause, Refuses};

    use super::*;

    /// A queue with nothing in it that takes all there is.
    pub(crate) fn open(kind: Kind) -> Look {
        let lane = LaneDepth {
            waiting: Some(0),
            in_flight: Some(0),
            delayed: Some(0),
            released: Some(0),
            paused: Some(false),
            refuses: Some(Refuses::default()),
            ..LaneDepth::default()
        };
        let depth = Depth { lanes: [lane; 3], closed: Some(false), ..Depth::default() };
        Look { kind, depth, paused: Paused::default(), lease_ms: 30_000 }
    }

    #[test]
    fn each_door_that_is_shut_is_named_with_its_reason_and_an_unknown_one_is_no_open_one() {
        let mut look = open(Kind::Mails);
        assert_eq!(look.shut(), Vec::<String>::new());
        look.depth.lanes[2].refuses = Some(Refuses { by_entries: true, by_memory: true });
        look.depth.lanes[1].refuses = None;
        look.paused.closed = Some(Pause { reason: Some("three partitions".to_owned()), ..Pause::default() });
        let [closed, normal, low] = look.shut().try_into().unwrap();
        assert!(
            closed.starts_with("mails: closed since ") && closed.contains("three partitions"),
            "{closed}"
        );
        assert_eq!(normal, "mails: whether the normal lane refuses what is new is not known");
        assert!(low.contains("as many entries as it may and Redis has too little memory"), "{low}");
        let json = look.to_json();
        assert_eq!(
            (&json["refuses"]["low"], &json["refuses"]["normal"]),
            (&json!(["entries", "memory"]), &Value::Null)
        );
        assert_eq!(
            (&json["refuses"]["high"], &json["closed"]["reason"]),
            (&json!([]), &json!("three partitions"))
        );
    }
}
