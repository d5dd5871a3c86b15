//! Choosing ports that stay ours, and other things at random.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// Below the range from which Linux takes the local ports of outgoing connections (32768 and up). A port from that
/// range could be taken by any client while a server is down between `stop` and `start_again`; worse, a client that
/// keeps trying to reach it would at some point be connected to itself (TCP simultaneous open).
const FIRST: u16 = 15_000;
const COUNT: u16 = 17_000;

/// Any number. `RandomState` is seeded per process and changes with each call: randomness without a crate for it.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// A TCP port on 127.0.0.1 on which nothing listens, chosen at random so that test processes running side by side
/// hardly meet. Servers of this crate try again with another one where they do.
///
/// # Panics
/// When 200 ports in a row are taken.
#[must_use]
pub fn free_port() -> u16 {
    let seed = random();
    (0..200_u64)
        .map(|step| {
            let offset = seed.wrapping_add(step.wrapping_mul(7_919)) % u64::from(COUNT);
            FIRST + u16::try_from(offset).unwrap_or(0)
        })
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port among 200 tried on 127.0.0.1")
}

/// Another one, for a server that listens on two.
pub(crate) fn free_port_beside(taken: u16) -> u16 {
    (0..200).map(|_| free_port()).find(|port| *port != taken).expect("two different free ports on 127.0.0.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_can_be_listened_on_and_is_not_one_of_outgoing_connections() {
        let port = free_port();
        assert!((FIRST..FIRST + COUNT).contains(&port));
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a free port");
    }
}
