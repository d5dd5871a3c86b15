//! Asking sentinels who the master is.

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

/// Asks all of them at once, so that one that is dead costs no time. What more than half of them say holds at once; one
/// that is cut off from the others and still names a former master does not mislead. Where less than half of them answer
/// within `limit`, what most of those say is taken.
pub(crate) async fn ask(sentinels: &[Client], master: &str, limit: Duration) -> Said {
    let mut answers: FuturesUnordered<_> = sentinels
        .iter()
        .map(async |sentinel| (sentinel, tokio::time::timeout(limit, ask_one(sentinel, master, limit)).await))
        .collect();
    let (mut votes, mut unknown, mut silent) =
        (Vec::<((String, u16), usize)>::new(), false, (String::new(), None));
    while let Some((sentinel, answer)) = answers.next().await {
        match answer {
            Ok(Ok(Some(found))) => {
                let known = votes.iter().position(|(named, _)| *named == found);
                let index = known.unwrap_or_else(|| {
                    votes.push((found, 0));
                    votes.len() - 1
                });
                votes[index].1 += 1;
                if votes[index].1 * 2 > sentinels.len() {
                    break;
                }
            }
            Ok(Ok(None)) => unknown = true,
            Ok(Err(error)) => silent = (place(sentinel.get_connection_info().addr()), Some(error)),
            Err(_) if silent.1.is_none() => silent.0 = place(sentinel.get_connection_info().addr()),
            Err(_) => {}
        }
    }
    match votes.into_iter().max_by_key(|(_, votes)| *votes) {
        Some(((host, port), _)) => Said::Master(host, port),
        None if unknown => Said::Unknown,
        None => Said::Silent(silent.0, silent.1),
    }
}

async fn ask_one(sentinel: &Client, master: &str, limit: Duration) -> RedisResult<Option<(String, u16)>> {
    let config = connection_config(limit);
    let mut connection = sentinel.get_multiplexed_async_connection_with_config(&config).await?;
    redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master).query_async(&mut connection).await
}
