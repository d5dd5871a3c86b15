//! The real consumer on real servers: mails go in through the queue, and PostgreSQL tells what became of them.

mod attempts;
mod crashes;
mod deaths;
mod mails;
mod outages;
mod stopping;
mod world;
