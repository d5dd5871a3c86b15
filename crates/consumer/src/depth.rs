//! Shows the queue's depth. Every replica reads it from Redis itself, so all show the same: dashboards take `max`.

use std::sync::Arc;
use std::time::Duration;

use mailfleet_model::Lane;
use mailfleet_queue::Depth;
use mailfleet_runtime::Shutdown;
use prometheus::IntCounter;

use crate::batch::Context;
use crate::metrics::ConsumerMetrics;

/// How often the depth is read.
const EVERY: Duration = Duration::from_secs(5);

/// Reads the depth and the consumer's own numbers until the process stops. It is also what tells whether Redis is
/// there while nobody claims.
pub async fn show(context: Arc<Context>, queue: String, shutdown: Shutdown) {
    // Boxed: a client's future is large, and this one is not waited on in a hurry.
    while let Some(depth) = shutdown.unless_stopping(Box::pin(context.consumer.queue().depth())).await {
        match &depth {
            Ok(_) => context.settler.answered(),
            Err(error) => context.settler.note(error),
        }
        // What is not known is absent: a zero would tell an autoscaler to go home.
        let (stats, metrics) = (context.consumer.stats(), &context.metrics);
        set(metrics, &queue, &depth.unwrap_or_default());
        raise(&metrics.reclaimed, stats.reclaimed);
        raise(&metrics.blob_gone, stats.blob_gone);
        raise(&metrics.leases_lost, stats.leases_lost);
        raise(&metrics.unknown_version, stats.unknown_version);
        raise(&metrics.quarantined, stats.quarantined);
        if !shutdown.sleep(EVERY).await {
            return;
        }
    }
}

fn set(metrics: &ConsumerMetrics, queue: &str, depth: &Depth) {
    for (lane, state, entries) in depth.series() {
        metrics.depth.set(&[queue, lane.as_str(), state], entries);
    }
    for lane in Lane::ALL {
        metrics.oldest_age.set(&[queue, lane.as_str()], depth.lane(lane).oldest_age());
    }
}

/// Brings a counter up to a number that only grows.
fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}
