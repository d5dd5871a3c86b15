//! The ids that an import makes for leads of which none was given.

use uuid::Uuid;

/// Makes ids, and knows its own again without keeping them: they share the time and the chance of one UUIDv7 and end in a
/// number. So a file may tell the id of a lead after a line that did not, however many lines lie between.
#[derive(Debug)]
pub(super) struct MadeIds {
    seed: u128,
    next: u32,
}

impl MadeIds {
    pub(super) fn new() -> Self {
        Self { seed: Uuid::now_v7().as_u128() >> 32, next: 0 }
    }

    pub(super) fn make(&mut self) -> Uuid {
        let id = Uuid::from_u128((self.seed << 32) | u128::from(self.next));
        match self.next.checked_add(1) {
            Some(next) => self.next = next,
            // After four thousand million leads: a seed of its own, and those before count as given.
            None => *self = Self::new(),
        }
        id
    }

    pub(super) fn made(&self, id: Uuid) -> bool {
        id.as_u128() >> 32 == self.seed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_import_knows_the_ids_that_it_made_and_no_others() {
        let (mut mine, mut theirs) = (MadeIds::new(), MadeIds::new());
        let made: BTreeSet<Uuid> = (0..1_000).map(|_| mine.make()).collect();
        assert_eq!(made.len(), 1_000);
        assert!(made.iter().all(|id| mine.made(*id) && !theirs.made(*id) && id.get_version_num() == 7));
        assert!(!mine.made(theirs.make()) && !mine.made(Uuid::now_v7()));
        mine.next = u32::MAX;
        let last = mine.make();
        assert_eq!(last.as_u128() & u128::from(u32::MAX), u128::from(u32::MAX));
        assert!(!made.contains(&mine.make()), "a seed of its own");
    }
}
