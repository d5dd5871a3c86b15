//! Asking nodes of a cluster who has which slots.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use redis::{Client, RedisError, RedisResult, Value};
use tokio::time::{Instant, timeout_at};

use super::node::{connection_config, host_and_port, place};
use super::slot::SLOTS;
use crate::info::value;

/// Once one node has answered, the others are waited for no longer than this.
const STRAGGLERS: Duration = Duration::from_millis(100);
/// No cluster has more nodes than Redis recommends as the most.
const NODES_MAX: usize = 1_000;

/// Who has which slots, as one node sees it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// First slot, last slot, and their master.
    pub(crate) ranges: Vec<(u16, u16, (String, u16))>,
    /// Masters and replicas: whom to ask next time.
    pub(crate) nodes: Vec<(String, u16)>,
}

/// What the nodes said.
#[derive(Debug)]
pub(crate) enum Said {
    Layout(Layout),
    /// None answered; what the last one met, and where.
    Silent(String, Option<RedisError>),
}

/// Asks all of them at once. What is said with the highest epoch holds: every failover and every move of a slot has a higher
/// one. A node that stood still while its replica was promoted does not know of it yet and may answer first, so more than
/// half are heard where they answer soon. Of those who think that the cluster works; one that is cut off from the others
/// knows that it does not. Where none thinks so within `limit`, any answer is taken.
pub(crate) async fn ask(nodes: &[Client], limit: Duration) -> Said {
    let mut answers: FuturesUnordered<_> = nodes
        .iter()
        .map(async |node| (node, tokio::time::timeout(limit, ask_one(node, limit)).await))
        .collect();
    let (mut newest, mut second_best, mut silent) = (None::<Answer>, None, (String::new(), None));
    let (mut answered, mut until) = (0, Instant::now() + limit * 2);
    while let Ok(Some((node, answer))) = timeout_at(until, answers.next()).await {
        match answer {
            Ok(Ok(answer)) if answer.works => {
                until = until.min(Instant::now() + STRAGGLERS);
                answered += 1;
                if newest.as_ref().is_none_or(|newest| newest.epoch < answer.epoch) {
                    newest = Some(answer);
                }
                if answered * 2 > nodes.len() {
                    break;
                }
            }
            Ok(Ok(answer)) => second_best = Some(answer),
            Ok(Err(error)) => silent = (place(node.get_connection_info().addr()), Some(error)),
            Err(_) if silent.1.is_none() => silent.0 = place(node.get_connection_info().addr()),
            Err(_) => {}
        }
    }
    newest.or(second_best).map_or(Said::Silent(silent.0, silent.1), |answer| Said::Layout(answer.layout))
}

/// What one of them says.
struct Answer {
    layout: Layout,
    /// Whether it thinks that the cluster works.
    works: bool,
    epoch: u64,
}

async fn ask_one(node: &Client, limit: Duration) -> RedisResult<Answer> {
    let config = connection_config(limit);
    let mut connection = node.get_multiplexed_async_connection_with_config(&config).await?;
    // Not as a pipeline, whose errors do not tell what the server said. The epoch before the slots: it is never newer.
    let info: String = redis::cmd("CLUSTER").arg("INFO").query_async(&mut connection).await?;
    let slots: Value = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await?;
    let own = host_and_port(node.get_connection_info()).map_or("", |(host, _)| host);
    let epoch = value(&info, "cluster_current_epoch").and_then(|epoch| epoch.parse().ok());
    Ok(Answer {
        layout: read(slots, own),
        works: value(&info, "cluster_state") == Some("ok"),
        epoch: epoch.unwrap_or(0),
    })
}

/// Reads CLUSTER SLOTS. `own` is the host that was asked, which a node leaves out where it does not know it. Lines that
/// cannot be read are passed over: their slots are then nobody's, which is an outage of those.
fn read(slots: Value, own: &str) -> Layout {
    let mut layout = Layout::default();
    let Value::Array(lines) = slots else { return layout };
    for line in lines {
        let Value::Array(line) = line else { continue };
        let mut line = line.into_iter();
        let (Some(Value::Int(first)), Some(Value::Int(last))) = (line.next(), line.next()) else { continue };
        let nodes: Vec<_> = line.filter_map(|node| read_node(node, own)).collect();
        let (Ok(first), Ok(last)) = (u16::try_from(first), u16::try_from(last)) else { continue };
        let Some(master) = nodes.first().filter(|_| first <= last && last < SLOTS) else { continue };
        layout.ranges.push((first, last, master.clone()));
        for node in nodes {
            if layout.nodes.len() < NODES_MAX && !layout.nodes.contains(&node) {
                layout.nodes.push(node);
            }
        }
    }
    layout
}

fn read_node(node: Value, own: &str) -> Option<(String, u16)> {
    let Value::Array(parts) = node else { return None };
    let mut parts = parts.into_iter();
    let host = match parts.next()? {
        Value::BulkString(host) => String::from_utf8(host).ok()?,
        Value::SimpleString(host) => host,
        Value::Nil => String::new(),
        _ => return None,
    };
    let Some(Value::Int(port)) = parts.next() else { return None };
    let host = if matches!(host.as_str(), "" | "?") { own.to_owned() } else { host };
    Some((host, u16::try_from(port).ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::fake::{fake, silent};
    use super::*;

    /// One that answers after `delay`, with all slots at `port`.
    async fn node(delay: u64, port: u16, state: &'static str, epoch: u64) -> Client {
        let (_, client) = fake(Duration::from_millis(delay), move |words| match words.get(1)?.as_str() {
            "INFO" => {
                let info = format!("cluster_state:{state}\r\ncluster_current_epoch:{epoch}\r\n");
                Some(format!("${}\r\n{info}\r\n", info.len()))
            }
            "SLOTS" => Some(format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$1\r\nh\r\n:{port}\r\n")),
            _ => None,
        })
        .await;
        client
    }

    async fn said(nodes: &[Client]) -> (u16, Duration) {
        let asked = Instant::now();
        match ask(nodes, Duration::from_secs(5)).await {
            Said::Layout(layout) => (layout.ranges[0].2.1, asked.elapsed()),
            Said::Silent(..) => (0, asked.elapsed()),
        }
    }

    #[tokio::test]
    async fn a_node_that_knows_less_is_not_believed_although_it_answers_first() {
        let (old, new) = (node(0, 1, "ok", 5).await, node(10, 2, "ok", 6).await);
        let (hangs, down) = (silent().await.1, node(0, 3, "fail", 7).await);
        let (port, took) = said(&[old.clone(), new.clone(), hangs.clone()]).await;
        assert_eq!(port, 2);
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_eq!(said(&[down.clone(), new, hangs.clone()]).await.0, 2, "that one is cut off");
        let (port, took) = said(&[old, hangs.clone(), hangs.clone()]).await;
        assert_eq!(port, 1, "all that there is");
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_eq!(said(&[down]).await.0, 3, "better than nothing");
    }

    #[test]
    fn slots_are_read_with_replicas_and_a_host_that_the_node_does_not_know() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node =
            |host: Value, port| Value::Array(vec![host, Value::Int(port), text("id"), Value::Array(vec![])]);
        let line = |first, last, nodes: Vec<Value>| {
            Value::Array([Value::Int(first), Value::Int(last)].into_iter().chain(nodes).collect())
        };
        let layout = read(
            Value::Array(vec![
                line(0, 99, vec![node(text("a"), 1), node(text("b"), 2)]),
                line(100, 199, vec![node(Value::Nil, 3)]),
                line(200, 299, vec![node(text("?"), 4)]),
                line(300, 70_000, vec![node(text("a"), 1)]),
                line(300, 301, vec![]),
                Value::Nil,
            ]),
            "own",
        );
        let at = |host: &str, port| (host.to_owned(), port);
        assert_eq!(layout.ranges, [(0, 99, at("a", 1)), (100, 199, at("own", 3)), (200, 299, at("own", 4))]);
        assert_eq!(layout.nodes, [at("a", 1), at("b", 2), at("own", 3), at("own", 4)]);
        assert_eq!(read(Value::Nil, "own"), Layout::default());
    }
}
