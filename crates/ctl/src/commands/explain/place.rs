//! Where a job is in the queue, why it does not run there, and what was tried.

use std::time::Duration;

use chrono::DateTime;
use mailfleet_model::{ENVELOPE_VERSION, JobId, Lane};
use mailfleet_queue::{Location, State, Turn};
use serde_json::{Value, json};

use super::door::Look;
use crate::commands::dead;
use crate::commands::queue::{pause_json, since, time};
use crate::output::known;
use crate::text;

/// Attempts shown to people, the last ones; `--json` has them all.
const ATTEMPTS_SHOWN: usize = 5;

/// Where a job is, in one line for people.
pub(super) fn line(location: &Location) -> String {
    let Location { lane, state, counters, paused, .. } = location;
    let place = match state {
        State::Waiting => format!("waits in the {lane} lane{}", back(location.turn)),
        State::InFlight { consumer, idle_ms } => {
            let age = text::age(Duration::from_millis(*idle_ms));
            format!("is in the hands of {consumer} ({lane} lane, last sign of life {age} ago)")
        }
        State::Delayed { due_ms } if location.unknown_version.is_some() => {
            format!("waits for a newer consumer ({lane} lane), offered again at {}", time(*due_ms))
        }
        State::Delayed { due_ms } => format!("waits for its retry at {} ({lane} lane)", time(*due_ms)),
        State::Dead => format!("is in the index of dead letters ({lane} lane)"),
    };
    let paused =
        paused.as_ref().map(|pause| format!("; its lane is paused {}", since(pause))).unwrap_or_default();
    format!("{place}; {}{paused}", text::counters(*counters))
}

/// What is told of one that has been in a consumer's hands before.
const fn back(turn: Turn) -> &'static str {
    match turn {
        Turn::New => "",
        Turn::Next => ", before what is new (handed back, or its time came)",
        Turn::Alone => ", before what is new, and runs alone (a consumer died with it in hand)",
    }
}

/// Why it does not run at this moment, beyond what its line says; `None` where that says all, as of a paused lane.
pub(super) fn why(location: &Location, look: &Look, now_ms: i64) -> Option<String> {
    if location.paused.is_some() {
        return None;
    }
    if let (Some(version), State::Waiting | State::Delayed { .. }) =
        (location.unknown_version, &location.state)
    {
        return Some(format!(
            "its envelope is of version {version}, which only a newer consumer can read (this version knows \
             {ENVELOPE_VERSION}); nothing is counted against it"
        ));
    }
    match &location.state {
        State::Waiting => Some(its_turn(location.lane, look)),
        State::InFlight { idle_ms, .. } if *idle_ms > look.lease_ms => Some(format!(
            "its lease of {} has run out: another consumer takes it over",
            text::age(Duration::from_millis(look.lease_ms))
        )),
        State::Delayed { due_ms } if *due_ms <= now_ms => {
            Some(format!("its time has come; {}", its_turn(location.lane, look)))
        }
        // Counted failures stand in the history: without one nothing was held against it.
        State::Delayed { .. } if location.history.is_empty() => Some(
            "nothing is counted against it: servers were away, or it failed together with others".to_owned(),
        ),
        State::InFlight { .. } | State::Delayed { .. } | State::Dead => None,
    }
}

/// What is before it, and whether anybody works at all.
fn its_turn(lane: Lane, look: &Look) -> String {
    let numbers = look.depth.lane(lane);
    let waiting = numbers.waiting.zip(numbers.released).map(|(waiting, released)| waiting + released);
    let in_hand = Lane::ALL.into_iter().try_fold(0, |sum, lane| Some(sum + look.depth.lane(lane).in_flight?));
    let idle = if in_hand == Some(0) { ": do consumers run, and do they reach PostgreSQL?" } else { "" };
    let entries = if in_hand == Some(1) { "entry" } else { "entries" };
    format!("{} wait in its lane, consumers have {} {entries} in hand{idle}", known(waiting), known(in_hand))
}

/// What was tried, the last few.
pub(super) fn attempts(location: &Location) -> impl Iterator<Item = String> {
    let skipped = location.history.len().saturating_sub(ATTEMPTS_SHOWN);
    location.history.iter().skip(skipped).map(|attempt| dead::attempt_line(&json!(attempt)))
}

/// A place as one object.
pub(super) fn to_json(job: &JobId, place: &Location) -> Value {
    let mut value = json!({
        "job": job, "lane": place.lane, "counters": place.counters,
        "history": text::with_json_times(json!(place.history)), "entry": place.entry_id,
        "paused": pause_json(place.paused.as_ref()), "unknown_version": place.unknown_version,
    });
    let (state, more) = match &place.state {
        State::Waiting => {
            let turn = match place.turn {
                Turn::New => "new",
                Turn::Next => "next",
                Turn::Alone => "alone",
            };
            ("waiting", json!({ "turn": turn }))
        }
        State::InFlight { consumer, idle_ms } => {
            ("in_flight", json!({ "consumer": consumer, "idle_ms": idle_ms }))
        }
        State::Delayed { due_ms } => {
            ("delayed", json!({ "due": DateTime::from_timestamp_millis(*due_ms).map(text::json_time) }))
        }
        State::Dead => ("dead", json!({})),
    };
    if let (Some(object), Value::Object(more)) = (value.as_object_mut(), more) {
        object.insert("state".to_owned(), state.into());
        object.extend(more);
    }
    value
}

#[cfg(test)]
mod tests {
    use mailfleet_model::{Class, Counters};
    use mailfleet_queue::{Attempt, Pause};

    use super::*;
    use crate::commands::explain::door::tests::open;
    use crate::commands::queue::Kind;

    fn at(state: State) -> Location {
        let counters = Counters { attempts: 1, ..Counters::default() };
        let entry_id = "17-0".to_owned();
        let (turn, unknown_version) = (Turn::New, None);
        let history = Vec::new();
        Location { lane: Lane::Low, state, turn, unknown_version, counters, history, entry_id, paused: None }
    }

    #[test]
    fn what_waits_is_told_how_many_do_and_whether_anybody_works() {
        let mut look = open(Kind::Mails);
        (look.depth.lanes[2].waiting, look.depth.lanes[2].released) = (Some(7), Some(2));
        let said = why(&at(State::Waiting), &look, 0).unwrap();
        assert!(said.starts_with("9 wait in its lane") && said.contains("do consumers run"), "{said}");
        look.depth.lanes[0].in_flight = Some(3);
        let said = why(&at(State::Waiting), &look, 0).unwrap();
        assert_eq!(said, "9 wait in its lane, consumers have 3 entries in hand");
        look.depth.lanes[0].in_flight = None;
        look.depth.lanes[2].waiting = None;
        let said = why(&at(State::Waiting), &look, 0).unwrap();
        assert_eq!(said, "unknown wait in its lane, consumers have unknown entries in hand");
        let paused = Location { paused: Some(Pause::default()), ..at(State::Waiting) };
        assert_eq!(why(&paused, &look, 0), None, "the pause is the reason");
    }

    #[test]
    fn what_is_delayed_or_in_hand_is_told_why_it_still_is() {
        let look = open(Kind::Mails);
        let held = |idle_ms| at(State::InFlight { consumer: "a-1".to_owned(), idle_ms });
        assert_eq!(why(&held(30_000), &look, 0), None);
        assert!(why(&held(30_001), &look, 0).unwrap().contains("lease of 30 s has run out"));
        let delayed = at(State::Delayed { due_ms: 1_000 });
        assert!(why(&delayed, &look, 999).unwrap().starts_with("nothing is counted"));
        assert!(why(&delayed, &look, 1_000).unwrap().starts_with("its time has come; 0 wait"));
        let (worker, error) = ("a-1".to_owned(), "refused".to_owned());
        let history = vec![Attempt { at_ms: 5_000, worker, class: Class::Transient, error }; 7];
        let failed = Location { history, ..delayed };
        assert_eq!(why(&failed, &look, 999), None, "its attempts say it");
        let attempts: Vec<String> = attempts(&failed).collect();
        assert_eq!(attempts.len(), ATTEMPTS_SHOWN);
        assert_eq!(attempts[0], "1970-01-01T00:00:05Z by a-1: refused (transient)");
        assert!(line(&failed).ends_with("; 1 attempt, 0 crashes, 0 drains"), "{}", line(&failed));
    }
}
