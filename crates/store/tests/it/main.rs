//! The store's promises, on a real PostgreSQL.

mod adopt;
mod analytics;
mod campaigns;
mod check;
mod crash;
mod dead;
mod dead_actions;
mod doors;
mod events;
mod explain;
mod hostile;
mod ledger;
mod links;
mod links_import;
mod links_order;
mod links_size;
mod migrate;
mod outage;
mod outbound;
mod persist;
mod reference;
mod sent;
mod support;
mod tls;
mod walls;
