//! `make bench-queue`: how fast the queue is alone, beside others in the same run.
//!
//! Absolute figures move with the machine, ratios taken in one run count. Every part gets a fresh private Redis with
//! `appendonly yes` and `appendfsync everysec`, on the same machine as its clients.

mod backlog;
mod bare;
mod cpu;
mod jobs;
mod pickup;
mod report;
mod rivals;
mod server;
mod statistics;
mod throughput;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;

use crate::report::Report;

/// Measures the queue alone and prints a table with a `ratio` column.
#[derive(Parser)]
#[command(name = "bench-queue", version)]
struct Args {
    /// Jobs of 1 KiB in each round of the throughput part.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    jobs: u64,
    /// Rounds of each part; the median counts. The rivals take turns with us, round by round.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=101))]
    rounds: u64,
    /// Seconds of the pick-up part, at half of the throughput that was measured.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pickup_seconds: u64,
    /// The larger of the two backlogs whose cost of a job is compared; the smaller one is 10,000.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(20_000..=10_000_000))]
    backlog: u64,
    /// The installed rivals (see `scripts/rivals.sh`); what is not there is left out and said to be.
    #[arg(long, default_value = "target/rivals")]
    rivals: PathBuf,
    /// Leave out the pick-up and the backlogs.
    #[arg(long)]
    throughput_only: bool,
    /// End with 1 and say which, if a bar is missed.
    #[arg(long)]
    check: bool,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let rivals = rivals::installed(&args.rivals);
    let mut report = Report::new(args.jobs, args.rounds);
    for round in 1..=args.rounds {
        say(&format!("throughput, round {round} of {}: mailfleet", args.rounds));
        report.ours.push(throughput::measure(args.jobs).await?);
        say(&format!("throughput, round {round} of {}: plain commands", args.rounds));
        report.bare.push(bare::measure(args.jobs).await?);
        for rival in &rivals {
            say(&format!("throughput, round {round} of {}: {}", args.rounds, rival.name));
            report.add_rival(rival.name, rival.measure(args.jobs).await);
        }
    }
    if !args.throughput_only {
        measure_the_rest(&args, &mut report).await?;
    }
    report.print(args.json)?;
    let missed = report.missed();
    ensure!(!args.check || missed.is_empty(), "missed: {}", missed.join("; "));
    Ok(())
}

/// The pick-up, and the cost of a job with few and with many waiting.
async fn measure_the_rest(args: &Args, report: &mut Report) -> Result<()> {
    say(&format!("pick-up at half load, {} s", args.pickup_seconds));
    report.pickup = Some(pickup::measure(report.half_load(), args.pickup_seconds).await?);
    for round in 1..=backlog::ROUNDS {
        say(&format!("cost of a job, round {round} of {}", backlog::ROUNDS));
        report.small.push(backlog::measure(backlog::SMALL).await?);
        report.large.push(backlog::measure(args.backlog).await?);
    }
    report.large_backlog = args.backlog;
    Ok(())
}

fn say(text: &str) {
    eprintln!("bench-queue: {text}");
}
