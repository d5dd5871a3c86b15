//! Whose turn it is: how one consumer divides what it asks for among lanes, and which partition it asks first.

use mailfleet_model::LaneWeights;

/// One consumer's place in the rounds of lanes and partitions.
///
/// A round are `W` tickets, the sum of the weights. The partition that is asked first stays so for a whole round at least,
/// wherever in it that began, and then the next one is: so each partition is first for at least the `w` tickets of a lane of
/// weight `w`, whatever the sizes of the claims, and no rhythm of theirs can keep a lane of one partition from its turn.
///
/// The bound that follows, with `P` partitions and no claim larger than `c`: an entry with `n` before it in its lane of its
/// partition is taken at the latest when this consumer has asked for `((n / w + 1) * P + 1) * (W + c)` entries, however full
/// all else is. With one partition it is `(n / w + 1) * W` (see [`LaneWeights::quotas`]). Large mail takes bytes instead of
/// entries: then it is at least one of the lane for each claim that has a ticket of it.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Grows by the size of every claim.
    ticket: u64,
    /// The partition that is asked first.
    first: u16,
    /// The ticket at which it became so.
    since: u64,
}

impl Turns {
    /// Begins anywhere: consumers that start together do not all begin with the same lane's turn in the same partition.
    pub(crate) const fn starting_at(ticket: u64, first: u16) -> Self {
        Self { ticket, first, since: ticket }
    }

    /// The lanes' shares of a claim of `count`, and the partition to ask first.
    pub(crate) fn next(&mut self, weights: LaneWeights, partitions: u16, count: u32) -> ([u32; 3], u16) {
        let round = [weights.high, weights.normal, weights.low].map(u64::from).iter().sum();
        if self.ticket - self.since >= round {
            (self.first, self.since) = (self.first.wrapping_add(1), self.ticket);
        }
        self.first %= partitions.max(1);
        let quotas = weights.quotas(self.ticket, count);
        self.ticket = self.ticket.saturating_add(u64::from(count));
        (quotas, self.first)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_lane_of_each_partition_has_its_turn_within_the_bound_whatever_the_sizes_of_the_claims(
            weights in [1u32..40, 1u32..40, 1u32..40], partitions in 1u16..6, from in any::<u32>(), first in 0u16..6,
            claims in prop::collection::vec(1u32..150, 1..40)
        ) {
            let [high, normal, low] = weights;
            let round: u64 = weights.map(u64::from).iter().sum();
            let largest = u64::from(claims.iter().copied().max().unwrap_or(1));
            let bound = |n: u64, weight: u32| {
                ((n / u64::from(weight) + 1) * u64::from(partitions) + 1) * (round + largest)
            };
            let mut turns = Turns::starting_at(from.into(), first);
            let mut taken = vec![[0u64; 3]; usize::from(partitions)];
            let mut asked = 0;
            // Every lane of every partition is full, so whoever is asked first gives all.
            for &count in claims.iter().cycle().take(2_000) {
                let (quotas, first) = turns.next(LaneWeights { high, normal, low }, partitions, count);
                asked += u64::from(count);
                for (taken, quota) in taken[usize::from(first)].iter_mut().zip(quotas) {
                    *taken += u64::from(quota);
                }
                for (lane, weight) in weights.into_iter().enumerate() {
                    for (partition, taken) in taken.iter().enumerate() {
                        let taken = taken[lane];
                        prop_assert!(
                            asked < bound(taken, weight),
                            "partition {partition}, lane {lane}: {taken} after {asked}"
                        );
                    }
                }
            }
        }
    }
}
