//! A TCP proxy that can misbehave: slow, half-open, shut, or cut at a chosen request.

mod relay;

use std::borrow::Cow;
use std::net::{Ipv4Addr, TcpListener};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::{oneshot, watch};

use crate::ports::free_port;
use crate::server::with_fresh_ports;

/// What a [`Proxy`] does with bytes and connections. It can be changed at any moment and holds for open connections too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bytes go through as they come.
    Pass,
    /// Every chunk of at most 16 KiB, in either direction, waits for `delay`, and for its length at `bytes_per_second`
    /// where that is set.
    Slow {
        /// How long each chunk waits.
        delay: Duration,
        /// How much goes through in a second and direction; `None`: as much as comes.
        bytes_per_second: Option<NonZeroU64>,
    },
    /// As behind a firewall that forgot the connection: open ones fall silent, new ones are accepted, everything is
    /// swallowed and nothing comes back. Whoever was open in this mode is closed when it ends, since bytes are missing.
    HalfOpen,
    /// Open connections are closed, new ones are accepted and closed at once. The port itself stays taken.
    Refuse,
}

/// Where [`Proxy::cut_at`] cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server never sees the request.
    BeforeRequest,
    /// The server has seen it and has begun to answer; the client sees nothing of the answer.
    BeforeReply,
}

/// A proxy on a free port of 127.0.0.1 in front of another port of it, or on several in front of the nodes of a Redis
/// Cluster. It works on one thread of its own, carries at most 512 connections at a time (more are closed at once), and ends
/// with all of them when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the connections look at.
#[derive(Debug)]
struct Shared {
    ways: Vec<Way>,
    state: watch::Sender<State>,
    /// At which request to cut, and where, until it was cut.
    armed: Mutex<Option<(u64, Cut)>>,
    requests: AtomicU64,
    connections: AtomicUsize,
    swallowed: AtomicU64,
}

/// Whoever connects to `port` comes to `target`.
#[derive(Debug, Clone, Copy)]
struct Way {
    port: u16,
    target: u16,
}

#[derive(Debug, Clone, Copy)]
struct State {
    mode: Mode,
    /// Connections of an earlier one are closed.
    generation: u64,
}

impl Proxy {
    /// Starts one that passes everything on to `target`, a port of 127.0.0.1. Nothing has to listen there yet.
    pub fn start(target: u16) -> Result<Self> {
        Self::start_before(&[target])
    }

    /// Starts one in front of all nodes of a Redis Cluster, by their ports, with a port of its own for each. It counts and
    /// cuts over all of them as one. In what the nodes answer a port of theirs is made the proxy's where it ends a line (as in
    /// CLUSTER SLOTS and MOVED), so that a client never learns a way around. A line is looked at only within one chunk.
    pub fn start_before_cluster(nodes: &[u16]) -> Result<Self> {
        Self::start_before(nodes)
    }

    fn start_before(targets: &[u16]) -> Result<Self> {
        let mut listeners = Vec::with_capacity(targets.len());
        let mut ways = Vec::with_capacity(targets.len());
        for &target in targets {
            let listener = with_fresh_ports(|| Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, free_port()))?))?;
            listener.set_nonblocking(true).context("make the proxy's listener non-blocking")?;
            let port = listener.local_addr().context("ask for the proxy's port")?.port();
            ways.push(Way { port, target });
            listeners.push((listener, target));
        }
        let name = format!("proxy-{}", ways.first().context("a port to pass on to")?.port);
        let shared = Arc::new(Shared {
            ways,
            state: watch::Sender::new(State { mode: Mode::Pass, generation: 0 }),
            armed: Mutex::new(None),
            requests: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            swallowed: AtomicU64::new(0),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the proxy's runtime")?;
        let (stop, stopped) = oneshot::channel::<()>();
        let work = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(async {
                let room = relay::room();
                for (listener, target) in listeners {
                    tokio::spawn(relay::serve(listener, target, Arc::clone(&work), Arc::clone(&room)));
                }
                // Sent by dropping the other end.
                stopped.await.ok();
            });
            // Dropping the runtime ends every task, and with it every connection.
        });
        Ok(Self { shared, stop: Some(stop), thread: Some(thread.context("start the proxy's thread")?) })
    }

    /// Where it listens on 127.0.0.1; of several ports the first.
    #[must_use]
    pub fn port(&self) -> u16 {
        // There is one at least, or it would not have started.
        self.shared.ways.first().map_or(0, |way| way.port)
    }

    /// All ports where it listens, in the order of those that they lead to.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        self.shared.ways.iter().map(|way| way.port).collect()
    }

    /// From now on it does this.
    pub fn set(&self, mode: Mode) {
        self.shared.set(mode);
    }

    /// Closes what is open now; the mode stays.
    pub fn close_all(&self) {
        self.shared.state.send_modify(|state| state.generation += 1);
    }

    /// Counts requests anew and cuts at the `n`-th from now (the first is 1): all connections are closed and the mode
    /// is [`Mode::Refuse`] until [`Proxy::set`] says otherwise, as if the caller or the way to the server had died there.
    ///
    /// What is counted are round trips, over all connections: bytes of the client that follow bytes of the server (or
    /// open the connection) are one request, in however many chunks they come before the next answer. So a pipeline that
    /// is written at once is one request, and what a client says when it connects counts too: arm it on a connection
    /// that is open. `BeforeReply` waits for the first bytes of the answer, so a server that answers after the work, as
    /// Redis does for one command or script, has done it.
    pub fn cut_at(&self, n: u64, cut: Cut) {
        // Under the lock that counting takes too: no request falls between the two.
        let mut armed = self.shared.armed();
        self.shared.requests.store(0, Ordering::Relaxed);
        *armed = Some((n, cut));
    }

    /// No cut any more, if it has not come yet.
    pub fn disarm(&self) {
        *self.shared.armed() = None;
    }

    /// Whether the cut of the last [`Proxy::cut_at`] has not come yet.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.shared.armed().is_some()
    }

    /// How many requests came since the start or the last [`Proxy::cut_at`], counted as said there. The one at which it
    /// cut is among them.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How many bytes [`Mode::HalfOpen`] has swallowed so far.
    #[must_use]
    pub fn swallowed(&self) -> u64 {
        self.shared.swallowed.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only fails where the thread panicked, which has been printed.
            thread.join().ok();
        }
    }
}

impl Shared {
    fn set(&self, mode: Mode) {
        self.state.send_modify(|state| {
            // After half-open bytes are missing; refusing means closing.
            if mode == Mode::Refuse || (state.mode == Mode::HalfOpen && mode != Mode::HalfOpen) {
                state.generation += 1;
            }
            state.mode = mode;
        });
    }

    /// Counts one request; whether and where to cut at it.
    fn count_request(&self) -> Option<Cut> {
        let armed = self.armed();
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        (*armed).filter(|(n, _)| *n == number).map(|(_, cut)| cut)
    }

    /// What a server says, as a client must see it: ports of a cluster's nodes are the proxy's.
    fn as_seen<'a>(&self, said: &'a [u8]) -> Cow<'a, [u8]> {
        if self.ways.len() < 2 {
            return Cow::Borrowed(said);
        }
        let line = |port: u16| format!(":{port}\r\n").into_bytes();
        let lines: Vec<_> = self.ways.iter().map(|way| (line(way.target), line(way.port))).collect();
        let (mut seen, mut rest) = (Vec::with_capacity(said.len()), said);
        while let Some((first, behind)) = rest.split_first() {
            if let Some((from, to)) = lines.iter().find(|(from, _)| rest.starts_with(from)) {
                seen.extend_from_slice(to);
                rest = rest.get(from.len()..).unwrap_or_default();
            } else {
                seen.push(*first);
                rest = behind;
            }
        }
        Cow::Owned(seen)
    }

    fn cut(&self) {
        *self.armed() = None;
        self.set(Mode::Refuse);
    }

    /// The value is whole between any two steps, so a panic elsewhere does not matter.
    fn armed(&self) -> std::sync::MutexGuard<'_, Option<(u64, Cut)>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
