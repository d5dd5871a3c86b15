//! What was measured, as tables for people or JSON for scripts.

use anyhow::Result;
use comfy_table::Table;
use serde_json::json;

use crate::backlog::SMALL;
use crate::jobs::{AT_ONCE, BATCH};
use crate::pickup::Pickup;
use crate::statistics::median;
use crate::throughput::{CLAIM, CONSUMERS, Throughput};

/// So many times as fast as each rival the queue is to be, each way.
const RATIO: f64 = 5.0;
/// A job with the large backlog may cost so many times what it costs with the small one.
const BACKLOG_RATIO: f64 = 1.15;

/// Everything of one run.
pub(crate) struct Report {
    jobs: u64,
    rounds: u64,
    pub(crate) ours: Vec<Throughput>,
    /// What Redis itself carries.
    pub(crate) bare: Vec<Throughput>,
    rivals: Vec<(&'static str, Vec<Throughput>, Option<String>)>,
    pub(crate) pickup: Option<Pickup>,
    pub(crate) small: Vec<f64>,
    pub(crate) large: Vec<f64>,
    pub(crate) large_backlog: u64,
}

fn medians(rounds: &[Throughput]) -> Throughput {
    Throughput {
        add: median(rounds.iter().map(|round| round.add)),
        process: median(rounds.iter().map(|round| round.process)),
        redis_micros: median(rounds.iter().map(|round| round.redis_micros)),
    }
}

impl Report {
    pub(crate) const fn new(jobs: u64, rounds: u64) -> Self {
        Self {
            jobs,
            rounds,
            ours: Vec::new(),
            bare: Vec::new(),
            rivals: Vec::new(),
            pickup: None,
            small: Vec::new(),
            large: Vec::new(),
            large_backlog: 0,
        }
    }

    /// Takes in a round of a rival; one that fails is shown as such and costs the others nothing.
    pub(crate) fn add_rival(&mut self, name: &'static str, measured: Result<Throughput>) {
        let known = self.rivals.iter().position(|(known, ..)| *known == name);
        let at = known.unwrap_or_else(|| {
            self.rivals.push((name, Vec::new(), None));
            self.rivals.len() - 1
        });
        match (measured, &mut self.rivals[at]) {
            (Ok(round), (_, rounds, _)) => rounds.push(round),
            (Err(error), (.., failed)) => *failed = Some(format!("{error:#}")),
        }
    }

    /// Half of what one Redis carries when as many jobs come as go.
    pub(crate) fn half_load(&self) -> f64 {
        // It has both ways to work on then, so a job costs the sum of what each way costs alone.
        let ours = medians(&self.ours);
        0.5 / (1.0 / ours.add + 1.0 / ours.process)
    }

    /// The bars that were missed, each with what was measured; a rival that failed is one.
    pub(crate) fn missed(&self) -> Vec<String> {
        let ours = medians(&self.ours);
        let mut missed = Vec::new();
        for (name, rounds, failed) in &self.rivals {
            if let Some(error) = failed {
                missed.push(format!("{name} failed: {error}"));
                continue;
            }
            let theirs = medians(rounds);
            for (way, ratio) in
                [("enqueued", ours.add / theirs.add), ("claimed and done", ours.process / theirs.process)]
            {
                if ratio < RATIO {
                    missed.push(format!("{way}: {ratio:.2} times {name}, of {RATIO}"));
                }
            }
        }
        let ratio = median(self.large.iter().copied()) / median(self.small.iter().copied());
        if ratio > BACKLOG_RATIO {
            missed.push(format!(
                "a job with the large backlog costs {ratio:.2} times as much, of {BACKLOG_RATIO}"
            ));
        }
        missed
    }

    /// Prints it.
    pub(crate) fn print(&self, as_json: bool) -> Result<()> {
        if as_json {
            println!("{}", serde_json::to_string_pretty(&self.json())?);
        } else {
            self.tables();
        }
        Ok(())
    }

    fn json(&self) -> serde_json::Value {
        let (ours, bare) = (medians(&self.ours), medians(&self.bare));
        let rivals = self.rivals.iter().map(|(name, rounds, failed)| {
            let theirs = medians(rounds);
            json!({ "name": name, "add_per_second": theirs.add, "process_per_second": theirs.process,
                "redis_micros_per_job": theirs.redis_micros, "ratio_add": ours.add / theirs.add,
                "ratio_process": ours.process / theirs.process,
                "ratio_redis": theirs.redis_micros / ours.redis_micros, "failed": failed })
        });
        let rivals = rivals.collect::<Vec<_>>();
        let (small, large) = (median(self.small.iter().copied()), median(self.large.iter().copied()));
        json!({
            "jobs": self.jobs, "rounds": self.rounds,
            "mailfleet": { "add_per_second": ours.add, "process_per_second": ours.process,
                "redis_micros_per_job": ours.redis_micros },
            "plain_commands": { "add_per_second": bare.add, "process_per_second": bare.process,
                "redis_micros_per_job": bare.redis_micros },
            "rivals": rivals,
            "pickup": self.pickup.map(|p| json!({ "jobs_per_second": p.load, "p50_ms": p.p50, "p99_ms": p.p99, "late_share": p.late })),
            "cpu_micros_per_job": { "small_backlog": SMALL, "small": small, "large_backlog": self.large_backlog,
                "large": large, "ratio": large / small },
        })
    }

    fn tables(&self) {
        let ours = medians(&self.ours);
        println!("Jobs a second, 1 KiB each, {} a round, median of {}.", self.jobs, self.rounds);
        println!(
            "Enqueued by {AT_ONCE} calls of {BATCH} at once. Each of mailfleet's {CONSUMERS} consumers claims up to {CLAIM} at a \
             time; BullMQ has no such call, and its worker works on 100 at once."
        );
        let mut table =
            new_table(["", "enqueued/s", "ratio", "claimed and done/s", "ratio", "Redis' µs a job", "ratio"]);
        let none = String::new;
        let us = "mailfleet".to_owned();
        let redis = format!("{:.1}", ours.redis_micros);
        table.add_row([us, whole(ours.add), none(), whole(ours.process), none(), redis, none()]);
        for (name, rounds, failed) in &self.rivals {
            match failed {
                Some(error) => table.add_row([(*name).to_owned(), format!("failed: {error}")]),
                None => table.add_row(row(name, ours, medians(rounds))),
            };
        }
        table.add_row(row("plain commands, no promise", ours, medians(&self.bare)));
        println!("{table}");
        if self.rivals.is_empty() {
            println!("No rival is installed: scripts/rivals.sh installs them.");
        }
        if let Some(pickup) = self.pickup {
            println!(
                "\nFrom when a job was due to be enqueued to its claim, at {} jobs a second:",
                whole(pickup.load)
            );
            let mut table = new_table(["p50", "p99", "rounds handed in late"]);
            table.add_row([
                format!("{:.2} ms", pickup.p50),
                format!("{:.2} ms", pickup.p99),
                format!("{:.1} %", pickup.late * 100.0),
            ]);
            println!("{table}");
        }
        if self.small.is_empty() {
            return;
        }
        let (small, large) = (median(self.small.iter().copied()), median(self.large.iter().copied()));
        println!(
            "\nProcessor time of a job (Redis and client; enqueued, claimed, done), median of {}:",
            self.small.len()
        );
        let mut table = new_table(["waiting", "µs a job", "ratio"]);
        table.add_row([SMALL.to_string(), format!("{small:.2}"), String::new()]);
        table.add_row([self.large_backlog.to_string(), format!("{large:.2}"), times(large / small)]);
        println!("{table}");
    }
}

/// A line of the first table.
fn row(name: &str, ours: Throughput, theirs: Throughput) -> [String; 7] {
    [
        name.to_owned(),
        whole(theirs.add),
        times(ours.add / theirs.add),
        whole(theirs.process),
        times(ours.process / theirs.process),
        format!("{:.1}", theirs.redis_micros),
        times(theirs.redis_micros / ours.redis_micros),
    ]
}

fn new_table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::ASCII_MARKDOWN).set_header(header);
    table
}

fn whole(value: f64) -> String {
    format!("{value:.0}")
}

fn times(ratio: f64) -> String {
    format!("{ratio:.2}")
}
