//! The table at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::kind::Kind;
use super::plan::Step;
use super::redelivered::Redelivered;
use super::watch::Recovery;

/// What was measured, by kind of fault; steps of two faults have a line of their own.
#[derive(Debug, Default)]
pub struct Table {
    lines: BTreeMap<Option<Kind>, Line>,
    came: BTreeMap<Kind, u32>,
}

#[derive(Debug, Default)]
struct Line {
    goes_on: Vec<Duration>,
    mails: Vec<Duration>,
    calls: Vec<Duration>,
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
        line.goes_on.push(recovery.goes_on);
        line.mails.push(recovery.mails);
        line.calls.push(recovery.calls);
        line.redelivered = line.redelivered.plus(redelivered);
    }

    /// How often a kind came, alone or with another.
    pub fn came(&self, kind: Kind) -> u32 {
        self.came.get(&kind).copied().unwrap_or(0)
    }

    /// The table as text.
    pub fn render(&self) -> String {
        let mut text = format!(
            "times in s from the end of the fault, p50/max, until the next mail was done, and all mails and all calls that had \
             come before; entries that came again: taken over, or run when all was done (two producers that see \
             one mail are enough for that)\n{:30} {:>5} {:>11} {:>11} {:>11} {:>9} {:>9}\n",
            "fault", "times", "goes on", "mails", "calls", "reclaimed", "run again"
        );
        let mut line = |name: &str, times: u32, line: Option<&Line>| {
            let empty = Line::default();
            let line = line.unwrap_or(&empty);
            writeln!(
                text,
                "{name:30} {times:>5} {:>11} {:>11} {:>11} {:>9} {:>9}",
                spread(&line.goes_on),
                spread(&line.mails),
                spread(&line.calls),
                line.redelivered.reclaimed,
                line.redelivered.run_again
            )
            .unwrap();
        };
        for kind in Kind::ALL {
            line(kind.name(), self.came(kind), self.lines.get(&Some(kind)));
        }
        let two = self.lines.get(&None);
        line("two at once", u32::try_from(two.map_or(0, |line| line.goes_on.len())).unwrap(), two);
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
