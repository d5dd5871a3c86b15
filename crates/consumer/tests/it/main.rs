//! The real consumer on real servers: mails go in through the queue, and PostgreSQL tells what became of them.

mod attempts;
mod crashes;
mod deaths;
mod events;
mod lanes;
mod leases;
mod mails;
mod memory;
mod outages;
mod rehearsal;
mod replays;
mod roll_up;
mod sent;
mod stopping;
mod turns;
mod world;
