//! `mailfleet doctor`: what is reachable, what is wrong, what to do.

use crate::context::Context;
use crate::doctor::{Finding, Level, dead, imap, postgres, redis};
use crate::failure::Exit;
use crate::output::{self, OutputArgs, Rows};

/// Look at Redis, PostgreSQL and every account's IMAP server; say what is wrong and what to do
///
/// Exit code 1 when there is an error; warnings alone leave it at 0. Nothing is changed anywhere.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    output: OutputArgs,
    /// Leave the IMAP servers out
    #[arg(long)]
    no_imap: bool,
}

/// Looks at everything, in the order in which it matters, and goes on after an error.
pub async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let config = context.config()?;
    let queue = context.queue()?;
    let mut findings = redis::look(&queue).await;
    let store = context.store()?;
    findings.extend(postgres::look(&store).await);
    findings.extend(dead::look(&store, &queue).await);
    if !args.no_imap {
        findings.extend(imap::look(&store, &config.imap).await);
    }
    print(&findings, args.output)?;
    Ok(Exit::clean_if(findings.iter().all(|finding| finding.level != Level::Error)))
}

fn print(findings: &[Finding], output: OutputArgs) -> anyhow::Result<()> {
    if output.json {
        return findings.iter().try_for_each(output::json);
    }
    let mut rows = Rows::new(&["", "WHAT", "FOUND"]);
    for finding in findings {
        rows.push([finding.level.as_str().to_owned(), finding.area.clone(), finding.found.clone()]);
    }
    rows.print("nothing looked at")?;
    for finding in findings.iter().filter(|finding| finding.level != Level::Ok) {
        output::line(format_args!(
            "\n{}: {}\n  {}",
            finding.level.as_str(),
            crate::text::printable(&finding.area),
            crate::text::printable(&finding.remedy)
        ))?;
    }
    Ok(())
}
