//! End-to-end tests: real binaries, real servers, one test binary.

mod arrival;
mod arrows;
mod chaos;
mod clear_errors;
mod crashes;
mod draining;
mod outages;
mod quiet_logs;
mod tenants;
