//! The operator's tool as its users run it: the real binary, real servers.

mod account;
mod cli;
mod config;
mod dead;
mod demo;
mod doctor;
mod fleet;
mod parse;
mod support;
mod tenant;
