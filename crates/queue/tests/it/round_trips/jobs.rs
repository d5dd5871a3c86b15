//! The jobs of a life: several accounts in both partitions, all lanes, mail inside its entry and beside it.

use mailfleet_model::{JobId, Lane};
use mailfleet_queue::NewJob;

use crate::fixture::{at, envelope};

/// Of the larger ones raw mail lies beside its entry.
pub const INLINE_BYTES: usize = 1_024;
/// How many jobs there are.
pub const JOBS: u32 = 12;

/// The number of a job of a version to come. It is in the first partition.
pub const UNKNOWN: u32 = 100;

/// Jobs are known by their numbers.
pub fn id(number: u32) -> JobId {
    JobId::mail(&at(u128::from(number % 4), number))
}

/// The number of a job.
pub fn number(job: &JobId) -> u32 {
    job.mail_ref().unwrap().uid.get()
}

pub fn lane(number: u32) -> Lane {
    Lane::ALL[number as usize % 3]
}

/// Raw mail that compression makes no smaller; of every second job it lies beside its entry.
fn raw(number: u32) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number.into());
    std::iter::repeat_with(|| random.u8(..)).take(if number.is_multiple_of(2) { 3_000 } else { 30 }).collect()
}

pub fn job(number: u32) -> NewJob {
    let raw = raw(number);
    NewJob {
        envelope: envelope(at(u128::from(number % 4), number), raw.len()),
        lane: lane(number),
        raw: raw.into(),
    }
}
