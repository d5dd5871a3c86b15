//! Watches Redis: whether it is there, whether it still is the one we knew, and how much it holds.
//!
//! Redis is transport and may lose what it holds. Whenever it was away, has another run id (a restart, a failover), or
//! has lost the mark that lives with its data (FLUSHALL), every mailbox is swept at once, not at the next interval.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mailfleet_model::{Class, Classify};
use mailfleet_queue::{Depth, Memory, Queue};
use mailfleet_runtime::{Beat, Shutdown};

use crate::services::Services;

/// How often Redis is looked at: after a loss the sweep begins within this time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often depth and memory are asked for.
const DEPTH_EVERY: Duration = Duration::from_secs(5);

/// What was last seen.
#[derive(Debug, Default, PartialEq, Eq)]
enum Seen {
    /// Nothing yet.
    #[default]
    Nothing,
    /// Redis was there, under this identity.
    There(String),
    /// Redis was away; before that it may have been anything.
    Away,
}

impl Seen {
    /// Takes the next look in; true when something may have been lost since the last one.
    fn look(&mut self, identity: Option<String>) -> bool {
        let lost = match (&*self, &identity) {
            (Self::Nothing, Some(_)) | (_, None) => false,
            (Self::Away, Some(_)) => true,
            (Self::There(before), Some(now)) => before != now,
        };
        *self = identity.map_or(Self::Away, Self::There);
        lost
    }
}

/// Runs until the process stops.
pub async fn watch(services: Arc<Services>, shutdown: Shutdown, beat: Beat) -> anyhow::Result<()> {
    let mut seen = Seen::default();
    let mut depth_at = Instant::now();
    loop {
        let Some(answer) = shutdown.unless_stopping(Box::pin(services.queue.run_id())).await else {
            return Ok(());
        };
        let identity = match answer {
            Ok(identity) => {
                beat.ok();
                Some(identity)
            }
            Err(error) => {
                beat.failed(&error);
                match services.outage_log.open() {
                    Some(suppressed) if error.class() == Class::Outage => {
                        tracing::warn!(suppressed, "{error}; waiting, no cursor moves");
                    }
                    Some(suppressed) => tracing::error!(suppressed, "{error}; no cursor moves"),
                    None => {}
                }
                None
            }
        };
        let there = identity.is_some();
        if seen.look(identity) {
            tracing::warn!("Redis was away, was restarted or was emptied: sweeping every mailbox");
            services.sweep_all();
        }
        if !there {
            show(&services, &Depth::default(), Memory::default());
        } else if depth_at <= Instant::now() {
            depth_at = Instant::now() + DEPTH_EVERY;
            let Some((depth, memory)) = shutdown.unless_stopping(Box::pin(fill(&services.queue))).await
            else {
                return Ok(());
            };
            show(&services, &depth, memory);
        }
        if !shutdown.sleep(LOOK_EVERY).await {
            return Ok(());
        }
    }
}

/// How full queue and server are; what cannot be read is not known.
async fn fill(queue: &Queue) -> (Depth, Memory) {
    match queue.depth().await {
        Ok(depth) => {
            queue.mend_counts(&depth).await;
            (depth, queue.memory().await.unwrap_or_default())
        }
        Err(_) => (Depth::default(), Memory::default()),
    }
}

/// Shows depth and memory; what is not known is absent.
fn show(services: &Services, depth: &Depth, memory: Memory) {
    let queue = services.config.queue.queue.as_str();
    let gauges = &services.metrics.queue;
    gauges.show(queue, depth.series(), depth.ages(), depth.backlog());
    gauges.show_fill(queue, |lane| depth.lane(lane).bytes, |lane| depth.lane(lane).refusing());
    gauges.show_dead(queue, depth.dead, |lane| depth.lane(lane).dead, depth.oldest_dead());
    gauges.show_paused(queue, |lane| depth.lane(lane).paused, depth.closed);
    services.metrics.memory.show(memory.used_bytes, memory.max_bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_is_asked_for_after_an_absence_and_after_a_change_and_not_at_the_start() {
        let mut seen = Seen::default();
        let there = |id: &str| Some(id.to_owned());
        assert!(!seen.look(there("a")), "the sweep at the start comes by itself");
        assert!(!seen.look(there("a")));
        assert!(seen.look(there("b")), "restarted or flushed between two looks");
        assert!(!seen.look(None));
        assert!(!seen.look(None));
        assert!(seen.look(there("b")), "it was away and may have lost its tail");
        assert!(!seen.look(there("b")));
    }
}
