//! The connections of a proxy.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::{Cut, Mode, Shared, State};

/// How many connections are carried at a time.
const MAX_CONNECTIONS: usize = 512;

/// The largest chunk.
const CHUNK: usize = 16 * 1024;

/// How long to wait where the system gives no connection, because it is out of descriptors.
const AFTER_ERROR: Duration = Duration::from_millis(10);

/// One direction is at its end, because the connection is.
struct Closed;

/// For all connections of a proxy.
pub(super) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MAX_CONNECTIONS))
}

/// Accepts until it is dropped, and passes on to `target`.
pub(super) async fn serve(
    listener: std::net::TcpListener,
    target: u16,
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(AFTER_ERROR).await;
            continue;
        };
        let state = shared.state.subscribe();
        let now = *state.borrow();
        // Beyond the bound, and where it refuses, the connection is closed by dropping it.
        if now.mode == Mode::Refuse {
            continue;
        }
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            shared.connections.fetch_add(1, Ordering::Relaxed);
            carry(client, target, &shared, state, now.generation).await;
            shared.connections.fetch_sub(1, Ordering::Relaxed);
            drop(permit);
        });
    }
}

/// Carries one connection to its end.
async fn carry(
    client: TcpStream,
    target: u16,
    shared: &Shared,
    mut state: watch::Receiver<State>,
    generation: u64,
) {
    let server = if state.borrow().mode == Mode::HalfOpen {
        // Nobody is behind it. It ends with the mode, or when the client gives up.
        None
    } else {
        let connected = tokio::select! {
            connected = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) => connected,
            _ = state.wait_for(|state| state.generation != generation) => return,
        };
        match connected {
            Ok(server) => Some(server),
            Err(_) => return,
        }
    };
    // Small packets go on at once; where that cannot be set the proxy is only slower.
    client.set_nodelay(true).ok();
    let (from_client, to_client) = client.into_split();
    let Some(server) = server else {
        let mut silent =
            Direction { shared, state, generation, end: End::Client, from: from_client, to: None };
        while let Ok(Some(_)) = silent.read(&mut vec![0; CHUNK]).await {}
        drop(to_client);
        return;
    };
    server.set_nodelay(true).ok();
    let (from_server, to_server) = server.into_split();
    let answers = Answers::default();
    let there = Direction {
        shared,
        state: state.clone(),
        generation,
        end: End::Client,
        from: from_client,
        to: Some(to_server),
    };
    let back =
        Direction { shared, state, generation, end: End::Server, from: from_server, to: Some(to_client) };
    // A direction that ended in peace leaves the other one open: a client may close its end and still read.
    let _ = tokio::try_join!(requests(there, &answers), replies(back, &answers));
}

/// What the two directions of a connection know of each other. They run in one task, one after the other.
#[derive(Default)]
struct Answers {
    /// A request was seen, and no byte of the answer yet.
    awaited: AtomicBool,
    /// Cut when the answer comes.
    cut: AtomicBool,
}

async fn requests(mut there: Direction<'_>, answers: &Answers) -> Result<(), Closed> {
    let mut chunk = vec![0; CHUNK];
    while let Some(length) = there.read(&mut chunk).await? {
        if !answers.awaited.swap(true, Ordering::Relaxed) {
            match there.shared.count_request() {
                None => {}
                Some(Cut::BeforeReply) => answers.cut.store(true, Ordering::Relaxed),
                Some(Cut::BeforeRequest) => {
                    there.shared.cut();
                    return Err(Closed);
                }
            }
        }
        there.pass_on(&chunk[..length]).await?;
    }
    there.finish().await
}

async fn replies(mut back: Direction<'_>, answers: &Answers) -> Result<(), Closed> {
    let mut chunk = vec![0; CHUNK];
    while let Some(length) = back.read(&mut chunk).await? {
        if answers.cut.load(Ordering::Relaxed) {
            back.shared.cut();
            return Err(Closed);
        }
        answers.awaited.store(false, Ordering::Relaxed);
        let seen = back.shared.as_seen(&chunk[..length]);
        back.pass_on(&seen).await?;
    }
    back.finish().await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Client,
    Server,
}

/// One direction of a connection.
struct Direction<'a> {
    shared: &'a Shared,
    state: watch::Receiver<State>,
    generation: u64,
    /// Whose bytes these are.
    end: End,
    from: OwnedReadHalf,
    /// `None`: there is nobody behind it.
    to: Option<OwnedWriteHalf>,
}

impl Direction<'_> {
    /// The mode now.
    fn mode(&mut self) -> Result<Mode, Closed> {
        let state = *self.state.borrow_and_update();
        if state.generation == self.generation { Ok(state.mode) } else { Err(Closed) }
    }

    /// The next chunk that is to go on; `None` at the end. What comes while it is half-open is swallowed here.
    async fn read(&mut self, chunk: &mut [u8]) -> Result<Option<usize>, Closed> {
        loop {
            self.mode()?;
            let length = tokio::select! {
                biased;
                changed = self.state.changed() => {
                    changed.map_err(|_| Closed)?;
                    continue;
                }
                read = self.from.read(chunk) => read.map_err(|_| Closed)?,
            };
            if self.mode()? != Mode::HalfOpen {
                return Ok((length > 0).then_some(length));
            }
            self.shared.swallowed.fetch_add(length as u64, Ordering::Relaxed);
            match (length, self.end) {
                // A client that has given up: there is nothing left to be silent to.
                (0, End::Client) => return Err(Closed),
                // Of a server that is gone the client learns nothing until the mode ends, and the connection with it.
                (0, End::Server) => {
                    let generation = self.generation;
                    // The other way out is that the proxy itself has ended.
                    self.state.wait_for(|state| state.generation != generation).await.ok();
                    return Err(Closed);
                }
                _ => {}
            }
        }
    }

    /// Waits as the mode says and writes. It gives up when the connection is to be closed, and drops what is left when
    /// it falls silent.
    async fn pass_on(&mut self, chunk: &[u8]) -> Result<(), Closed> {
        self.delay(chunk.len()).await?;
        let mut left = chunk;
        while !left.is_empty() {
            if self.mode()? == Mode::HalfOpen {
                self.shared.swallowed.fetch_add(left.len() as u64, Ordering::Relaxed);
                return Ok(());
            }
            let Some(to) = &mut self.to else { return Ok(()) };
            // The other side may stand still: a change of mode must reach this too.
            let written = tokio::select! {
                biased;
                changed = self.state.changed() => {
                    changed.map_err(|_| Closed)?;
                    continue;
                }
                written = to.write(left) => written.map_err(|_| Closed)?,
            };
            left = &left[written..];
        }
        Ok(())
    }

    async fn delay(&mut self, length: usize) -> Result<(), Closed> {
        let Mode::Slow { delay, bytes_per_second } = self.mode()? else { return Ok(()) };
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let at_rate = bytes_per_second
            .map(|rate| Duration::from_micros(length.saturating_mul(1_000_000) / rate.get()))
            .unwrap_or_default();
        tokio::select! {
            // A change of mode ends the waiting, whatever it is changed to.
            changed = self.state.changed() => changed.map_err(|_| Closed),
            () = tokio::time::sleep(delay + at_rate) => Ok(()),
        }
    }

    /// Passes on that this side has closed.
    async fn finish(mut self) -> Result<(), Closed> {
        match &mut self.to {
            Some(to) => to.shutdown().await.map_err(|_| Closed),
            None => Ok(()),
        }
    }
}
