//! The producer binary against real Dovecot, Redis and PostgreSQL servers.

mod config;
mod crash;
mod doors;
mod flow;
mod odd;
mod odd_server;
mod outage;
mod pressure;
mod replays;
mod sent;
mod trouble;
mod world;
