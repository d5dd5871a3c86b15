//! The slot of a key in a Redis Cluster, and calls that know theirs.

use std::ops::{Deref, DerefMut};

use redis::{Cmd, Pipeline, ScriptInvocation};

/// There are so many slots.
pub(crate) const SLOTS: u16 = 16_384;

/// The slot of a key: CRC16 (XMODEM) of its hash tag, or of all of it where it has none.
/// <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#key-distribution-model>
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    crc16(tag(key)) % SLOTS
}

/// What stands between the first `{` and the next `}`, unless that is nothing.
fn tag(key: &[u8]) -> &[u8] {
    let inner = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = key.get(open + 1..)?;
        rest.get(..rest.iter().position(|byte| *byte == b'}')?)
    });
    inner.filter(|tag| !tag.is_empty()).unwrap_or(key)
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// A call of a script that knows in which slot its keys are.
pub(crate) struct Call<'a> {
    invocation: ScriptInvocation<'a>,
    slot: u16,
}

impl<'a> Call<'a> {
    pub(crate) const fn new(invocation: ScriptInvocation<'a>, slot: u16) -> Self {
        Self { invocation, slot }
    }
}

impl<'a> Deref for Call<'a> {
    type Target = ScriptInvocation<'a>;

    fn deref(&self) -> &Self::Target {
        &self.invocation
    }
}

impl DerefMut for Call<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.invocation
    }
}

/// What is sent to one server.
#[derive(Clone, Copy)]
pub(crate) enum Request<'a> {
    Script(&'a Call<'a>),
    Command(&'a Cmd),
    /// With the slot of its keys, which are all in one.
    Pipeline(&'a Pipeline, u16),
}

impl Request<'_> {
    /// The slot of its keys; what has no key goes anywhere.
    pub(crate) fn slot(&self) -> u16 {
        match self {
            Self::Script(call) => call.slot,
            Self::Command(command) => key(command),
            Self::Pipeline(_, slot) => *slot,
        }
    }
}

/// The commands that are used outside of scripts have their key as their first argument.
fn key(command: &Cmd) -> u16 {
    match command.args_iter().nth(1) {
        Some(redis::Arg::Simple(key)) => slot_of(key),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_that_redis_computes() {
        // By CLUSTER KEYSLOT of a real server.
        for (key, slot) in [("123456789", 12_739), ("foo", 12_182), ("bar", 5_061)] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
        assert_eq!(slot_of(b"mailfleet:{foo}:high"), 12_182);
        assert_eq!(slot_of(b"a{}{foo}"), slot_of(b"a{}{foo}"));
        assert_ne!(slot_of(b"a{}{foo}"), 12_182, "an empty tag is none");
        assert_eq!(slot_of(b"x{foo}{bar}"), 12_182, "the first tag counts");
    }

    #[test]
    fn a_command_goes_where_its_key_is() {
        let mut command = redis::cmd("HMGET");
        command.arg("foo").arg("field");
        assert_eq!(Request::Command(&command).slot(), 12_182);
        assert_eq!(Request::Command(&redis::cmd("PING")).slot(), 0);
    }
}
