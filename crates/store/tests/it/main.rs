//! The store's promises, on a real PostgreSQL.

mod adopt;
mod check;
mod crash;
mod dead;
mod explain;
mod hostile;
mod ledger;
mod migrate;
mod outage;
mod persist;
mod reference;
mod support;
mod tls;
