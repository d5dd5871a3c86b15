//! A listener with bounds: so many connections at once, and so long without a byte on any of them.
//!
//! The HTTP server itself has neither. A scraper that vanishes behind a firewall, or a client that sends half a
//! request, would otherwise hold its socket for ever, and enough of them every file descriptor of the process.

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

/// A TCP listener with bounds.
#[derive(Debug)]
pub struct Bounded {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    silence: Duration,
}

impl Bounded {
    /// At most so many connections at once, and none silent for longer than `silence`.
    #[must_use]
    pub fn new(listener: TcpListener, connections: usize, silence: Duration) -> Self {
        Self { listener, permits: Arc::new(Semaphore::new(connections)), silence }
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
        (Connection { stream, silence, timer, _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that fails after too long a silence and gives its place back when dropped.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    silence: Duration,
    timer: Pin<Box<Sleep>>,
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
        let moved = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.watch(cx, moved)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(cx, buf);
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
        let mut bounded = Bounded::new(listener, 1, Duration::from_millis(50));
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
}
