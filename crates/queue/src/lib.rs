//! The priority queue on Redis Streams: three lanes, a consumer group, leases, delayed retries and dead letters.
//!
//! Delivery is at least once; what makes the effect happen once is PostgreSQL's business. What this crate promises:
//!
//! - Every move (enqueue, claim, done, retry, dead-letter, hand back, keep-alive, reclaim) is **one script** and acts
//!   only on entries that the caller still owns, so that a stale owner can do no harm and no crash falls in between. A
//!   claim reads what is new after its script, by one command for each lane, which is a step of its own: see `fresh.rs`.
//! - A job is in exactly one place: in its lane (new, held, or waiting to be taken again), delayed, or dead.
//! - A [`Delivery`] is consumed by exactly one of done, retry, dead-letter, hand back, delay.
//! - An outage costs nothing: no attempt, no crash, no dead letter, and nothing live is taken over after it.
//! - Redis is transport: after FLUSHALL the queue goes on, and the sweep of the producers brings the jobs back.
//!
//! The producer's side and the questions of operators are on [`Queue`], the worker's side on [`Consumer`]; [`Queues`] are
//! those of a fleet, one for each kind of work.
//! How the data is laid out stands in `lua/prelude.lua`.

mod accounts;
mod begin;
mod bell;
mod claim;
mod codec;
mod columns;
mod config;
mod consumer;
mod dead;
mod delivery;
mod depth;
mod enqueue;
mod error;
mod find;
mod fresh;
mod held;
mod info;
mod job;
mod keeper;
mod keys;
mod link;
mod live;
mod locate;
mod log_gate;
mod marks;
mod measure;
mod name;
mod open;
mod pause;
mod pool;
mod queue;
mod queues;
mod reach;
mod reclaim;
mod record;
mod remedy;
mod reply;
mod room;
mod scripts;
mod server;
mod settle;
mod stray;
mod turns;

pub use accounts::CountPlace;
pub use config::{Config, ConfigError};
pub use consumer::{Consumer, ConsumerStats};
pub use dead::{IndexLine, IndexPlace};
pub use delivery::Delivery;
pub use depth::{Depth, LaneDepth, Oldest, Refuses};
pub use error::{ACL_RULES, Error, Result};
pub use find::{FOUND_MAX, Found};
pub use info::{Memory, ServerInfo};
pub use job::{Enqueued, MAX_RAW_BYTES, NewJob};
pub use keeper::Keeper;
pub use locate::{Location, State, Turn};
pub use name::{ConsumerName, InvalidConsumerName};
pub use pause::{Pause, Paused};
pub use queue::Queue;
pub use queues::Queues;
pub use record::{Attempt, Failure};
pub use settle::{Returned, Settled};
pub use stray::Stray;
