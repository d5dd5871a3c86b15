//! What a binary's start-up function is given.

use std::sync::Arc;

use mailfleet_model::Clock;

use crate::component::Components;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// The running process: its configuration and the shell's services. Cheap to clone.
#[derive(Debug)]
pub struct Process<C> {
    /// The configuration.
    pub config: Arc<C>,
    /// The binary's name.
    pub name: &'static str,
    /// The binary's version.
    pub version: &'static str,
    /// Where metrics are registered; `/metrics` shows `metrics.registry()`.
    pub metrics: Metrics,
    /// The health board behind `/readyz`.
    pub health: Health,
    /// The two stop tokens.
    pub shutdown: Shutdown,
    /// Starts components.
    pub components: Components,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

impl<C> Clone for Process<C> {
    fn clone(&self) -> Self {
        Self {
            config: Arc::clone(&self.config),
            name: self.name,
            version: self.version,
            metrics: self.metrics.clone(),
            health: self.health.clone(),
            shutdown: self.shutdown.clone(),
            components: self.components.clone(),
            clock: Arc::clone(&self.clock),
        }
    }
}
