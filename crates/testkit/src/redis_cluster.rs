//! A private Redis Cluster: masters that share the slots, and replicas where asked for.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::ports::free_port;
use crate::redis_server::RedisServer;
use crate::server::{STARTUP_LIMIT, with_fresh_ports};
use crate::wait::poll;

/// There are so many slots.
const SLOTS: u16 = 16_384;
/// How often the state is looked at while the nodes get to know each other.
const POLL: Duration = Duration::from_millis(50);
/// After so many milliseconds without an answer a node is taken for dead by the others.
const NODE_TIMEOUT_MS: &str = "1500";

/// A cluster of Redis servers on 127.0.0.1. Every node is a [`RedisServer`]: it can be stopped, killed and started again.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
    masters: usize,
}

impl RedisCluster {
    /// Starts `masters` of them with equal shares of the slots, and a replica of each of the first `replicas`. More settings
    /// of redis.conf hold for all of them. Takes a second or two.
    pub fn start(masters: u16, replicas: u16, settings: &[(&str, &str)]) -> Result<Self> {
        let node = || with_fresh_ports(|| start_node(settings));
        let nodes = (0..masters + replicas).map(|_| node()).collect::<Result<Vec<_>>>()?;
        let this = Self { nodes, masters: usize::from(masters) };
        for (number, node) in (0..masters).zip(&this.nodes) {
            let bound = |number: u16| u32::from(number) * u32::from(SLOTS) / u32::from(masters);
            node.ask::<()>(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1))?;
            node.ask::<()>(&format!("CLUSTER ADDSLOTSRANGE {} {}", bound(number), bound(number + 1) - 1))?;
        }
        // Each one is told of each other one, rather than left to hear of it: that is much quicker.
        for node in &this.nodes {
            for other in this.nodes.iter().filter(|other| other.port() != node.port()) {
                node.ask::<()>(&format!("CLUSTER MEET 127.0.0.1 {} {}", other.port(), bus_port(other)?))?;
            }
        }
        this.wait_for(|info, nodes| info.contains("cluster_state:ok") && info.contains(nodes))?;
        for number in 0..usize::from(replicas) {
            let master: String = this.nodes[number].ask("CLUSTER MYID")?;
            this.nodes[this.masters + number].ask::<()>(&format!("CLUSTER REPLICATE {master}"))?;
        }
        this.wait_for_replicas()?;
        Ok(this)
    }

    /// All nodes: the masters as they were at the start, then the replicas in the order of their masters.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// `redis+cluster://127.0.0.1:PORT,…`, naming the first masters.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<_> =
            self.nodes[..self.masters].iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        let login = self.nodes.first().map(RedisServer::login).unwrap_or_default();
        format!("redis+cluster://{login}{}", hosts.join(","))
    }

    /// The index of the master that had the slot of `key` at the start.
    pub fn first_owner(&self, key: &str) -> Result<usize> {
        let slot = self.slot(key)?;
        Ok(usize::from(slot) * self.masters / usize::from(SLOTS))
    }

    /// The slot of a key.
    pub fn slot(&self, key: &str) -> Result<u16> {
        self.nodes.first().context("a node")?.ask(&format!("CLUSTER KEYSLOT {key}"))
    }

    /// All nodes, to be looked after one by one.
    #[must_use]
    pub fn into_nodes(self) -> Vec<RedisServer> {
        self.nodes
    }

    /// Takes the node at `index` out of the rest, to be looked after by itself.
    #[must_use]
    pub fn split(mut self, index: usize) -> (RedisServer, Vec<RedisServer>) {
        let one = self.nodes.remove(index);
        (one, self.nodes)
    }

    /// Waits until every node that runs says that the cluster works.
    pub fn wait_until_ok(&self) -> Result<()> {
        self.wait_for(|info, _| info.contains("cluster_state:ok"))
    }

    fn wait_for(&self, good: impl Fn(&str, &str) -> bool) -> Result<()> {
        let known = format!("cluster_known_nodes:{}\r\n", self.nodes.len());
        let all_good = || {
            let running = || self.nodes.iter().filter(|node| node.pid().is_some());
            running().all(|node| node.ask::<String>("CLUSTER INFO").is_ok_and(|info| good(&info, &known)))
        };
        poll(STARTUP_LIMIT, POLL, || all_good().then_some(()))
            .ok_or_else(|| anyhow!("the cluster was not ready in {STARTUP_LIMIT:?}: {}", self.said()))
    }

    /// A replica takes part in a failover only once it has its master's data.
    fn wait_for_replicas(&self) -> Result<()> {
        let in_step = || {
            self.nodes[self.masters..].iter().all(|node| {
                let info = node.ask::<String>("INFO replication");
                info.is_ok_and(|info| info.contains("role:slave") && info.contains("master_link_status:up"))
            })
        };
        poll(STARTUP_LIMIT, POLL, || in_step().then_some(()))
            .ok_or_else(|| anyhow!("the replicas did not follow in {STARTUP_LIMIT:?}: {}", self.said()))
    }

    fn said(&self) -> String {
        let said = self.nodes.iter().map(|node| node.ask::<String>("CLUSTER NODES"));
        said.map(|said| said.unwrap_or_else(|error| format!("{error:#}"))).collect::<Vec<_>>().join("\n")
    }
}

fn start_node(settings: &[(&str, &str)]) -> Result<RedisServer> {
    let bus = free_port().to_string();
    let own = [
        ("cluster-enabled", "yes"),
        ("cluster-config-file", "nodes.conf"),
        ("cluster-node-timeout", NODE_TIMEOUT_MS),
        ("cluster-port", &bus),
        ("repl-diskless-sync-delay", "0"),
    ];
    RedisServer::start_with(&own.iter().chain(settings).copied().collect::<Vec<_>>())
}

fn bus_port(node: &RedisServer) -> Result<&str> {
    node.setting("cluster-port").context("a node without a port for the others")
}
