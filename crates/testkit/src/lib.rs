//! The real world in small: private Redis, PostgreSQL and Dovecot servers, certificates, the mail corpus, and our own
//! binaries as child processes. Tests and `mailfleet demo` run on it; nothing here is a mock.
//!
//! Every server listens on 127.0.0.1 only, on a port of its own, in a directory of its own. It ends when its value is
//! dropped and also when the owning process ends in any other way, SIGKILL included (`watchdog`). Everything works as
//! root, where PostgreSQL runs as `postgres` and mail belongs to `nobody`, and as an ordinary user.
//!
//! Starting and stopping is synchronous, so that it can be used from plain tests as well; a call takes up to a few
//! seconds and is bounded by [`STARTUP_LIMIT`].

mod bounded;
mod certificates;
mod corpus;
mod dovecot;
mod imap_client;
mod pace;
mod ports;
mod postgres;
mod process;
mod programs;
mod prometheus_server;
mod proxy;
mod redis_cluster;
mod redis_sentinel;
mod redis_server;
mod rsa;
mod server;
mod tree;
mod wait;
mod watchdog;
mod workdir;

pub use certificates::Certificates;
pub use corpus::{corpus, corpus_dir, corpus_in};
pub use dovecot::{DovecotOptions, DovecotServer, PASSWORD};
pub use imap_client::ImapClient;
pub use pace::more_than_one_a_second;
pub use ports::free_port;
pub use postgres::{PostgresOptions, PostgresServer};
pub use process::{Finished, Line, Origin, Process, ProcessBuilder, binary_path};
pub use programs::{Missing, missing_programs};
pub use prometheus_server::{PrometheusServer, ScrapeJob, promtool};
pub use proxy::{Cut, Mode as ProxyMode, Proxy};
pub use redis_cluster::RedisCluster;
pub use redis_sentinel::{GuardedRedis, RedisSentinel};
pub use redis_server::RedisServer;
pub use rsa::RsaSigner;
pub use server::STARTUP_LIMIT;
pub use wait::{eventually, eventually_blocking};
