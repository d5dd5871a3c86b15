//! End-to-end tests: real binaries, real servers, one test binary.

mod arrival;
mod arrows;
mod autoscaler;
mod chaos;
mod clear_errors;
mod connections;
mod crashes;
mod deploy;
mod draining;
mod failover;
mod observability;
mod one_place;
mod outages;
mod quiet_logs;
mod rollout;
mod runbooks;
mod tenants;
