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
    /// slice of each round of `high + normal + low` tickets, so that even claims of one entry give every lane
    /// its share in the long run and no lane waits longer than one round.
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
        fn no_lane_waits_longer_than_one_round(count in 1u32..50, start in 0u64..10_000) {
            let weights = LaneWeights::default();
            let mut got = [0u32; 3];
            let mut ticket = start;
            while ticket < start + 100 {
                for (sum, quota) in got.iter_mut().zip(weights.quotas(ticket, count)) {
                    *sum += quota;
                }
                ticket += u64::from(count);
            }
            prop_assert!(got[0] >= 70 && got[1] >= 20 && got[2] >= 10, "{:?}", got);
        }
    }
}
