//! The jobs of a case: few, so that the same one comes again and again.

use std::ops::Range;

use mailfleet_model::{JobId, Lane};
use mailfleet_queue::NewJob;

use crate::fixture::{at, envelope};

/// Their numbers.
pub const UIDS: Range<u32> = 1..13;

/// Two accounts, of the same partition, of however many of one or three: an order is kept within a partition only.
pub const ACCOUNTS: [u128; 2] = [1, 4];

pub fn account(uid: u32) -> u128 {
    ACCOUNTS[usize::from(uid > 6)]
}

/// Raw mail of half of the jobs is kept beside its entry.
pub fn has_blob(uid: u32) -> bool {
    uid % 2 == 1
}

pub fn raw(uid: u32) -> Vec<u8> {
    format!("mail {uid}").repeat(if has_blob(uid) { 20 } else { 1 }).into_bytes()
}

/// Raw mail up to this size travels inside its entry.
pub const INLINE_BYTES: usize = 20;

pub fn id(uid: u32) -> JobId {
    JobId::mail(&at(account(uid), uid))
}

pub fn job(uid: u32, lane: Lane) -> NewJob {
    let raw = raw(uid);
    NewJob { envelope: envelope(at(account(uid), uid), raw.len()), lane, raw: raw.into() }
}
