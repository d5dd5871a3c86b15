//! The process shell of every mailfleet binary: configuration, telemetry, health, metrics, two-stage shutdown.
//!
//! A binary declares its settings ([`Settings`]), and its `main` is a call of [`parse`] and one of [`run()`]:
//!
//! 1. [`config`]: one TOML file and `MAILFLEET_` environment variables, read before any port is bound. A key that
//!    nobody knows is refused by name and origin. Bad configuration ends with [`EXIT_CONFIG`].
//! 2. [`telemetry`]: people get readable lines, machines get JSON, always on stderr.
//! 3. [`run()`]: the start-up function connects, registers metrics and health, and spawns components through
//!    [`Process`]. An error in it is one line on stderr and [`EXIT_FAILURE`].
//! 4. [`admin`]: `/metrics`, `/healthz` and `/readyz`, served from a thread that no handler can block.
//! 5. [`shutdown`]: the first signal drains, a second signal or the deadline ends the process at once, and a
//!    component that fails takes the process down in an orderly way with a failing exit code.
//!
//! What is absent: no statics but the log subscriber and the panic hook, no retries (an outage is the components'
//! business; they say so through [`Health`]), no knowledge of Redis, PostgreSQL, IMAP or mail.

pub mod admin;
mod args;
mod bounded;
mod component;
pub mod config;
mod health;
mod log_gate;
pub mod metrics;
mod process;
mod queue_gauges;
mod reach;
mod run;
mod server_gauges;
pub mod shutdown;
mod supervise;
pub mod telemetry;
mod usage;

pub use admin::AdminConfig;
pub use args::Args;
pub use bounded::{Bounded, CONNECTIONS, Connection, SILENCE};
pub use component::Components;
pub use config::{ConfigError, Invalid, Loaded, Loader, Settings, Shell, Unread, load_config};
pub use health::{Beat, Health, State};
pub use log_gate::LogGate;
pub use metrics::{AgeGauges, CounterFamily, DepthGauges, HistogramFamily, Label, LabelSet, Metrics};
pub use process::Process;
pub use queue_gauges::QueueGauges;
pub use reach::reach;
pub use run::{EXIT_CONFIG, EXIT_FAILURE, Spec, checked, fail, load, run, run_command};
pub use server_gauges::{RedisMemory, postgres_connections};
pub use shutdown::{Shutdown, ShutdownConfig};
pub use telemetry::{LogConfig, LogFormat};
pub use usage::{parse, usage_line};
