//! One HTTP call to the demo's own producer.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The whole call may take this long.
const WITHIN: Duration = Duration::from_secs(20);
/// Longest answer that is read, in bytes.
const ANSWER_MAX: u64 = 64 << 10;

/// Posts JSON and returns the status of the answer.
pub async fn post(to: SocketAddr, path: &str, headers: &[String], body: &str) -> anyhow::Result<u16> {
    let call = async {
        let mut stream = TcpStream::connect(to).await?;
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: {to}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n",
            body.len()
        );
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        request.push_str(body);
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(WITHIN, call)
        .await
        .with_context(|| format!("the producer at {to} did not answer within {} s", WITHIN.as_secs()))?
        .with_context(|| format!("calling the producer at {to}"))?;
    // `HTTP/1.1 200 OK`
    std::str::from_utf8(answer.get(9..12).unwrap_or_default())
        .ok()
        .and_then(|status| status.parse().ok())
        .with_context(|| format!("the producer at {to} gave no HTTP answer"))
}
