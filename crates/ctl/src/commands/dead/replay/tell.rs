//! What a replay says while it runs: a bar on a terminal, plain lines elsewhere, a JSON object for each letter to scripts.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::time::Instant;

use crate::failure;
use crate::output;

/// Plain lines come at most this often.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Tells how far the replay is.
#[derive(Debug)]
pub struct Tell {
    bar: Option<ProgressBar>,
    json: bool,
    total: u64,
    said: Instant,
}

impl Tell {
    /// Of a replay of `total` letters.
    pub fn new(total: u64, json: bool) -> Self {
        let bar = (!json && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("replaying [{bar:40}] {pos}/{len}, {msg}{elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ");
            ProgressBar::new(total).with_style(style)
        });
        Self { bar, json, total, said: Instant::now() }
    }

    /// What became of one letter.
    pub fn letter(&self, id: i64, job: &str, fate: &str, why: Option<&str>) -> anyhow::Result<()> {
        if self.json {
            return output::json(&json!({ "letter": id, "job": job, "fate": fate, "why": why }));
        }
        if let Some(why) = why {
            let say = || failure::say(&format!("{id} cannot be replayed: {why}"));
            self.bar.as_ref().map_or_else(say, |bar| bar.suspend(say));
        }
        Ok(())
    }

    /// So many are gone through, and so many of them died again.
    pub fn progress(&mut self, gone: u64, died: u64) {
        let died = if died > 0 { format!("{died} died again, ") } else { String::new() };
        if let Some(bar) = &self.bar {
            bar.set_message(died);
            bar.set_position(gone);
        } else if !self.json && self.said.elapsed() >= PLAIN_EVERY {
            self.said = Instant::now();
            failure::note(&format!("{died}{gone} of {} gone through", self.total));
        }
    }

    /// Takes the bar off the screen.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
