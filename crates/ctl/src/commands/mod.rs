//! One module per command. Each holds its arguments, with the help they teach, and its `run`.

pub mod account;
pub mod analytics;
pub mod audit;
pub mod campaign;
pub mod config;
pub mod dead;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod migrate;
pub mod parse;
mod parse_summary;
pub mod queue;
pub mod tenant;
pub mod token;
pub mod values;
pub mod webhook;
