//! Asking sentinels who the master is.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use redis::{Client, RedisError, RedisResult};

use super::node::{connection_config, place};

/// What sentinels said.
#[derive(Debug)]
pub(crate) enum Said {
    /// Where the master is.
    Master(String, u16),
    /// Those that answered know no master of this name.
    Unknown,
    /// None answered; what the last one met, and where.
    Silent(String, Option<RedisError>),
}

/// Once more than half of them have answered, the others are waited for no longer than this.
const STRAGGLERS: Duration = Duration::from_millis(100);

/// Asks all of them at once, so that one that is dead costs little time. What is said with the highest epoch holds: every
/// failover has a higher one, so neither a sentinel that has not heard of it yet nor one that was cut off misleads.
pub(crate) async fn ask(sentinels: &[Client], master: &str, limit: Duration) -> Said {
    let mut answers: FuturesUnordered<_> = sentinels
        .iter()
        .map(async |sentinel| (sentinel, tokio::time::timeout(limit, ask_one(sentinel, master, limit)).await))
        .collect();
    let (mut newest, mut unknown, mut silent) = (None::<Answer>, false, (String::new(), None));
    let (mut answered, mut wait) = (0, limit * 2);
    while let Ok(Some((sentinel, answer))) = tokio::time::timeout(wait, answers.next()).await {
        match answer {
            Ok(Ok(answer)) => {
                answered += 1;
                match answer {
                    Some(answer) if newest.as_ref().is_none_or(|newest| newest.epoch < answer.epoch) => {
                        newest = Some(answer);
                    }
                    Some(_) => {}
                    None => unknown = true,
                }
            }
            Ok(Err(error)) => silent = (place(sentinel.get_connection_info().addr()), Some(error)),
            Err(_) if silent.1.is_none() => silent.0 = place(sentinel.get_connection_info().addr()),
            Err(_) => {}
        }
        if answered * 2 > sentinels.len() {
            wait = STRAGGLERS;
        }
    }
    match newest {
        Some(Answer { host, port, .. }) => Said::Master(host, port),
        None if unknown => Said::Unknown,
        None => Said::Silent(silent.0, silent.1),
    }
}

/// What one of them says.
struct Answer {
    host: String,
    port: u16,
    epoch: u64,
}

async fn ask_one(sentinel: &Client, master: &str, limit: Duration) -> RedisResult<Option<Answer>> {
    let config = connection_config(limit);
    let mut connection = sentinel.get_multiplexed_async_connection_with_config(&config).await?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let Some((host, port)) = command.query_async(&mut connection).await? else { return Ok(None) };
    let mut command = redis::cmd("SENTINEL");
    command.arg("MASTER").arg(master);
    let all: HashMap<String, String> = command.query_async(&mut connection).await?;
    let epoch = all.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    Ok(Some(Answer { host, port, epoch }))
}
