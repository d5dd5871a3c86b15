//! How often something came.

use std::time::Duration;

/// What comes so much later than it should is still in time: whoever notes it does so a moment after it happened.
const SLACK: Duration = Duration::from_millis(100);

/// The longest stretch with more than one event a second and `first` ones beside that, if there is one; `times` in their
/// order, from whatever beginning. A burst counts as much as what goes on for ever.
#[must_use]
pub fn more_than_one_a_second(times: &[Duration], first: usize) -> Option<String> {
    let stretches = (0..times.len()).flat_map(|from| (from..times.len()).map(move |to| (from, to)));
    let too_many = |(from, to): &(usize, usize)| {
        let seconds = (times[*to].saturating_sub(times[*from]) + SLACK).as_secs();
        (to - from + 1).saturating_sub(first) as u64 > seconds
    };
    let (from, to) = stretches.filter(too_many).max_by_key(|(from, to)| to - from)?;
    Some(format!("{} in {:?}", to - from + 1, times[to].saturating_sub(times[from])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(ms: u64, count: u64) -> Vec<Duration> {
        (0..count).map(|n| Duration::from_millis(n * ms)).collect()
    }

    #[test]
    fn one_a_second_and_the_first_ones_are_not_too_many_and_a_little_more_is_in_the_long_run() {
        assert_eq!(more_than_one_a_second(&[], 1), None);
        assert_eq!(more_than_one_a_second(&every(1_000, 100), 1), None);
        assert_eq!(more_than_one_a_second(&every(990, 10), 1), None, "noted late");
        assert_eq!(more_than_one_a_second(&every(0, 3), 3), None);
        assert_eq!(more_than_one_a_second(&every(0, 4), 3), Some("4 in 0ns".to_owned()));
        assert_eq!(more_than_one_a_second(&every(800, 6), 2), None);
        assert_eq!(more_than_one_a_second(&every(800, 11), 2), Some("11 in 8s".to_owned()));
    }
}
