//! The queue against real Redis servers, one for each test.

mod accounts;
mod answers;
mod connections;
mod enqueue;
mod errors;
mod find;
mod fixture;
mod model;
mod odd_entries;
mod order;
mod outage;
mod ownership;
mod pause;
mod queues;
mod reclaim;
mod settle;
mod work;
