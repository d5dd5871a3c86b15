//! Key names. All keys of a partition share one hash tag, so that they live in one slot of a Redis Cluster.

use mailfleet_model::{JobId, Lane};

use crate::server::slot_of;

/// The consumer group of every lane.
pub(crate) const GROUP: &str = "consumers";

/// The keys of one partition.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: String,
    /// The nine keys that every script gets, in the order of `lua/prelude.lua`.
    shared: [String; 9],
    /// The channel on which new work is announced.
    pub(crate) bell: String,
    /// A random mark that lives as long as the data.
    pub(crate) epoch: String,
    /// The slot of all of them in a Redis Cluster.
    pub(crate) slot: u16,
}

impl Keys {
    pub(crate) fn new(queue: &str, partition: u16) -> Self {
        let prefix = format!("mailfleet:{{{queue}:{partition}}}");
        let key = |name: &str| format!("{prefix}:{name}");
        let [high, normal, low] = Lane::ALL.map(|lane| key(lane.as_str()));
        Self {
            shared: [
                high,
                normal,
                low,
                key("delayed"),
                key("dead"),
                key("live"),
                key("paused"),
                key("accounts"),
                key("recount"),
            ],
            bell: key("bell"),
            epoch: key("epoch"),
            slot: slot_of(prefix.as_bytes()),
            prefix,
        }
    }

    pub(crate) const fn shared(&self) -> &[String; 9] {
        &self.shared
    }

    /// The stream of a lane.
    pub(crate) fn lane(&self, lane: Lane) -> &str {
        let [high, normal, low, ..] = &self.shared;
        match lane {
            Lane::High => high,
            Lane::Normal => normal,
            Lane::Low => low,
        }
    }

    pub(crate) fn dead(&self) -> &str {
        let [_, _, _, _, dead, ..] = &self.shared;
        dead
    }

    /// The records of the live jobs.
    pub(crate) fn live(&self) -> &str {
        let [_, _, _, _, _, live, ..] = &self.shared;
        live
    }

    /// The words of operators, see `pause.rs`.
    pub(crate) fn paused(&self) -> &str {
        let [_, _, _, _, _, _, paused, ..] = &self.shared;
        paused
    }

    pub(crate) fn blob(&self, job: &JobId) -> String {
        format!("{}:blob:{job}", self.prefix)
    }
}

/// The partition of a job: by account, so that one account's mail stays together.
pub(crate) fn partition_of(job: &JobId, partitions: u16) -> u16 {
    let number = job.mail_ref().map_or_else(
        // FNV-1a: stable across builds and machines, which the standard hasher does not promise.
        || {
            job.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            })
        },
        |at| {
            let (high, low) = at.account.0.as_u64_pair();
            high ^ low
        },
    );
    // Unwrap safety: the remainder of a division by a u16 is one.
    u16::try_from(number % u64::from(partitions.max(1))).unwrap_or(0)
}

/// The number of a lane in the scripts.
pub(crate) const fn lane_number(lane: Lane) -> u8 {
    match lane {
        Lane::High => 1,
        Lane::Normal => 2,
        Lane::Low => 3,
    }
}

/// The letter of a lane in records.
pub(crate) const fn lane_letter(lane: Lane) -> char {
    match lane {
        Lane::High => 'h',
        Lane::Normal => 'n',
        Lane::Low => 'l',
    }
}

/// The lane of a letter.
pub(crate) fn lane_of_letter(letter: &str) -> Option<Lane> {
    Lane::ALL.into_iter().find(|lane| letter.chars().eq([lane_letter(*lane)]))
}

/// The lane of a number.
pub(crate) fn lane_of_number(number: i64) -> Option<Lane> {
    Lane::ALL.into_iter().find(|lane| i64::from(lane_number(*lane)) == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_a_partition_carries_its_hash_tag() {
        let keys = Keys::new("email:processing", 3);
        let job = JobId::parse("m:6d0b5e4e52a44f0e9d5f8f8a6d7d0001:7:1:2").unwrap();
        let blob = keys.blob(&job);
        let tag = "mailfleet:{email:processing:3}:";
        assert!(keys.shared().iter().chain([&keys.bell, &keys.epoch, &blob]).all(|key| key.starts_with(tag)));
        assert_eq!(keys.shared()[0], "mailfleet:{email:processing:3}:high");
        assert!(keys.shared().iter().chain([&blob]).all(|key| slot_of(key.as_bytes()) == keys.slot));
    }

    #[test]
    fn one_account_stays_in_one_partition() {
        let job = |uid| JobId::parse(&format!("m:6d0b5e4e52a44f0e9d5f8f8a6d7d0001:7:1:{uid}")).unwrap();
        let first = partition_of(&job(1), 8);
        assert!(first < 8);
        assert!((2..100).all(|uid| partition_of(&job(uid), 8) == first));
        assert_eq!(partition_of(&job(1), 1), 0);
    }
}
