//! A listener with bounds: so many connections at once, so long without a byte on any of them, and so long from the first
//! byte of a request to its answer.
//!
//! The HTTP server itself has none. A scraper that vanishes behind a firewall, or a client that sends half a
//! request, or a byte of it now and then, would otherwise hold its socket for ever, and enough of them every file
//! descriptor of the process.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at once; more wait in the kernel's backlog.
pub const CONNECTIONS: usize = 64;

/// Longest silence on a connection. Prometheus scrapes every 15 to 60 s over one connection that it keeps.
pub const SILENCE: Duration = Duration::from_secs(90);

/// Longest time from the first byte of a request to the first of its answer, whatever trickles in meanwhile. Longer than
/// any handler takes.
pub const REQUEST: Duration = Duration::from_secs(60);

/// A TCP listener with bounds.
#[derive(Debug)]
pub struct Bounded {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    silence: Duration,
    request: Duration,
}

impl Bounded {
    /// At most so many connections at once, none silent for longer than `silence`, and none that is heard for longer than
    /// `request` without being answered.
    #[must_use]
    pub fn new(listener: TcpListener, connections: usize, silence: Duration, request: Duration) -> Self {
        Self { listener, permits: Arc::new(Semaphore::new(connections)), silence, request }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // `None` only for a closed semaphore, and nobody closes this one.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let (silence, timer) = (self.silence, Box::pin(sleep(self.silence)));
        let heard = Heard { since: None, limit: self.request };
        (Connection { stream, silence, timer, heard, _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Since when a request is being heard that was not answered yet.
#[derive(Debug)]
struct Heard {
    since: Option<Instant>,
    limit: Duration,
}

impl Heard {
    /// Bytes came in: an error when it has gone on for too long. Looked at with each byte; without one there is silence.
    fn bytes(&mut self, now: Instant) -> io::Result<()> {
        let since = *self.since.get_or_insert(now);
        if now.duration_since(since) > self.limit { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

/// A connection that fails after too long a silence, or too long a request, and gives its place back when dropped.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    silence: Duration,
    timer: Pin<Box<Sleep>>,
    heard: Heard,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Passes on what a read or write came to; where it waits, so does the timer, and where it moved, it starts anew.
    fn watch<T>(&mut self, cx: &mut Context<'_>, moved: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            let until = Instant::now() + self.silence;
            self.timer.as_mut().reset(until);
            return moved;
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let mut moved = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before
            && let Err(error) = self.heard.bytes(Instant::now())
        {
            moved = Poll::Ready(Err(error));
        }
        self.watch(cx, moved)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(cx, buf);
        if matches!(moved, Poll::Ready(Ok(1..))) {
            self.heard.since = None;
        }
        self.watch(cx, moved)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn a_silent_connection_is_dropped_and_its_place_goes_to_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut bounded = Bounded::new(listener, 1, Duration::from_millis(50), REQUEST);
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut next = TcpStream::connect(address).await.unwrap();
        silent.write_all(b"GET").await.unwrap();
        next.write_all(b"hello").await.unwrap();

        let (mut first, _) = bounded.accept().await;
        let mut text = [0; 3];
        first.read_exact(&mut text).await.unwrap();
        assert_eq!(first.read(&mut text).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(bounded.permits.available_permits(), 0, "the second has to wait");
        drop(first);
        let (mut second, _) = bounded.accept().await;
        let mut text = [0; 5];
        second.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"hello");
    }

    #[tokio::test]
    async fn a_request_that_trickles_in_is_cut_off_and_an_answered_one_begins_anew() {
        const LIMIT: Duration = Duration::from_millis(100);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut bounded = Bounded::new(listener, 1, SILENCE, LIMIT);
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut server, _) = bounded.accept().await;
        let byte = &mut [0];
        for _ in 0..2 {
            client.write_all(b"a").await.unwrap();
            server.read_exact(byte).await.unwrap();
            // The time that passes is the condition: each of the two is answered, both together are beyond the limit.
            sleep(LIMIT / 10 * 6).await;
            server.write_all(b"b").await.unwrap();
        }
        let begun = Instant::now();
        let error = loop {
            client.write_all(b"a").await.unwrap();
            if let Err(error) = server.read_exact(byte).await {
                break error;
            }
            sleep(LIMIT / 10).await;
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= LIMIT);
    }
}
