//! What consumers say of entries that they were given again. What they hand back while they end is not among it: nobody is
//! there any more who could be asked.

use mailfleet_testkit::Process;
use mailfleet_tests::metrics;

/// Counts, of one consumer or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Redelivered {
    /// Taken over from one whose lease had run out.
    pub reclaimed: f64,
    /// Run again although the work was done, and stopped by the ledger or the inbox.
    pub run_again: f64,
    /// The same, and **not** stopped by the ledger or the inbox, but by the key of the row behind them. Mails and events of
    /// a run are all different, so it has to be none: the second wall must never be needed.
    pub past_the_ledger: f64,
}

impl Redelivered {
    /// What this one says. The process must answer.
    pub fn of(consumer: &Process) -> Self {
        let sum = |words: &[&str]| metrics::sum(consumer, words).unwrap_or(0.0);
        let outcome = |name: &str| sum(&["mailfleet_processed_total{", &format!("outcome=\"{name}\"")]);
        Self {
            run_again: outcome("redelivered"),
            past_the_ledger: outcome("duplicate")
                + sum(&["mailfleet_events_applied_total{", "result=\"duplicate\""]),
            // From the log, because the counter is up to five seconds late; and last, because a line may just be on its way.
            reclaimed: consumer.lines().iter().filter_map(|line| taken_over(&line.text)).sum(),
        }
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        self.with(other, |a, b| a + b)
    }

    /// What came since `before`.
    pub fn since(self, before: Self) -> Self {
        self.with(before, |a, b| a - b)
    }

    fn with(self, other: Self, combine: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            reclaimed: combine(self.reclaimed, other.reclaimed),
            run_again: combine(self.run_again, other.run_again),
            past_the_ledger: combine(self.past_the_ledger, other.past_the_ledger),
        }
    }
}

/// How many entries of a dead consumer this line tells of.
fn taken_over(line: &str) -> Option<f64> {
    let (_, rest) = line.split_once("entries of a consumer that is gone were taken over entries=")?;
    rest.split(' ').next()?.parse().ok()
}
