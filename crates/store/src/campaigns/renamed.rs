//! What leads were called before an import renamed them. A file may tell several names of one lead, however many lines apart:
//! what counts is whether it is called otherwise in the end.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use uuid::Uuid;

use super::sql::Stands;

/// So many are remembered, some 50 MB. Of those beyond it a second name is not counted, and a name that comes back in the
/// end counts as another one.
const REMEMBERED_MAX: usize = 1_000_000;

/// What some lines do to how a lead that stands is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It has another name than before the import.
    Renamed,
    /// It has the name again that it had before the import, which was counted as another one.
    TakenBack,
    /// It is counted already, as new or as renamed, or is what it was.
    None,
}

/// The leads that an import has renamed, with a hash of what they were called: two names that hash alike would only be
/// counted wrong.
#[derive(Debug, Default)]
pub(super) struct Renamed {
    before: HashMap<Uuid, u64>,
    hasher: RandomState,
}

impl Renamed {
    /// A lead that stands gets this name.
    pub(super) fn change(&mut self, stands: &Stands, name: Option<&str>) -> Change {
        let stood = self.hasher.hash_one(stands.name.as_deref());
        let now = self.hasher.hash_one(name);
        if !stands.ours {
            if stood == now {
                return Change::None;
            }
            if self.before.len() < REMEMBERED_MAX {
                self.before.insert(stands.id, stood);
            }
            return Change::Renamed;
        }
        // Of what is ours and not remembered the import has made the lead: it is counted as new, whatever it is called.
        match self.before.get(&stands.id) {
            Some(before) if stood == *before && now != *before => Change::Renamed,
            Some(before) if stood != *before && now == *before => Change::TakenBack,
            _ => Change::None,
        }
    }
}
