//! The table at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::cast::Redelivered;
use super::kind::Kind;
use super::plan::Step;
use super::watch::Recovery;

/// What was measured, by kind of fault; steps of two faults have a line of their own.
#[derive(Debug, Default)]
pub struct Table {
    lines: BTreeMap<Option<Kind>, Line>,
    came: BTreeMap<Kind, u32>,
}

#[derive(Debug, Default)]
struct Line {
    progress: Vec<Duration>,
    caught_up: Vec<Duration>,
    redelivered: Redelivered,
}

impl Table {
    /// Takes in one step.
    pub fn add(&mut self, step: &Step, recovery: Recovery, redelivered: Redelivered) {
        for fault in &step.faults {
            *self.came.entry(fault.kind).or_insert(0) += 1;
        }
        let alone = (step.faults.len() == 1).then(|| step.faults[0].kind);
        let line = self.lines.entry(alone).or_default();
        line.progress.push(recovery.progress);
        line.caught_up.push(recovery.caught_up);
        line.redelivered = line.redelivered.plus(redelivered);
    }

    /// How often a kind came, alone or with another.
    pub fn came(&self, kind: Kind) -> u32 {
        self.came.get(&kind).copied().unwrap_or(0)
    }

    /// The table as text.
    pub fn render(&self) -> String {
        let mut text = format!(
            "times in s, p50/max; entries that came again: taken over, handed back, or run when all was done (two producers \
             that see one mail are enough for that)\n{:30} {:>5} {:>15} {:>17} {:>9} {:>11} {:>9}\n",
            "fault", "times", "goes on", "caught up", "reclaimed", "handed back", "run again"
        );
        let mut line = |name: &str, times: u32, line: Option<&Line>| {
            let empty = Line::default();
            let line = line.unwrap_or(&empty);
            writeln!(
                text,
                "{name:30} {times:>5} {:>15} {:>17} {:>9} {:>11} {:>9}",
                spread(&line.progress),
                spread(&line.caught_up),
                line.redelivered.reclaimed,
                line.redelivered.handed_back,
                line.redelivered.run_again
            )
            .unwrap();
        };
        for kind in Kind::ALL {
            line(kind.name(), self.came(kind), self.lines.get(&Some(kind)));
        }
        let two = self.lines.get(&None);
        line("two at once", u32::try_from(two.map_or(0, |line| line.progress.len())).unwrap(), two);
        text
    }
}

/// Median and maximum in seconds.
fn spread(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    match (times.get(times.len() / 2), times.last()) {
        (Some(median), Some(most)) => format!("{:.2}/{:.2}", median.as_secs_f64(), most.as_secs_f64()),
        _ => "-".to_owned(),
    }
}
