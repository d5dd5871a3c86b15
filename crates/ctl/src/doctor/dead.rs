//! The doctor's look at the dead letters.

use std::time::Duration;

use mailfleet_queue::Queues;
use mailfleet_store::Store;

use super::Finding;
use crate::commands::dead::lost;

const AREA: &str = "dead letters";
/// A younger replay may be half-way: it is marked in PostgreSQL first and put into the queue second.
const GRACE: Duration = Duration::from_secs(60);

/// Are there any, and are the replayed ones on their way. Where a server cannot be asked there is a finding about that
/// server already, and none here.
pub async fn look(store: &Store, queues: &Queues) -> Vec<Finding> {
    let Ok(open) = store.dead_count().await else { return Vec::new() };
    let mut findings = vec![judge(&open)];
    if let Ok(lost) = lost(store, queues, GRACE).await
        && !lost.is_empty()
    {
        findings.push(Finding::warn(
            AREA,
            format!("{} replayed ones are neither in the queue nor stored: Redis has lost them", lost.len()),
            "mailfleet dead replay --all puts them into the queue again",
        ));
    }
    findings
}

fn judge(open: &[(String, u64)]) -> Finding {
    let total: u64 = open.iter().map(|(_, count)| count).sum();
    if total == 0 {
        return Finding::ok(AREA, "none is open");
    }
    let reasons: Vec<String> = open.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let remedy =
        "see why with `mailfleet dead list` and `dead show`, put it right, then `mailfleet dead replay`";
    Finding::warn(AREA, format!("{total} open: {}", reasons.join(", ")), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn open_letters_are_named_by_reason() {
        assert_eq!(judge(&[]).level, Level::Ok);
        let finding = judge(&[("refused".into(), 1), ("unknown_tenant".into(), 2)]);
        assert_eq!(
            (finding.level, finding.found.as_str()),
            (Level::Warn, "3 open: 1 refused, 2 unknown_tenant")
        );
    }
}
