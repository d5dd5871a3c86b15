//! The reasons that letters have, so that a slip of the keyboard is told from a reason of which there is no letter.

use anyhow::bail;
use mailfleet_store::{DeadFilter, Store};

/// The reasons that the fleet gives. A letter of a later version, or one written by hand, may have another.
const GIVEN: [&str; 9] = [
    "unknown_tenant",
    "unknown_account",
    "too_large",
    "attempts_exhausted",
    "crashes_exhausted",
    "refused_by_postgresql",
    "key_conflict",
    "malformed_entry",
    "parser_panicked",
];

/// An error for a reason that the fleet does not give and no letter ever had: an empty list would be no answer to it.
pub(super) async fn no_slip(store: &Store, reason: &str) -> anyhow::Result<()> {
    if GIVEN.contains(&reason) || ever(store, reason).await? {
        return Ok(());
    }
    bail!("no letter has the reason `{reason}`; {}", there_are(store).await?)
}

/// An error for a reason that no letter ever had: there was nothing to be done.
pub(super) async fn had_by_a_letter(store: &Store, reason: &str) -> anyhow::Result<()> {
    if ever(store, reason).await? {
        return Ok(());
    }
    bail!("no open letter with the reason `{reason}`; {}", there_are(store).await?)
}

/// Whether a letter has it or had it, open or not.
async fn ever(store: &Store, reason: &str) -> anyhow::Result<bool> {
    let filter =
        DeadFilter { reason: Some(reason.to_owned()), limit: 1, state: None, ..DeadFilter::default() };
    Ok(store.dead_letters(&filter).await?.highest.is_some())
}

/// The reasons of the open letters, with how many have them; without any, those that the fleet gives.
async fn there_are(store: &Store) -> anyhow::Result<String> {
    let open: Vec<String> =
        store.dead_count().await?.into_iter().map(|(reason, count)| format!("{reason} ({count})")).collect();
    if open.is_empty() {
        return Ok(format!("no letter is open at all; reasons are {}", GIVEN.join(", ")));
    }
    Ok(format!("there are: {}", open.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reasons_that_the_fleet_gives_are_those_of_the_runbook() {
        let runbook = include_str!("../../../../../deploy/runbooks/dead-letters.md");
        let (_, table) = runbook.split_once("| Reason |").unwrap();
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let firsts = rows.filter_map(|row| row.split('|').nth(1));
        let told: Vec<&str> = firsts.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        assert_eq!(told, GIVEN);
    }
}
