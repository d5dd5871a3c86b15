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
    // The epoch before the address: it is never newer. Of a name that it does not know a sentinel tells no epoch, which is an
    // error of its own; the address says so plainly.
    let mut command = redis::cmd("SENTINEL");
    command.arg("MASTER").arg(master);
    let all: RedisResult<HashMap<String, String>> = command.query_async(&mut connection).await;
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let Some((host, port)) = command.query_async(&mut connection).await? else { return Ok(None) };
    let epoch = all?.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    Ok(Some(Answer { host, port, epoch }))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    use super::super::fake::{fake, list, silent};
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// One that answers after `delay`.
    async fn sentinel(delay: u64, port: &'static str, epoch: &'static str) -> Client {
        let (_, client) = fake(Duration::from_millis(delay), move |words| match words.get(1)?.as_str() {
            "GET-MASTER-ADDR-BY-NAME" if words[2] == "M" => Some(list(&["h", port])),
            "GET-MASTER-ADDR-BY-NAME" => Some("*-1\r\n".to_owned()),
            "MASTER" => Some(list(&["name", "m", "config-epoch", epoch])),
            _ => None,
        })
        .await;
        client
    }

    async fn said(sentinels: &[Client]) -> (String, Duration) {
        let asked = Instant::now();
        let said = match ask(sentinels, "m", LIMIT).await {
            Said::Master(_, port) => port.to_string(),
            Said::Unknown => "unknown".to_owned(),
            Said::Silent(place, _) => format!("silent {place}"),
        };
        (said, asked.elapsed())
    }

    #[tokio::test]
    async fn the_highest_epoch_is_believed_whoever_answers_first() {
        let (old, new, other) =
            (sentinel(0, "1", "7").await, sentinel(10, "2", "8").await, sentinel(0, "1", "7").await);
        assert_eq!(said(&[old.clone(), new.clone(), other.clone()]).await.0, "2");
        assert_eq!(said(&[new, other, old]).await.0, "2");
    }

    #[tokio::test]
    async fn one_that_hears_of_a_failover_while_it_is_asked_gives_no_former_master_the_new_epoch() {
        let asked = AtomicBool::new(false);
        let (_, hears) = fake(Duration::ZERO, move |words| {
            let knows = || asked.swap(true, Ordering::Relaxed);
            match words.get(1)?.as_str() {
                "GET-MASTER-ADDR-BY-NAME" => Some(list(&["h", if knows() { "2" } else { "1" }])),
                "MASTER" => Some(list(&["config-epoch", if knows() { "8" } else { "7" }])),
                _ => None,
            }
        })
        .await;
        let knew = sentinel(20, "2", "8").await;
        assert_eq!(said(&[hears, knew]).await.0, "2");
    }

    #[tokio::test]
    async fn one_that_hangs_costs_a_moment_and_one_that_knows_nothing_does_not_count_beside_one_that_does() {
        let (one, other) = (sentinel(0, "1", "7").await, sentinel(0, "1", "7").await);
        let (found, took) = said(&[silent().await.1, one.clone(), other.clone()]).await;
        assert_eq!(found, "1");
        assert!(took < LIMIT / 2, "{took:?}");
        let unknown = ask(&[one.clone(), other.clone()], "n", LIMIT).await;
        assert!(matches!(unknown, Said::Unknown), "{unknown:?}");
        let (_, unaware) = fake(Duration::ZERO, |words| {
            (words.get(1)? == "GET-MASTER-ADDR-BY-NAME").then(|| "*-1\r\n".to_owned())
        })
        .await;
        assert_eq!(said(&[unaware, one, other]).await.0, "1");
    }
}
