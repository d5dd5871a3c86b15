//! The producer binary against real Dovecot, Redis and PostgreSQL servers.

mod config;
mod crash;
mod flow;
mod odd;
mod odd_server;
mod outage;
mod replays;
mod trouble;
mod world;
