//! What `deploy/` says, held against what reads it: Kubernetes' schemas, PostgreSQL's limits, our own programs.
//!
//! Nothing here needs a cluster or Docker. `scripts/python.sh` (`make python`) installs what renders and checks manifests.

mod compose;
mod image;
mod kubernetes;
mod limits;
pub mod logins;
mod manifests;
mod monitoring;
mod network;
mod operator;
mod pods;
mod programs;
