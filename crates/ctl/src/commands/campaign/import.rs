//! `mailfleet campaign import`.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use mailfleet_store::{Imported, LeadImport, NewLead};
use serde_json::json;

use super::lines::Lines;
use crate::commands::tenant;
use crate::context::Context;
use crate::failure::{self, Exit};
use crate::output::{self, OutputArgs};
use crate::text;

/// Lines sent to PostgreSQL at once.
const CHUNK: usize = 1_000;
/// Bad lines that are shown to people; the others are counted. Scripts get all.
const SHOWN: u64 = 50;

/// Bring in campaigns and leads
///
/// A CSV file with a header row (campaign, email, and where wanted campaign_id, lead_id, name), or JSON: an array of
/// objects with these keys, or one object a line. What is known is updated, what is new is added, nothing is removed; the
/// same file again changes nothing. Ids are the platform's UUIDs; where none is given the known one stays, or one is made.
/// Where several lines tell of one lead their fields are put together, and an empty field erases nothing.
///
/// All lines go in, or none, unless bad ones are to be skipped. Bad lines are named with their numbers, the first 50 of them,
/// and all with --json. A file that cannot be read to its end, as where a quote is left open, is never imported. Mails that
/// named a campaign by X-Campaign-ID before it was known are tied to it then.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    mailfleet campaign import leads.csv --tenant acme --dry-run\n  \
    mailfleet campaign import leads.json --tenant acme --skip-bad --json")]
pub struct Args {
    /// The file: .csv, .json or .jsonl
    file: PathBuf,
    /// Whose campaigns they are: a tenant's name or id
    #[arg(long)]
    tenant: String,
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Leave bad lines out instead of importing nothing
    #[arg(long)]
    skip_bad: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Imports the file.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let mut lines = Lines::open(&args.file)?;
    let store = context.store()?;
    let tenant = tenant::find(&store, &args.tenant).await?;
    let length = std::fs::metadata(&args.file).map_or(0, |file| file.len());
    let bar = bar(length);
    let import = store.import_leads(tenant).await?;
    let mut run = Run { import, lines: 0, bad: 0, named: 0, unnamed: 0, json: args.output.json };
    let outcome = run.read(&mut lines, &bar).await;
    bar.finish_and_clear();
    outcome.with_context(|| format!("nothing was imported from {}", args.file.display()))?;
    let Run { import, lines, bad, unnamed, .. } = run;
    if unnamed > 0 {
        failure::note(&format!(
            "and {}; --json names all",
            text::count(unnamed, "more bad line", "more bad lines")
        ));
    }
    let taken = !args.dry_run && (bad == 0 || args.skip_bad);
    let imported = if taken { import.commit().await? } else { import.abandon().await? };
    say(args, imported, lines, bad, taken)?;
    if bad > 0 && !args.skip_bad {
        bail!(
            "nothing was imported: {bad} of {} bad; mend the file, or leave them out with --skip-bad",
            text::count(lines, "line is", "lines are")
        );
    }
    Ok(Exit::Clean)
}

struct Run {
    import: LeadImport,
    lines: u64,
    bad: u64,
    /// How many bad ones were named.
    named: u64,
    /// Bad lines that were only counted.
    unnamed: u64,
    json: bool,
}

impl Run {
    async fn read(&mut self, lines: &mut Lines, bar: &ProgressBar) -> anyhow::Result<()> {
        let (mut numbers, mut chunk) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
        while let Some(line) = lines.next()? {
            self.lines += line.count;
            match line.lead {
                Ok(lead) => {
                    numbers.push(line.number);
                    chunk.push(lead);
                }
                Err(why) => self.bad(line.number, line.count, &why)?,
            }
            if chunk.len() == CHUNK {
                self.send(&numbers, &chunk).await?;
                numbers.clear();
                chunk.clear();
                bar.set_position(lines.bytes());
            }
        }
        self.send(&numbers, &chunk).await
    }

    async fn send(&mut self, numbers: &[u64], chunk: &[NewLead]) -> anyhow::Result<()> {
        for (index, why) in self.import.add(chunk).await? {
            self.bad(numbers.get(index).copied().unwrap_or(0), 1, &why)?;
        }
        Ok(())
    }

    fn bad(&mut self, number: u64, count: u64, why: &str) -> anyhow::Result<()> {
        self.bad += count;
        if self.json {
            return output::json(&json!({ "line": number, "error": why }));
        }
        if self.named < SHOWN {
            self.named += 1;
            failure::note(&format!("line {number}: {why}"));
        } else {
            self.unnamed += count;
        }
        Ok(())
    }
}

/// A bar over the bytes of the file, where somebody watches.
fn bar(length: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("importing [{bar:40}] {bytes}/{total_bytes}, {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(length).with_style(style)
}

fn say(args: &Args, imported: Imported, lines: u64, bad: u64, taken: bool) -> anyhow::Result<()> {
    let Imported { new_campaigns, renamed_campaigns, new_leads, changed_leads, unchanged } = imported;
    if args.output.json {
        return output::json(&json!({
            "imported": taken, "dry_run": args.dry_run, "lines": lines, "bad": bad, "new_campaigns": new_campaigns,
            "renamed_campaigns": renamed_campaigns, "new_leads": new_leads, "changed_leads": changed_leads,
            "unchanged": unchanged,
        }));
    }
    if !taken && !args.dry_run {
        return Ok(());
    }
    let word = if args.dry_run { "would be imported" } else { "imported" };
    output::line(format_args!(
        "{word}: {} and {}; changed: {} and {}; unchanged: {}{}",
        text::count(new_campaigns, "new campaign", "new campaigns"),
        text::count(new_leads, "new lead", "new leads"),
        text::count(renamed_campaigns, "campaign", "campaigns"),
        text::count(changed_leads, "lead", "leads"),
        text::count(unchanged, "line", "lines"),
        if bad > 0 { format!("; bad: {}", text::count(bad, "line", "lines")) } else { String::new() },
    ))
}
