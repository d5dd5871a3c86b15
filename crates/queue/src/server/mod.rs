//! Which server a call goes to: the only one, the master that sentinels name, or the one of a cluster that has the slot.
//!
//! Who that is is looked up once and believed until there is a doubt: a call that failed in a way that another server
//! could cure, or a node that says that a slot has moved. The next call looks it up again; so an outage costs no more than
//! the calls that it meets, and what works is not asked twice.

mod address;
mod belief;
mod cluster;
#[cfg(test)]
mod fake;
mod node;
mod sentinels;
mod slot;
mod view;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::{Client, ConnectionInfo, ErrorKind, RedisError, ServerErrorKind};
use rustls::crypto::CryptoProvider;
use tokio::sync::OwnedMutexGuard;

pub(crate) use self::address::Address;
pub(crate) use self::belief::is_slow;
use self::belief::{Belief, Trust};
pub(crate) use self::node::Node;
use self::node::{Maker, at};
pub(crate) use self::slot::{Call, Request, slot_of};
use self::view::Range;
pub(crate) use self::view::View;
use crate::config::{Config, ConfigError};
use crate::error::{Error, Result};
use crate::link::timed_out;
use crate::pool::breaks;

/// A sentinel or a node of a cluster is waited for no longer than this where others may answer, nor than a third of the
/// response timeout: so whoever asks after somebody who asked in vain has its turn within that.
const ASK_LIMIT: Duration = Duration::from_secs(1);

/// The servers.
pub(crate) struct Servers {
    maker: Maker,
    finder: Finder,
    place: String,
    belief: Belief,
    /// Nodes that were seen in a cluster, beyond those of the configuration.
    seen: Mutex<Vec<(String, u16)>>,
    /// Held while somebody looks them up, so that many callers in trouble ask once.
    finding: Arc<tokio::sync::Mutex<()>>,
    timeout: Duration,
}

/// Who is asked for them.
enum Finder {
    /// Nobody: there is one.
    Nobody,
    Sentinels {
        name: String,
        sentinels: Vec<Client>,
        like: ConnectionInfo,
    },
    Cluster {
        seeds: Vec<Client>,
        like: ConnectionInfo,
    },
}

impl Servers {
    /// Prepares everything; nothing is connected yet.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let address = Address::parse(config.url.expose())?;
        if address.is_tls() && CryptoProvider::get_default().is_none() {
            // The client library takes the process' provider and panics where there is none. One that the process has
            // chosen stays; losing a race against another installer is as good as winning it.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let maker = Maker::new(config, address.is_tls())?;
        let bad =
            |error: RedisError| ConfigError { field: "url", problem: format!("cannot be used: {error}") };
        let clients = |infos: Vec<ConnectionInfo>| {
            infos.into_iter().map(|info| maker.client(info)).collect::<Result<Vec<_>, _>>().map_err(bad)
        };
        let places = |infos: &[ConnectionInfo]| {
            infos.iter().map(|info| node::place(info.addr())).collect::<Vec<_>>().join(",")
        };
        let now = Instant::now();
        let (place, finder, belief) = match address {
            Address::One(info) => {
                let node = maker.node(info).map_err(bad)?;
                (node.place().to_owned(), Finder::Nobody, Belief::certain(View::one(Arc::clone(&node)), now))
            }
            Address::Sentinels { master, sentinels, like } => {
                let place = format!("{master} of the sentinels {}", places(&sentinels));
                let finder = Finder::Sentinels { name: master, sentinels: clients(sentinels)?, like };
                (place, finder, Belief::none(true, now))
            }
            Address::Cluster(seeds) => {
                // Unwrap safety: an address names one host at least.
                let like = seeds[0].clone();
                (places(&seeds), Finder::Cluster { seeds: clients(seeds)?, like }, Belief::none(false, now))
            }
        };
        let timeout = config.response_timeout();
        Ok(Self { maker, finder, place, belief, seen: Mutex::default(), finding: Arc::default(), timeout })
    }

    /// Where they are, as the configuration says it; never the login.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Whether they are several that share the slots.
    pub(crate) const fn is_cluster(&self) -> bool {
        matches!(self.finder, Finder::Cluster { .. })
    }

    /// Whether who it is can change.
    pub(crate) const fn may_change(&self) -> bool {
        !matches!(self.finder, Finder::Nobody)
    }

    /// Who has which slots: what is known, or where that is in doubt what is found now. What is merely old is asked for again
    /// by a task of its own, so that sentinels which hang hold up nobody.
    pub(crate) async fn view(self: &Arc<Self>, doing: &'static str) -> Result<Arc<View>> {
        match self.belief.trust(Instant::now()) {
            Trust::Sure(view) => Ok(view),
            Trust::Stale(view) => {
                // One at a time: whoever has the turn is asking already.
                if let Ok(turn) = Arc::clone(&self.finding).try_lock_owned() {
                    let this = Arc::clone(self);
                    // A failure is the next one's reason to ask again.
                    tokio::spawn(
                        async move { this.look_up(doing, Some(turn), || this.sure()).await.map(drop) },
                    );
                }
                Ok(view)
            }
            Trust::Unknown => self.look_up(doing, None, || self.sure()).await,
        }
    }

    fn sure(&self) -> Option<Arc<View>> {
        match self.belief.trust(Instant::now()) {
            Trust::Sure(view) => Some(view),
            Trust::Stale(_) | Trust::Unknown => None,
        }
    }

    /// Who has which slots, by what was asked for at `since` or later: what was said before is not enough.
    pub(crate) async fn view_since(&self, doing: &'static str, since: Instant) -> Result<Arc<View>> {
        self.look_up(doing, None, || self.belief.known_since(since)).await
    }

    /// Finds out who has which slots, unless it is `known` when it is our turn to ask. Bounded as a whole, since others may
    /// be asking, one after the other, and fail.
    async fn look_up(
        &self,
        doing: &'static str,
        turn: Option<OwnedMutexGuard<()>>,
        known: impl Fn() -> Option<Arc<View>>,
    ) -> Result<Arc<View>> {
        let found = tokio::time::timeout(self.timeout, async {
            let _turn = match turn {
                Some(turn) => turn,
                None => Arc::clone(&self.finding).lock_owned().await,
            };
            match known() {
                Some(view) => Ok(view),
                None => self.find(doing).await,
            }
        });
        found.await.unwrap_or_else(|_| {
            let (place, reason) = (self.place.clone(), "nobody said in time which server to ask");
            Err(Error::NoConnection { doing, place, reason })
        })
    }

    /// Whether this is one of the masters, as far as it is known.
    pub(crate) fn is_master(&self, node: &Node) -> bool {
        self.belief.last().is_some_and(|view| view.node_at(node.place()).is_some())
    }

    /// A call by this view, and the way to it, took from `from` to `to`.
    pub(crate) fn answered(&self, view: &Arc<View>, from: Instant, to: Instant) {
        if self.may_change() {
            self.belief.answered(view, from, to);
        }
    }

    /// A call by this view failed with that: may another look help?
    pub(crate) fn judge(&self, view: &Arc<View>, error: &RedisError) {
        let code = error.code().unwrap_or_default();
        if breaks(error) || matches!(code, "MOVED" | "CLUSTERDOWN" | "MASTERDOWN" | "LOADING") {
            self.doubt(view);
        }
    }

    pub(crate) fn doubt(&self, view: &Arc<View>) {
        if self.may_change() {
            self.belief.doubt(view);
        }
    }

    /// The view after what node `asked` said instead of doing the work: where the slot is now. Others may have moved as
    /// well, so it is in doubt from the start; what it says of this slot is good for the call at hand.
    pub(crate) fn moved(&self, view: &Arc<View>, asked: &Node, error: &RedisError) -> Option<Arc<View>> {
        let Finder::Cluster { like, .. } = &self.finder else { return None };
        if error.kind() != ErrorKind::Server(ServerErrorKind::Moved) {
            return None;
        }
        let (address, slot) = error.redirect_node()?;
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        // Without a host it is the one that was asked.
        let host = if matches!(host, "" | "?") { asked.host()? } else { host };
        let info = at(like, host, port.parse().ok()?);
        let known = view.node_at(&node::place(info.addr())).cloned();
        let node = known.map_or_else(|| self.maker.node(info).ok(), Some)?;
        let view = Arc::new(view.with_moved(slot, &node));
        self.belief.replace_in_doubt(Arc::clone(&view));
        Some(view)
    }

    async fn find(&self, doing: &'static str) -> Result<Arc<View>> {
        // What is said was so when it was asked for; by the time that the answer is here it may be so no more.
        let asked = Instant::now();
        let view = match &self.finder {
            Finder::Nobody => return Err(self.nobody(doing)),
            Finder::Sentinels { name, sentinels, like } => {
                match sentinels::ask(sentinels, name, self.ask_limit()).await {
                    sentinels::Said::Master(host, port) => {
                        View::one(self.node(doing, at(like, &host, port))?)
                    }
                    sentinels::Said::Unknown => {
                        return Err(Error::Unfit(format!(
                            "cannot {doing}: the sentinels know no master called {name}; correct the name in queue.url ({})",
                            self.place
                        )));
                    }
                    // Sentinels that are away are no reason to leave a master that is there.
                    sentinels::Said::Silent(place, said) => {
                        let known = self.belief.make_do(Instant::now());
                        return known.ok_or_else(|| silent(doing, like, place, said));
                    }
                }
            }
            Finder::Cluster { seeds, like } => {
                let mut asked = seeds.clone();
                asked.extend(self.seen().iter().filter_map(|(host, port)| {
                    let is_new = |seed: &Client| {
                        node::host_and_port(seed.get_connection_info()) != Some((host, *port))
                    };
                    seeds.iter().all(is_new).then(|| self.maker.client(at(like, host, *port)).ok()).flatten()
                }));
                match cluster::ask(&asked, self.ask_limit()).await {
                    cluster::Said::Layout(layout) => self.view_of(doing, like, layout)?,
                    cluster::Said::Silent(place, said) => return Err(silent(doing, like, place, said)),
                }
            }
        };
        let view = Arc::new(view);
        self.belief.confirm(Arc::clone(&view), asked);
        Ok(view)
    }

    fn ask_limit(&self) -> Duration {
        ASK_LIMIT.min(self.timeout / 3)
    }

    fn seen(&self) -> Vec<(String, u16)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn view_of(&self, doing: &'static str, like: &ConnectionInfo, layout: cluster::Layout) -> Result<View> {
        let mut homes: Vec<&(String, u16)> = layout.ranges.iter().map(|(.., home)| home).collect();
        homes.sort_unstable();
        homes.dedup();
        let masters = homes.iter().map(|(host, port)| self.node(doing, at(like, host, *port)));
        let masters = masters.collect::<Result<Vec<_>>>()?;
        let index = |home: &(String, u16)| homes.binary_search(&home).unwrap_or_default();
        let range = |(first, last, home): &(u16, u16, (String, u16))| Range {
            first: *first,
            last: *last,
            master: index(home),
        };
        let view = View::many(masters, layout.ranges.iter().map(range).collect());
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = layout.nodes;
        Ok(view)
    }

    /// The node of this address with the connections that it has, where it is known already.
    fn node(&self, doing: &'static str, info: ConnectionInfo) -> Result<Arc<Node>> {
        let place = node::place(info.addr());
        let last = self.belief.last();
        let node = last.as_ref().and_then(|view| view.node_at(&place));
        node.map(Arc::clone)
            .map_or_else(|| self.maker.node(info).map_err(|said| Error::Redis { doing, place, said }), Ok)
    }

    fn nobody(&self, doing: &'static str) -> Error {
        Error::NoConnection { doing, place: self.place.clone(), reason: "no server" }
    }
}

/// Nobody of those that know the server said who it is.
fn silent(doing: &'static str, like: &ConnectionInfo, place: String, said: Option<RedisError>) -> Error {
    Error::Unreached { doing, place, said: said.unwrap_or_else(timed_out), tls: node::is_tls(like) }
}

#[cfg(test)]
mod tests {
    use mailfleet_model::Secret;

    use super::*;

    fn moved_to(address: &str, asked: &str) -> Option<String> {
        let config = Config { url: Secret::new("redis+cluster://a:1,b:2"), ..Config::default() };
        let servers = Servers::new(&config).unwrap();
        let Finder::Cluster { like, .. } = &servers.finder else { panic!() };
        let (host, port) = asked.split_once(':').unwrap();
        let asked = servers.maker.node(at(like, host, port.parse().unwrap())).unwrap();
        let view = Arc::new(View::one(Arc::clone(&asked)));
        let said = redis::parse_redis_value(format!("-MOVED 5 {address}\r\n").as_bytes()).unwrap();
        let said = said.extract_error().unwrap_err();
        let moved = servers.moved(&view, &asked, &said)?;
        assert_eq!(moved.master(6).unwrap().place(), asked.place(), "that slot has not moved");
        Some(moved.master(5).unwrap().place().to_owned())
    }

    #[test]
    fn a_slot_has_moved_to_where_its_former_master_says_as_seen_from_that_one() {
        assert_eq!(moved_to("c:7", "b:2").as_deref(), Some("c:7"));
        assert_eq!(moved_to("::1:7", "b:2").as_deref(), Some("[::1]:7"));
        assert_eq!(moved_to("b:2", "b:2").as_deref(), Some("b:2"));
        // By Redis' `cluster-preferred-endpoint-type`: the host is the one that was asked, or not known.
        assert_eq!(moved_to(":7", "b:2").as_deref(), Some("b:7"));
        assert_eq!(moved_to("?:7", "b:2").as_deref(), Some("b:7"));
        assert_eq!(moved_to("nonsense", "b:2"), None);
    }
}
