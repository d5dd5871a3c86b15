//! Servers that misbehave, each a short script: what real servers, proxies and attackers have been seen to do.
//!
//! These are fault injectors beside the tests against a real Dovecot, not a replacement for them.

mod connecting;
mod examining;
mod fetching;
mod script;
mod waiting;
