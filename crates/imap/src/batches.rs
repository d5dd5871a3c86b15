//! Dividing a listing into fetches.

use crate::source::UidInfo;

/// Cuts `infos` into consecutive batches of at most `max_count` messages and `max_bytes` bytes, in order.
///
/// A message larger than `max_bytes` travels alone. Sizes are the server's RFC822.SIZE: an estimate that bounds the
/// batch well enough, while the true length is bounded by `max_message_bytes`.
pub fn batches(infos: &[UidInfo], max_count: usize, max_bytes: u64) -> impl Iterator<Item = &[UidInfo]> {
    let mut rest = infos;
    std::iter::from_fn(move || {
        let mut bytes = 0u64;
        let fitting = rest
            .iter()
            .take(max_count.max(1))
            .take_while(|info| {
                bytes = bytes.saturating_add(info.size);
                bytes <= max_bytes
            })
            .count();
        // The first message always goes, however large it is; otherwise it would block the rest for ever.
        let (batch, left) = rest.split_at(fitting.max(1).min(rest.len()));
        rest = left;
        (!batch.is_empty()).then_some(batch)
    })
}

#[cfg(test)]
mod tests {
    use mailfleet_model::Uid;
    use proptest::prelude::*;

    use super::*;

    fn infos(sizes: &[u64]) -> Vec<UidInfo> {
        (1u32..)
            .zip(sizes)
            .map(|(n, &size)| UidInfo {
                uid: Uid::new(n).unwrap(),
                size,
                internal_date_ms: None,
                flags: Vec::new(),
            })
            .collect()
    }

    #[test]
    fn a_message_larger_than_the_limit_travels_alone() {
        let infos = infos(&[10, 500, 10, 10]);
        let sizes: Vec<usize> = batches(&infos, 10, 100).map(<[_]>::len).collect();
        assert_eq!(sizes, [1, 1, 2]);
    }

    proptest! {
        #[test]
        fn every_message_is_in_exactly_one_batch_and_batches_are_bounded(
            sizes in proptest::collection::vec(0u64..300, 0..200), count in 0usize..20, bytes in 0u64..1000
        ) {
            let infos = infos(&sizes);
            let mut all = Vec::new();
            for batch in batches(&infos, count, bytes) {
                prop_assert!(!batch.is_empty() && batch.len() <= count.max(1));
                prop_assert!(batch.len() == 1 || batch.iter().map(|i| i.size).sum::<u64>() <= bytes);
                all.extend_from_slice(batch);
            }
            prop_assert_eq!(all, infos);
        }
    }
}
