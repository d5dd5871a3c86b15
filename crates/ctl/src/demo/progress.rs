//! What the demo says while it works: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Plain lines come at most this often.
const PLAIN_EVERY: Duration = Duration::from_secs(2);

/// Says one step of the preparation.
pub fn step(text: &str) {
    // Nothing to be done about a closed standard error.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Counts mails up to a total.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    said: Option<(u64, Instant)>,
}

impl Progress {
    /// A bar over `total` mails.
    pub fn new(total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg:>24} [{bar:40}] {pos}/{len} mails, {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ");
            ProgressBar::new(total).with_style(style)
        });
        Self { bar, total, said: None }
    }

    /// `done` mails are accounted for; `doing` says what is going on.
    pub fn set(&mut self, done: u64, doing: &'static str) {
        if let Some(bar) = &self.bar {
            bar.set_message(doing);
            bar.set_position(done);
            return;
        }
        let due = self
            .said
            .is_none_or(|(last, at)| last != done && (done >= self.total || at.elapsed() >= PLAIN_EVERY));
        if due {
            step(&format!("{doing}: {done}/{} mails", self.total));
            self.said = Some((done, Instant::now()));
        }
    }

    /// Takes the bar off the screen.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
