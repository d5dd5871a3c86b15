//! Medians and percentiles.

/// The value at this share (0.0 to 1.0) of the sorted values, by nearest rank; 0 where there is none.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    // Range: the share is between 0 and 1, so the rank is between 0 and the number of values.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// The middle value.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    percentile(&values.into_iter().collect::<Vec<_>>(), 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_value_in_the_middle_and_the_percentile_the_one_at_its_rank() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let close = |a: f64, b: f64| (a - b).abs() < f64::EPSILON;
        assert!(close(percentile(&values, 0.99), 99.0) && close(percentile(&values, 1.0), 100.0));
        assert!(close(median([5.0, 1.0, 3.0]), 3.0) && close(median([]), 0.0));
    }
}
