//! Shows the queues' depths, and how full Redis is. Every replica reads it from Redis itself, so all show the same:
//! dashboards take `max`.

use std::sync::Arc;
use std::time::Duration;

use mailfleet_queue::{Consumer, ConsumerStats, Memory};
use mailfleet_runtime::Shutdown;
use prometheus::IntCounter;

use crate::batch::Context;
use crate::metrics::ConsumerMetrics;
use crate::settle::Settler;

/// How often the depths are read.
const EVERY: Duration = Duration::from_secs(5);

/// A queue that is shown, and who works on it.
#[derive(Debug)]
pub struct Shown {
    /// The consumer of the queue.
    pub consumer: Consumer,
    /// Who is told whether Redis answers.
    pub settler: Arc<Settler>,
}

impl Shown {
    /// The queue that this kind of work comes from.
    pub fn of<K>(context: &Context<K>) -> Self {
        Self { consumer: context.consumer.clone(), settler: Arc::clone(&context.settler) }
    }
}

/// Reads the depths and the consumers' own numbers until the process stops. It is also what tells whether Redis is there
/// while nobody claims.
pub async fn show(queues: Vec<Shown>, metrics: Arc<ConsumerMetrics>, shutdown: Shutdown) {
    loop {
        let (mut stats, mut memory) = (ConsumerStats::default(), Memory::default());
        for Shown { consumer, settler } in &queues {
            let queue = consumer.queue();
            // Boxed: a client's future is large, and this one is not waited on in a hurry.
            let Some(depth) = shutdown.unless_stopping(Box::pin(queue.depth())).await else { return };
            match &depth {
                Ok(depth) => {
                    settler.answered();
                    let mended = shutdown.unless_stopping(Box::pin(queue.mend_counts(depth))).await;
                    let Some(()) = mended else { return };
                    // All queues are in one Redis, so it does not matter whose answer is shown.
                    let asked = shutdown.unless_stopping(Box::pin(queue.memory())).await;
                    let Some(answer) = asked else { return };
                    memory = answer.unwrap_or_default();
                }
                Err(error) => settler.note(error),
            }
            let depth = depth.unwrap_or_default();
            let name = &queue.config().queue;
            let gauges = &metrics.queue;
            gauges.show(name, depth.series(), depth.ages(), depth.backlog());
            gauges.show_fill(name, |lane| depth.lane(lane).bytes, |lane| depth.lane(lane).refusing());
            gauges.show_dead(name, depth.dead, |lane| depth.lane(lane).dead, depth.oldest_dead());
            gauges.show_paused(name, |lane| depth.lane(lane).paused, depth.closed);
            stats += consumer.stats();
        }
        metrics.memory.show(memory.used_bytes, memory.max_bytes);
        raise(&metrics.reclaimed, stats.reclaimed);
        raise(&metrics.blob_gone, stats.blob_gone);
        raise(&metrics.leases_lost, stats.leases_lost);
        raise(&metrics.vanished, stats.vanished);
        raise(&metrics.unknown_version, stats.unknown_version);
        raise(&metrics.quarantined, stats.quarantined);
        if !shutdown.sleep(EVERY).await {
            return;
        }
    }
}

/// Brings a counter up to a number that only grows.
fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}
