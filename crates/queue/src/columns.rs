//! The arguments of the scripts that take entries out of a lane, in columns: see `lua/remove.lua`.

use mailfleet_model::{JobId, Lane};
use redis::ScriptInvocation;

use crate::keys::{Keys, lane_number};

/// One entry that leaves its lane.
#[derive(Clone, Copy)]
pub(crate) struct Leaving<'a> {
    pub(crate) entry_id: &'a str,
    pub(crate) job: &'a JobId,
    /// The raw mail lies beside the entry and leaves with it.
    pub(crate) has_blob: bool,
}

/// Writes the arguments for entries of one lane; `extra` writes what else the script wants of each, as columns.
pub(crate) fn write(
    script: &mut ScriptInvocation<'_>,
    keys: &Keys,
    consumer: &str,
    lane: Lane,
    entries: &[Leaving<'_>],
    extra: impl FnOnce(&mut ScriptInvocation<'_>),
) {
    script.arg(consumer).arg(lane_number(lane)).arg(entries.len());
    for entry in entries {
        script.arg(entry.entry_id);
    }
    for entry in entries {
        script.arg(entry.job.as_str());
    }
    extra(script);
    for (place, entry) in (1u32..).zip(entries).filter(|(_, entry)| entry.has_blob) {
        script.key(keys.blob(entry.job)).arg(place);
    }
}
