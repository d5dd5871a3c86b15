//! Shows the queue's depth. Every replica reads it from Redis itself, so all show the same: dashboards take `max`.

use std::sync::Arc;
use std::time::Duration;

use mailfleet_model::Lane;
use mailfleet_queue::Depth;
use mailfleet_runtime::Shutdown;
use prometheus::IntCounter;

use crate::batch::Context;

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
        set(&context, &queue, depth.ok().as_ref());
        let (stats, metrics) = (context.consumer.stats(), &context.metrics);
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

fn set(context: &Context, queue: &str, depth: Option<&Depth>) {
    for lane in Lane::ALL {
        let of = depth.map(|depth| depth.lane(lane));
        for (state, value) in [
            ("waiting", of.and_then(|of| of.waiting)),
            ("in_flight", of.and_then(|of| of.in_flight)),
            ("delayed", of.and_then(|of| of.delayed)),
            ("released", of.and_then(|of| of.released)),
        ] {
            context.metrics.depth.set(&[queue, lane.as_str(), state], value);
        }
        context.metrics.oldest_age_ms.set(&[queue, lane.as_str()], of.and_then(|of| of.oldest_age_ms));
    }
}

/// Brings a counter up to a number that only grows.
fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}
