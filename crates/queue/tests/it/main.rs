//! The queue against real Redis servers, one for each test.

mod answers;
mod enqueue;
mod fixture;
mod odd_entries;
mod order;
mod outage;
mod ownership;
mod reclaim;
mod settle;
mod work;
