//! The three lanes of a queue and how a consumer divides its capacity among them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A priority. The order is the order of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Bounces, replies to our messages, webhook events.
    High,
    /// New mail.
    Normal,
    /// Backfill: what was in the mailbox before mailfleet first saw it.
    Low,
}

impl Lane {
    /// All lanes, most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    /// The word used in keys, labels and configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// 0 for high, 1 for normal, 2 for low.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::High => 0,
            Self::Normal => 1,
            Self::Low => 2,
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no lane.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a lane: high, normal or low")]
pub struct UnknownLane(pub String);

impl FromStr for Lane {
    type Err = UnknownLane;

    fn from_str(text: &str) -> Result<Self, UnknownLane> {
        Self::ALL.into_iter().find(|lane| lane.as_str() == text).ok_or_else(|| UnknownLane(text.to_owned()))
    }
}

/// The guaranteed share of each lane when all are full; spare capacity goes by strict order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaneWeights {
    /// Share of the high lane, default 70.
    pub high: u32,
    /// Share of the normal lane, default 20.
    pub normal: u32,
    /// Share of the low lane, default 10.
    pub low: u32,
}

impl Default for LaneWeights {
    fn default() -> Self {
        Self { high: 70, normal: 20, low: 10 }
    }
}

impl LaneWeights {
    /// Divides `count` claims among the lanes, most urgent first.
    ///
    /// `ticket` is a number that grows by `count` with every claim: a lane gets the claims that fall into its
    /// slice of each round of `W = high + normal + low` tickets, so that even claims of one entry give every lane
    /// its share in the long run.
    ///
    /// The bound that follows, whatever the weights and the sizes of the claims: among any `W` tickets in a row there are
    /// `w` of a lane of weight `w`, and among any `W - w + 1` at least one. So of a lane that is not empty one consumer
    /// takes at least `w` entries in each `W` that it asks for, and an entry with `n` before it in its lane is taken at
    /// the latest when that consumer has asked for `(n / w + 1) * W` entries (and the rest of that claim), however full
    /// the other lanes are.
    #[must_use]
    pub fn quotas(&self, ticket: u64, count: u32) -> [u32; 3] {
        let weights = [u64::from(self.high), u64::from(self.normal), u64::from(self.low)];
        let round: u64 = weights.iter().sum();
        if round == 0 {
            return [count, 0, 0];
        }
        // How many of the tickets 0..n fall to each lane: whole rounds, then the part of the last round.
        let share = |n: u64| {
            let (rounds, mut rest) = (n / round, n % round);
            weights.map(|weight| {
                let part = rest.min(weight);
                rest -= part;
                rounds * weight + part
            })
        };
        let (before, after) = (share(ticket), share(ticket.saturating_add(u64::from(count))));
        let mut quotas = [0; 3];
        for ((quota, after), before) in quotas.iter_mut().zip(after).zip(before) {
            *quota = u32::try_from(after - before).unwrap_or(count);
        }
        quotas
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_claim_is_divided_without_remainder(
            high in 1u32..100, normal in 1u32..100, low in 1u32..100, ticket in 0u64..1_000_000, count in 0u32..500
        ) {
            let quotas = LaneWeights { high, normal, low }.quotas(ticket, count);
            prop_assert_eq!(quotas.iter().sum::<u32>(), count);
        }

        #[test]
        fn any_round_of_tickets_in_a_row_has_every_lanes_share_however_it_is_cut_into_claims(
            weights in weights(), start in any::<u32>(), claims in prop::collection::vec(1u32..600, 1..40)
        ) {
            let round: u32 = shares(&weights).iter().sum();
            let mut ticket = u64::from(start);
            let mut got = Vec::new();
            for &count in &claims {
                got.push(weights.quotas(ticket, count));
                ticket += u64::from(count);
            }
            for from in 0..claims.len() {
                for to in from..claims.len() {
                    let rounds = claims[from..=to].iter().sum::<u32>() / round;
                    for (lane, share) in shares(&weights).into_iter().enumerate() {
                        let sum: u32 = got[from..=to].iter().map(|quotas| quotas[lane]).sum();
                        prop_assert!(sum >= rounds * share, "{lane} in claims {from} to {to}: {sum}");
                        prop_assert!(sum <= (rounds + 1) * share, "{lane} in claims {from} to {to}: {sum}");
                    }
                }
            }
        }

        #[test]
        fn the_longest_gap_between_two_turns_of_a_lane_is_what_the_others_weigh(
            weights in weights(), start in any::<u32>()
        ) {
            let round: u32 = shares(&weights).iter().sum();
            for (lane, share) in shares(&weights).into_iter().enumerate() {
                prop_assert!(weights.quotas(start.into(), round - share + 1)[lane] >= 1);
            }
        }

        #[test]
        fn an_entry_is_taken_within_the_bound_however_full_the_other_lanes_are(
            weights in weights(), start in any::<u32>(), lane in 0usize..3, before in 0u32..500,
            claims in prop::collection::vec(1u32..600, 1..50)
        ) {
            let share = shares(&weights)[lane];
            let bound = u64::from(before / share + 1) * u64::from(shares(&weights).iter().sum::<u32>());
            // The other lanes never empty; a share that a lane does not need goes to others, never the other way.
            let (mut left, mut asked) = (before + 1, 0u64);
            for &count in claims.iter().cycle() {
                left = left.saturating_sub(weights.quotas(u64::from(start) + asked, count)[lane]);
                asked += u64::from(count);
                if left == 0 {
                    prop_assert!(asked < bound + u64::from(count), "{asked} of {bound}");
                    break;
                }
                prop_assert!(asked < bound, "{left} are left after {asked} of {bound}");
            }
        }
    }

    fn weights() -> impl Strategy<Value = LaneWeights> {
        let weight = || prop_oneof![1u32..10, 1u32..200];
        (weight(), weight(), weight()).prop_map(|(high, normal, low)| LaneWeights { high, normal, low })
    }

    const fn shares(weights: &LaneWeights) -> [u32; 3] {
        [weights.high, weights.normal, weights.low]
    }
}
