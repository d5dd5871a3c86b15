//! Waiting for a server at the start: servers start in any order, so an outage is waited for and nothing else is.

use std::time::Duration;

use mailfleet_model::{Class, Classify};

use crate::health::Beat;
use crate::log_gate::LogGate;
use crate::shutdown::Shutdown;

/// Between two tries.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// How often the wait is logged.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Asks `server` until there is an answer that is not an outage; any other error ends the start.
///
/// `None` when the process is told to stop meanwhile.
pub async fn reach<T, E, F, Fut>(
    server: &str,
    shutdown: &Shutdown,
    beat: &Beat,
    mut ask: F,
) -> anyhow::Result<Option<T>>
where
    E: Classify + std::error::Error + Send + Sync + 'static,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let gate = LogGate::new(LOG_EVERY);
    loop {
        // Boxed: a client's future is large, and this one is not waited on in a hurry.
        match shutdown.unless_stopping(Box::pin(ask())).await {
            None => return Ok(None),
            Some(Ok(answer)) => {
                beat.ok();
                return Ok(Some(answer));
            }
            Some(Err(error)) if error.class() == Class::Outage => {
                beat.failed(&error);
                if gate.open().is_some() {
                    tracing::warn!("waiting for {server}: {error}");
                }
            }
            Some(Err(error)) => return Err(anyhow::Error::new(error)),
        }
        if !shutdown.sleep(TRY_EVERY).await {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Health;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Failure(Class);

    impl Classify for Failure {
        fn class(&self) -> Class {
            self.0
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_waited_for_and_anything_else_ends_the_start() {
        let (shutdown, health) = (Shutdown::new(Duration::from_secs(1)), Health::new());
        let beat = health.component("server", Duration::from_secs(5));
        let mut tries = 0;
        let answer = reach("it", &shutdown, &beat, || {
            tries += 1;
            std::future::ready(if tries < 4 { Err(Failure(Class::Outage)) } else { Ok(tries) })
        });
        assert_eq!(answer.await.unwrap(), Some(4));
        let refused =
            reach("it", &shutdown, &beat, || std::future::ready(Err::<(), _>(Failure(Class::Fault))));
        assert_eq!(refused.await.unwrap_err().to_string(), "fault");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopping_process_waits_no_longer() {
        let (shutdown, health) = (Shutdown::new(Duration::from_secs(1)), Health::new());
        let beat = health.component("server", Duration::from_secs(5));
        shutdown.begin();
        let answer =
            reach("it", &shutdown, &beat, || std::future::ready(Err::<(), _>(Failure(Class::Outage))));
        assert_eq!(answer.await.unwrap(), None);
    }
}
