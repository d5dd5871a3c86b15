//! The operator's tool as its users run it: the real binary, real servers.

mod account;
mod analytics;
mod campaign;
mod cli;
mod config;
mod dead;
mod dead_book;
mod dead_killed;
mod dead_owners;
mod dead_replay;
mod delivery;
mod demo;
mod doctor;
mod explain;
mod explain_queue;
mod fleet;
mod parse;
mod queue;
mod support;
mod tenant;
mod webhook;
