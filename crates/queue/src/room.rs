//! The bytes of raw mail that one claim may take.

use mailfleet_model::Lane;

use crate::reply::Row;

/// How many bytes a claim may take, and what each lane has had of its share of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes {
    all: u64,
    shares: [u64; 3],
    taken: [u64; 3],
}

impl Bytes {
    /// The lanes share them like the entries.
    pub(crate) fn new(all: u64, quotas: [u32; 3]) -> Self {
        let asked = u128::from(quotas.iter().sum::<u32>().max(1));
        let share = |quota: u32| u64::try_from(u128::from(all) * u128::from(quota) / asked);
        Self { all, shares: quotas.map(|quota| share(quota).unwrap_or(all)), taken: [0; 3] }
    }

    /// What is left of all.
    pub(crate) fn left(&self) -> u64 {
        self.all.saturating_sub(self.taken.iter().sum())
    }

    /// What is left of a lane's share; `None` where it is used up. A lane that has a share may always take one entry, so
    /// that large mail of one lane cannot keep the others from their turn.
    pub(crate) fn left_of_share(&self, lane: Lane) -> Option<u64> {
        let of = |lanes: &[u64; 3]| lanes.get(lane.index()).copied().unwrap_or(0);
        let left = of(&self.shares).checked_sub(of(&self.taken))?;
        (left > 0).then_some(left)
    }

    /// An entry is taken.
    pub(crate) fn take(&mut self, row: &Row) {
        if let Some(taken) = self.taken.get_mut(row.lane.index()) {
            *taken = taken.saturating_add(row.weight());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(lane: Lane, weight: usize) -> Row {
        Row::new(lane, "1-1".to_owned(), vec![(b"r".to_vec(), vec![0; weight])])
    }

    #[test]
    fn a_lane_that_has_a_share_may_take_one_entry_of_any_size_whatever_the_others_took() {
        let mut bytes = Bytes::new(100, [7, 2, 1]);
        bytes.take(&row(Lane::High, 1_000));
        assert_eq!((bytes.left(), bytes.left_of_share(Lane::High)), (0, None));
        assert_eq!(bytes.left_of_share(Lane::Normal), Some(20));
        assert_eq!(bytes.left_of_share(Lane::Low), Some(10));
    }

    #[test]
    fn a_lane_without_a_quota_has_no_share_but_what_is_left_is_for_all() {
        let mut bytes = Bytes::new(100, [0, 1, 0]);
        assert_eq!(bytes.left_of_share(Lane::Low), None);
        bytes.take(&row(Lane::Low, 60));
        assert_eq!(bytes.left(), 40);
    }
}
