//! The sweep over events that wait for their message. The locks of the store leave it next to nothing to do, so it reads a
//! few pages now and then (`consumer.match_sweep_seconds`), on every replica, each from where it stopped.

use std::sync::Arc;
use std::time::Duration;

use mailfleet_runtime::Shutdown;

use super::Events;
use crate::batch::Context;

/// Waiting events in a page.
const PAGE: u32 = 1_000;
/// Pages in one look.
const PAGES: u32 = 10;

/// Looks about `every` so often until the process stops.
pub async fn run(context: Arc<Context<Events>>, every: Duration, shutdown: Shutdown) {
    let mut after = 0;
    // Replicas that start together do not all look in one instant.
    while shutdown.sleep(every.mul_f64(0.5 + fastrand::f64())).await {
        for _ in 0..PAGES {
            if !context.gate.is_open() {
                break;
            }
            let Some(swept) = shutdown.unless_stopping(context.store.match_waiting(after, PAGE)).await else {
                return;
            };
            match swept {
                Ok(swept) => {
                    context.kind.metrics.matched_late.inc_by(swept.matched);
                    if swept.matched > 0 {
                        tracing::warn!(
                            events = swept.matched,
                            "events had missed their messages and were matched"
                        );
                    }
                    after = swept.next.unwrap_or(0);
                    if swept.next.is_none() {
                        break;
                    }
                }
                // The gate tells of outages; this is tried again at the next look.
                Err(error) => {
                    tracing::debug!(%error, "waiting events could not be looked at");
                    break;
                }
            }
        }
    }
}
