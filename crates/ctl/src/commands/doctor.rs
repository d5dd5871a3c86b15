//! `mailfleet doctor`: what is reachable, what is wrong, what to do.

use crate::context::Context;
use crate::doctor::{Finding, Level, dead, imap, postgres, redis};
use crate::failure::Exit;
use crate::output::{self, OutputArgs, Rows};
use crate::text;

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
    let queues = context.queues()?;
    let mut findings = redis::look(&queues.mails).await;
    let store = context.store()?;
    findings.extend(postgres::look(&store).await);
    findings.extend(dead::look(&store, &queues).await);
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
    for (remedy, findings) in by_remedy(findings) {
        output::line("")?;
        for Finding { level, area, found, .. } in findings {
            output::line(text::printable(&format!("{}: {area}: {found}", level.as_str())))?;
        }
        output::line(format_args!("  what to do: {}", text::printable(remedy)))?;
    }
    Ok(())
}

/// What is not well, by what to do about it, in the order of the findings.
fn by_remedy(findings: &[Finding]) -> Vec<(&str, Vec<&Finding>)> {
    let mut groups: Vec<(&str, Vec<&Finding>)> = Vec::new();
    for finding in findings.iter().filter(|finding| finding.level != Level::Ok) {
        match groups.iter_mut().find(|(remedy, _)| *remedy == finding.remedy) {
            Some((_, group)) => group.push(finding),
            None => groups.push((&finding.remedy, vec![finding])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_right_by_the_same_step_is_told_under_one_remedy() {
        let all = [
            Finding::error("postgres", "a is missing", "run it"),
            Finding::ok("redis", "fine"),
            Finding::warn("redis", "off", "turn it on"),
            Finding::error("postgres", "b is missing", "run it"),
        ];
        let groups = by_remedy(&all);
        assert_eq!(
            groups.iter().map(|(remedy, found)| (*remedy, found.len())).collect::<Vec<_>>(),
            [("run it", 2), ("turn it on", 1)]
        );
    }
}
