//! Writing UIDs as an IMAP sequence set.

use std::fmt::Write;

use mailfleet_model::Uid;

/// No set is longer than this many bytes: RFC 9051 §4 asks clients to keep command lines below 8,192 octets.
const MAX_SET_BYTES: usize = 7_000;

/// Writes ascending UIDs as sequence sets with ranges where they adjoin, in as many sets as the length limit needs.
/// Always ascending: some servers answer a descending set with BAD.
pub(crate) fn uid_sets(uids: &[Uid]) -> Vec<String> {
    let mut sets = Vec::new();
    let mut set = String::new();
    let mut rest = uids;
    while let Some(&first) = rest.first() {
        let run =
            rest.iter().zip(first.get()..=u32::MAX).take_while(|(uid, number)| uid.get() == *number).count();
        let (range, left) = rest.split_at(run.clamp(1, rest.len()));
        rest = left;
        if !set.is_empty() {
            set.push(',');
        }
        // Writing into a String cannot fail.
        let _ = match range.last() {
            Some(&last) if last > first => write!(set, "{first}:{last}"),
            _ => write!(set, "{first}"),
        };
        if set.len() >= MAX_SET_BYTES {
            sets.push(std::mem::take(&mut set));
        }
    }
    if !set.is_empty() {
        sets.push(set);
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uids(numbers: &[u32]) -> Vec<Uid> {
        numbers.iter().map(|&n| Uid::new(n).unwrap()).collect()
    }

    #[test]
    fn adjoining_uids_become_ranges() {
        assert_eq!(uid_sets(&uids(&[1, 2, 3, 5, 7, 8, u32::MAX])), ["1:3,5,7:8,4294967295"]);
        assert!(uid_sets(&[]).is_empty());
    }

    #[test]
    fn a_long_set_is_split_below_the_line_limit() {
        let numbers: Vec<u32> = (0..5_000).map(|n| 1_000_000 + n * 2).collect();
        let sets = uid_sets(&uids(&numbers));
        assert!(sets.len() > 1 && sets.iter().all(|set| set.len() < 7_100));
        let back: Vec<u32> =
            sets.iter().flat_map(|set| set.split(',').map(|n| n.parse::<u32>().unwrap())).collect();
        assert_eq!(back, numbers);
    }
}
