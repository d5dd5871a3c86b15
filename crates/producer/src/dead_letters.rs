//! Shows how many dead letters are open, by reason: what a person on call is to be told of. PostgreSQL has the truth, so
//! every replica asks it, and all show the same.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mailfleet_model::{Class, Classify};
use mailfleet_runtime::{DepthGauges, Shutdown};

use crate::services::Services;

/// How often they are counted.
const EVERY: Duration = Duration::from_secs(10);
/// Reasons shown by name. There are fewer today; a table that somebody filled by hand must not grow the metric.
const REASONS_MAX: usize = 20;
/// The name of the rest.
const OTHER: &str = "other";

/// Runs until the process stops.
pub async fn watch(services: Arc<Services>, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut shown = BTreeMap::new();
    while let Some(counted) = shutdown.unless_stopping(Box::pin(services.store.dead_count())).await {
        let counts = match counted {
            Ok(counts) => bounded(counts),
            Err(error) => {
                match services.outage_log.open() {
                    Some(suppressed) if matches!(error.class(), Class::Outage | Class::Transient) => {
                        tracing::warn!(suppressed, "{error}; open dead letters are not shown");
                    }
                    Some(suppressed) => {
                        tracing::error!(suppressed, "cannot count open dead letters: {error}");
                    }
                    None => {}
                }
                BTreeMap::new()
            }
        };
        show(&services.metrics.dead_open, &shown, &counts);
        shown = counts;
        if !shutdown.sleep(EVERY).await {
            break;
        }
    }
    Ok(())
}

/// The most frequent reasons, and the sum of all others, which is there even if it is 0: then the numbers are known.
fn bounded(mut counts: Vec<(String, u64)>) -> BTreeMap<String, u64> {
    counts.sort_by_key(|(_, letters)| Reverse(*letters));
    let rest = counts.split_off(counts.len().min(REASONS_MAX));
    let mut bounded = BTreeMap::from([(OTHER.to_owned(), rest.iter().map(|(_, letters)| letters).sum())]);
    for (reason, letters) in counts {
        *bounded.entry(reason).or_default() += letters;
    }
    bounded
}

/// Shows `now`; of `before`, what is no more goes. Never empty in between: somebody may be reading.
fn show(gauges: &DepthGauges, before: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) {
    for (reason, letters) in now {
        gauges.set(&[reason], Some(*letters));
    }
    for gone in before.keys().filter(|reason| !now.contains_key(*reason)) {
        gauges.set(&[gone], None);
    }
}

#[cfg(test)]
mod tests {
    use mailfleet_runtime::Metrics;

    use super::*;

    #[test]
    fn the_number_of_reasons_is_bounded_and_no_letter_is_left_out() {
        let many = (1..=100).map(|n| (format!("reason-{n}"), n)).collect();
        let counts = bounded(many);
        assert_eq!(counts.len(), REASONS_MAX + 1);
        assert_eq!(counts.values().sum::<u64>(), 5_050);
        assert_eq!((counts["reason-100"], counts[OTHER]), (100, (1..=80).sum::<u64>()));
        assert_eq!(bounded(Vec::new()), BTreeMap::from([(OTHER.to_owned(), 0)]));
        assert_eq!(bounded(vec![(OTHER.to_owned(), 3)]), BTreeMap::from([(OTHER.to_owned(), 3)]));
    }

    #[test]
    fn a_reason_that_is_no_more_and_an_unknown_number_are_absent() {
        let metrics = Metrics::default();
        let gauges = metrics.depths("open", "Open.", &["reason"]).unwrap();
        let text = || prometheus::TextEncoder::new().encode_to_string(&metrics.registry().gather()).unwrap();
        let first = bounded(vec![("data".to_owned(), 2), ("policy".to_owned(), 1)]);
        show(&gauges, &BTreeMap::new(), &first);
        assert!(text().contains("open{reason=\"data\"} 2") && text().contains("open{reason=\"other\"} 0"));
        let second = bounded(vec![("policy".to_owned(), 5)]);
        show(&gauges, &first, &second);
        assert!(!text().contains("data") && text().contains("open{reason=\"policy\"} 5"));
        show(&gauges, &second, &BTreeMap::new());
        assert!(!text().contains("open{"));
    }
}
