//! Keeps the analytics roll-ups: every replica tries, one holds the lease, each interval one of them runs.
//!
//! After a run the lease is kept for the rest of the interval, so that the other replicas do not run again at once. What
//! goes wrong here is no mail's fault and holds no mail up: it is counted, logged now and then, and tried again.

use std::sync::Arc;
use std::time::Duration;

use mailfleet_runtime::{AgeGauges, CounterFamily, Invalid, Label, LogGate, Metrics, Shutdown};
use mailfleet_store::{Error, RolledUp, Roller, Store};
use prometheus::Histogram;
use serde::Deserialize;
use tokio::time::Instant;

use crate::gate::Gate;

/// Section `[analytics]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnalyticsConfig {
    /// Whether consumers keep the roll-ups, default true. One of them at a time does.
    pub enabled: bool,
    /// Seconds between two runs, 1 to 86,400, default 60: how old the numbers are that analysts read.
    pub every_seconds: u64,
}

impl Default for AnalyticsConfig {
    fn default() -> Self {
        Self { enabled: true, every_seconds: 60 }
    }
}

impl AnalyticsConfig {
    /// The time between two runs.
    pub const fn every(&self) -> Duration {
        Duration::from_secs(self.every_seconds)
    }

    /// Checks the range.
    pub fn validate(&self) -> Result<(), Invalid> {
        match self.every_seconds {
            1..=86_400 => Ok(()),
            other => {
                Err(Invalid::within("analytics", "every_seconds", format!("is {other}, must be 1 to 86400")))
            }
        }
    }
}

/// How long a run took, in seconds.
const RUN_SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Pages of one run at most; what is left is the next run's.
const MOST_PAGES: u32 = 1_000;

/// At most one line of trouble in this time.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// How long a stopping process waits for PostgreSQL about the lease; what it cannot let go runs out by itself.
const LET_GO_WITHIN: Duration = Duration::from_millis(500);

/// How an interval ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunResult {
    /// All changes that could be counted are; a day that takes too long was put off.
    Done,
    /// Another replica has the lease.
    Elsewhere,
    /// The lease was lost in the middle: another replica, or an operator, goes on.
    LeaseLost,
    /// PostgreSQL could not be used, or refused.
    Failed,
}

impl Label for RunResult {
    const NAME: &'static str = "result";

    fn all() -> Vec<Self> {
        vec![Self::Done, Self::Elsewhere, Self::LeaseLost, Self::Failed]
    }

    fn value(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Elsewhere => "elsewhere",
            Self::LeaseLost => "lease_lost",
            Self::Failed => "failed",
        }
    }
}

/// The roll-ups' metrics.
#[derive(Debug)]
pub struct RollUpMetrics {
    runs: CounterFamily<RunResult>,
    seconds: Histogram,
    lag: AgeGauges,
}

impl RollUpMetrics {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> prometheus::Result<Self> {
        Ok(Self {
            runs: metrics.counters(
                "mailfleet_analytics_runs_total",
                "Intervals of the analytics roll-ups by how they ended; in each, one replica is done and the others find it elsewhere.",
            )?,
            seconds: metrics.histogram(
                "mailfleet_analytics_seconds",
                "Time of one run of the analytics roll-ups.",
                RUN_SECONDS,
            )?,
            lag: metrics.ages(
                "mailfleet_analytics_lag_seconds",
                "Age of the oldest change that the analytics roll-ups do not show yet; 0 where they show all, absent while \
                 unknown; use max over replicas.",
                &[],
            )?,
        })
    }
}

/// What keeps the roll-ups in this process.
#[derive(Debug)]
pub struct Keeper {
    /// Where they are.
    pub store: Store,
    /// This process among all that ever were.
    pub holder: String,
    /// Time between two runs.
    pub every: Duration,
    /// What is told.
    pub metrics: RollUpMetrics,
}

impl Keeper {
    /// Runs until the process stops. While the gate is closed nothing is asked of PostgreSQL.
    pub async fn keep(self, gate: Arc<Gate>, shutdown: Shutdown) -> anyhow::Result<()> {
        let log = LogGate::new(LOG_EVERY);
        loop {
            if !gate.is_open() {
                self.metrics.lag.set(&[], None);
                if shutdown.unless_stopping(gate.opened()).await.is_none() {
                    return Ok(());
                }
            }
            let result = match self.interval(&shutdown).await {
                Ok(Some(result)) => result,
                Ok(None) => return Ok(()),
                Err(error) => {
                    if let Some(suppressed) = log.open() {
                        tracing::warn!(%error, suppressed, "the analytics roll-ups could not be kept up; trying again");
                    }
                    RunResult::Failed
                }
            };
            self.metrics.runs.get(result).inc();
            // Boxed: a client's future is large, and this one is not waited on in a hurry.
            let Some(lag) = shutdown.unless_stopping(Box::pin(self.store.roll_up_lag())).await else {
                return Ok(());
            };
            self.metrics.lag.set(&[], lag.ok());
            // Jittered, so that replicas do not ask in one instant.
            if !shutdown.sleep(self.every.mul_f64(0.9 + 0.2 * fastrand::f64())).await {
                return Ok(());
            }
        }
    }

    /// One interval; `None` when the process stops meanwhile.
    async fn interval(&self, shutdown: &Shutdown) -> Result<Option<RunResult>, Error> {
        let started = Instant::now();
        // Cut off only where PostgreSQL does not answer a stopping process soon: a lease that was taken unseen runs out.
        let taken = tokio::select! {
            biased;
            taken = Box::pin(self.store.take_roller(&self.holder)) => taken?,
            () = stopped_for(shutdown, LET_GO_WITHIN) => return Ok(None),
        };
        let Some(mut roller) = taken else { return Ok(Some(RunResult::Elsewhere)) };
        // A page that is dropped is rolled back.
        let ended = shutdown.unless_stopping(Box::pin(pages(&mut roller))).await;
        let Some(ended) = ended else {
            let let_go = Box::pin(self.store.release_lease(roller.lease()));
            // The outcome changes nothing: what is not let go runs out.
            let _ = tokio::time::timeout(LET_GO_WITHIN, let_go).await;
            return Ok(None);
        };
        let ended = ended?;
        self.metrics.seconds.observe(started.elapsed().as_secs_f64());
        if ended == RunResult::Done {
            // Whether it still is ours does not matter any more: the run is over.
            Box::pin(self.store.renew_lease(roller.lease(), self.every.mul_f64(0.8))).await?;
        }
        Ok(Some(ended))
    }
}

/// Comes when the process has been stopping for so long.
async fn stopped_for(shutdown: &Shutdown, time: Duration) {
    shutdown.soft.cancelled().await;
    tokio::time::sleep(time).await;
}

async fn pages(roller: &mut Roller<'_>) -> Result<RunResult, Error> {
    let mut put_off = 0_u32;
    let mut ended = RunResult::Done;
    for _ in 0..MOST_PAGES {
        match roller.page().await? {
            RolledUp::Page { changes, keys } => {
                tracing::debug!(changes, keys, "a page of the analytics roll-ups is counted");
            }
            RolledUp::PutOff => put_off += 1,
            RolledUp::Idle => break,
            RolledUp::LeaseLost => {
                ended = RunResult::LeaseLost;
                break;
            }
        }
    }
    if put_off > 0 {
        tracing::warn!(
            put_off,
            "days of tenants were put off that cannot be counted in time; the others are counted"
        );
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_out_of_range_is_refused_by_name() {
        AnalyticsConfig::default().validate().unwrap();
        let error =
            AnalyticsConfig { every_seconds: 0, ..AnalyticsConfig::default() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "`analytics.every_seconds`: is 0, must be 1 to 86400");
    }

    #[test]
    fn the_lag_is_absent_until_it_is_known() {
        let metrics = Metrics::default();
        let ours = RollUpMetrics::register(&metrics).unwrap();
        let text = || prometheus::TextEncoder::new().encode_to_string(&metrics.registry().gather()).unwrap();
        assert!(!text().contains("mailfleet_analytics_lag_seconds "), "{}", text());
        assert!(text().contains("mailfleet_analytics_runs_total{result=\"elsewhere\"} 0"), "{}", text());
        ours.lag.set(&[], Some(Duration::from_millis(1_500)));
        assert!(text().contains("mailfleet_analytics_lag_seconds 1.5"), "{}", text());
        ours.lag.set(&[], None);
        assert!(!text().contains("mailfleet_analytics_lag_seconds "), "{}", text());
    }
}
