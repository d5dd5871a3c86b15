//! A server of a few lines for unit tests: it says what a real one says only in a moment that cannot be hit. It is compiled for
//! tests alone, where an unwrap is the test's failure.

use std::sync::Arc;
use std::time::Duration;

use redis::{Client, IntoConnectionInfo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Listens for as long as the test's runtime lives. To each command it says after `delay` what `answer` makes of its words
/// in upper case, and OK where that is nothing. Returns its port and a client of it.
pub(crate) async fn fake(
    delay: Duration,
    answer: impl Fn(&[String]) -> Option<String> + Send + Sync + 'static,
) -> (u16, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, delay, Arc::clone(&answer)));
        }
    });
    let info = format!("redis://127.0.0.1:{port}").into_connection_info().unwrap();
    (port, Client::open(info).unwrap())
}

/// One that takes connections and says nothing.
pub(crate) async fn silent() -> (u16, Client) {
    fake(Duration::from_secs(3_600), |_| None).await
}

/// A list of texts, as a server writes it.
pub(crate) fn list(texts: &[&str]) -> String {
    let bulk = |text: &&str| format!("${}\r\n{text}\r\n", text.len());
    format!("*{}\r\n{}", texts.len(), texts.iter().map(bulk).collect::<String>())
}

async fn serve(
    mut stream: TcpStream,
    delay: Duration,
    answer: Arc<impl Fn(&[String]) -> Option<String> + Send + Sync + 'static>,
) {
    let mut unread = String::new();
    let mut chunk = [0; 4_096];
    while let Ok(length @ 1..) = stream.read(&mut chunk).await {
        unread.push_str(&String::from_utf8_lossy(&chunk[..length]));
        while let Some((words, rest)) = command(&unread) {
            unread = rest;
            tokio::time::sleep(delay).await;
            let said = answer(&words).unwrap_or_else(|| "+OK\r\n".to_owned());
            if stream.write_all(said.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// The first whole command, and what follows it.
fn command(text: &str) -> Option<(Vec<String>, String)> {
    let (count, mut rest) = text.strip_prefix('*')?.split_once("\r\n")?;
    let mut words = Vec::new();
    for _ in 0..count.parse::<usize>().ok()? {
        let (length, after) = rest.strip_prefix('$')?.split_once("\r\n")?;
        let length: usize = length.parse().ok()?;
        words.push(after.get(..length)?.to_uppercase());
        rest = after.get(length + 2..)?;
    }
    Some((words, rest.to_owned()))
}
