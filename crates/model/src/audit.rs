//! The arithmetic of "accounted for": which messages on the server have neither an outcome nor a live job.

use std::collections::BTreeSet;

use crate::ids::Uid;

/// The UIDs on the server that have no outcome in the ledger: the candidates whose live jobs are looked up next.
///
/// Outcomes must be read *before* the live jobs are asked for: a job that finishes in between is then found
/// neither live nor accounted for and is fetched once more, which the ledger makes harmless; the other order
/// could overlook one.
#[must_use]
pub fn unaccounted(on_server: &[Uid], with_outcome: &BTreeSet<Uid>) -> Vec<Uid> {
    on_server.iter().copied().filter(|uid| !with_outcome.contains(uid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_outcome_is_unaccounted() {
        let uid = |n| Uid::new(n).unwrap();
        let ledger = BTreeSet::from([uid(1), uid(3)]);
        assert_eq!(unaccounted(&[uid(1), uid(2), uid(3), uid(9)], &ledger), [uid(2), uid(9)]);
    }
}
