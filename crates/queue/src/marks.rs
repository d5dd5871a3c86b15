//! When a lane refuses what is new, and when it takes it again: the marks that `lua/marks.lua` holds lanes and memory
//! against.
//!
//! Backfill stops first, then new mail; what is urgent stops only where Redis itself refuses. The marks of memory keep
//! room for it, and for the moves of what is in the queue already.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mailfleet_model::Lane;
use redis::ScriptInvocation;

use crate::config::Config;
use crate::info::Memory;
use crate::queue::Queue;

/// The memory is asked for no more often than this.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How far below its mark the memory must fall, in per cent of all: done work frees that within seconds, and a client's
/// buffers alone do not use it.
const MEMORY_STEP: u8 = 5;

/// Where something begins, and below which it ends. 0 at the high end: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    high: u64,
    low: u64,
}

/// The marks of all lanes, and how much memory Redis uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks {
    entries: [Mark; Lane::ALL.len()],
    memory: [Mark; Lane::ALL.len()],
    used_percent: Option<u8>,
}

impl Marks {
    fn new(config: &Config, used_percent: Option<u8>) -> Self {
        let percent = u128::from(config.reopen_percent);
        let entries =
            [config.high_max_entries, config.normal_max_entries, config.low_max_entries].map(|high| {
                // At least one, since no lane has less than no entries.
                let low = u64::try_from(u128::from(high) * percent / 100).unwrap_or(high).max(1);
                Mark { high, low }
            });
        let memory = [0, config.normal_max_memory_percent, config.low_max_memory_percent]
            .map(|high| Mark { high: high.into(), low: high.saturating_sub(MEMORY_STEP).max(1).into() });
        Self { entries, memory, used_percent }
    }

    /// As the scripts read them.
    pub(crate) fn write(&self, script: &mut ScriptInvocation<'_>) {
        for mark in self.entries.iter().chain(&self.memory) {
            script.arg(mark.high).arg(mark.low);
        }
        script.arg(self.used_percent.map_or(-1, i64::from));
    }
}

/// What was last seen of the memory of Redis.
#[derive(Debug, Default)]
pub(crate) struct Pressure(Mutex<Seen>);

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    asked_at: Option<Instant>,
    used_percent: Option<u8>,
}

/// Whether what was seen is still to be gone by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It is.
    Fresh(Option<u8>),
    /// The caller is to ask, and is the only one who does.
    Again,
}

impl Pressure {
    fn look(&self, now: Instant) -> Look {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.asked_at.is_some_and(|at| now.saturating_duration_since(at) < ASK_EVERY) {
            return Look::Fresh(seen.used_percent);
        }
        seen.asked_at = Some(now);
        Look::Again
    }

    fn learn(&self, used_percent: Option<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).used_percent = used_percent;
    }
}

/// How much of its memory Redis uses, in per cent, rounded down; nothing of it where it has no limit.
fn used_percent(memory: Memory) -> Option<u8> {
    let Memory { used_bytes, max_bytes } = memory;
    let percent =
        max_bytes.map_or(0, |max| u128::from(used_bytes.unwrap_or(0)) * 100 / u128::from(max.max(1)));
    used_bytes.map(|_| u8::try_from(percent).unwrap_or(u8::MAX))
}

impl Queue {
    /// The marks with what is known of the memory. It is asked for once a second at most; an answer that does not come
    /// leaves it unknown, and then lanes that refused because of it go on doing so.
    pub(crate) async fn marks(&self) -> Marks {
        let used = match self.pressure().look(Instant::now()) {
            Look::Fresh(used) => used,
            Look::Again => {
                let used = self.memory().await.ok().and_then(used_percent);
                self.pressure().learn(used);
                used
            }
        };
        Marks::new(self.config(), used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_opens_again_at_the_configured_part_and_a_small_one_at_none_left() {
        let low = |high, percent| {
            let config = Config { low_max_entries: high, reopen_percent: percent, ..Config::default() };
            Marks::new(&config, None).entries[2].low
        };
        assert_eq!((low(20_000, 80), low(20_000, 100), low(3, 80), low(1, 80)), (16_000, 20_000, 2, 1));
        assert_eq!(low(1 << 40, 1), (1 << 40) / 100);
    }

    #[test]
    fn backfill_stops_first_then_new_mail_and_what_is_urgent_never_for_a_mark() {
        let marks = Marks::new(&Config::default(), Some(1));
        let [high, normal, low] = marks.memory;
        assert!(low.high < normal.high && low.low < low.high && normal.low < normal.high);
        assert_eq!((high.high, marks.entries[0].high), (0, 0));
        assert!(marks.entries[2].high < marks.entries[1].high);
    }

    #[test]
    fn memory_without_a_limit_is_not_used_up_and_hidden_memory_is_unknown() {
        let percent = |used_bytes, max_bytes| used_percent(Memory { used_bytes, max_bytes });
        assert_eq!(percent(Some(699), Some(1_000)), Some(69));
        assert_eq!(percent(Some(7), None), Some(0));
        assert_eq!(percent(None, None), None);
        assert_eq!(percent(Some(u64::MAX), Some(1)), Some(u8::MAX));
    }

    #[test]
    fn the_memory_is_asked_for_once_a_second_by_one_of_all() {
        let (pressure, now) = (Pressure::default(), Instant::now());
        assert_eq!(pressure.look(now), Look::Again);
        assert_eq!(pressure.look(now), Look::Fresh(None), "somebody is asking");
        pressure.learn(Some(70));
        assert_eq!(pressure.look(now + ASK_EVERY / 2), Look::Fresh(Some(70)));
        assert_eq!(pressure.look(now + ASK_EVERY), Look::Again);
    }
}
