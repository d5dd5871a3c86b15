//! What the processes know of the servers behind them: connections to PostgreSQL, memory of Redis.

use crate::metrics::{DepthGauges, Metrics};

/// Registers `mailfleet_postgres_connections`: of this process' pool, how many connections are in use and how many there
/// may be, as `usage` says (in use, limit) at each look.
pub fn postgres_connections(
    metrics: &Metrics,
    usage: impl Fn() -> (usize, usize) + Send + Sync + 'static,
) -> prometheus::Result<()> {
    metrics.read_when_asked(
        "mailfleet_postgres_connections",
        "Connections of this process to PostgreSQL: in_use, and the limit of its pool.",
        "state",
        move || {
            let (in_use, limit) = usage();
            [("in_use", in_use), ("limit", limit)]
        },
    )
}

/// The memory of Redis. All replicas ask the same server: take `max` over them, never `sum`.
#[derive(Debug, Clone)]
pub struct RedisMemory {
    bytes: DepthGauges,
}

impl RedisMemory {
    /// Registers `mailfleet_redis_memory_bytes`; nothing is known yet, so no series exists yet.
    pub fn register(metrics: &Metrics) -> prometheus::Result<Self> {
        let bytes = metrics.depths(
            "mailfleet_redis_memory_bytes",
            "Memory of Redis: used, and the max that it may use, absent where there is none or while unknown; use max over \
             replicas.",
            &["kind"],
        )?;
        Ok(Self { bytes })
    }

    /// Shows the bytes in use and the limit. What is `None` is taken away.
    pub fn show(&self, used: Option<u64>, max: Option<u64>) {
        self.bytes.set(&["used"], used);
        self.bytes.set(&["max"], max);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn text(metrics: &Metrics) -> String {
        prometheus::TextEncoder::new().encode_to_string(&metrics.registry().gather()).unwrap()
    }

    #[test]
    fn connections_are_as_many_as_at_the_moment_of_the_look() {
        let metrics = Metrics::default();
        let in_use = Arc::new(AtomicUsize::new(0));
        let read = Arc::clone(&in_use);
        postgres_connections(&metrics, move || (read.load(Ordering::SeqCst), 8)).unwrap();
        for now in [3, 0] {
            in_use.store(now, Ordering::SeqCst);
            let shown = text(&metrics);
            assert!(
                shown.contains(&format!("mailfleet_postgres_connections{{state=\"in_use\"}} {now}\n")),
                "{shown}"
            );
            assert!(shown.contains("mailfleet_postgres_connections{state=\"limit\"} 8\n"), "{shown}");
        }
    }

    #[test]
    fn memory_without_a_limit_and_unknown_memory_are_absent() {
        let metrics = Metrics::default();
        let memory = RedisMemory::register(&metrics).unwrap();
        memory.show(Some(7), Some(100));
        let known = text(&metrics);
        assert!(known.contains("mailfleet_redis_memory_bytes{kind=\"used\"} 7\n"), "{known}");
        assert!(known.contains("mailfleet_redis_memory_bytes{kind=\"max\"} 100\n"), "{known}");
        memory.show(Some(7), None);
        assert!(!text(&metrics).contains("kind=\"max\""));
        memory.show(None, None);
        assert_eq!(text(&metrics), "");
    }
}
