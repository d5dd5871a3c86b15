//! Health, bound to the last real progress of each component and not to the process being up.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// How long the worker runtime may go without running a trivial task before `/healthz` says that it is stuck.
const HEARTBEAT_MAX_AGE: Duration = Duration::from_secs(10);

/// How often the heartbeat beats.
pub(crate) const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);

/// The health of the process: components by name, and the heartbeat of the worker runtime. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Health {
    board: Arc<Mutex<Board>>,
}

#[derive(Debug)]
struct Board {
    components: BTreeMap<String, Record>,
    heartbeat: Instant,
    stopping: bool,
}

#[derive(Debug, Clone)]
struct Record {
    max_age: Duration,
    last_ok: Option<Instant>,
    failure: Option<String>,
}

/// What a component's record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It has not reported yet: unknown is not ready, and not zero.
    Unknown,
    /// Its last report was progress, recent enough.
    Ok,
    /// Its last progress is older than it may be.
    Stale,
    /// Its last report was a failure.
    Failed,
}

/// One component in the answer of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentReport {
    /// Whether this component lets the process be ready.
    pub ok: bool,
    /// What the record says.
    pub state: State,
    /// Milliseconds since its last progress; null while there was none.
    pub age_ms: Option<u64>,
    /// How old its last progress may be, in milliseconds.
    pub max_age_ms: u64,
    /// Why it failed, when it did.
    pub reason: Option<String>,
}

/// The answer of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadyReport {
    /// Whether every component is ok, there is one, and the process is not stopping.
    pub ready: bool,
    /// Whether the process drains.
    pub stopping: bool,
    /// Every component by name.
    pub components: BTreeMap<String, ComponentReport>,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// A health board without components: not ready.
    #[must_use]
    pub fn new() -> Self {
        let board = Board { components: BTreeMap::new(), heartbeat: Instant::now(), stopping: false };
        Self { board: Arc::new(Mutex::new(board)) }
    }

    /// Adds a component, unknown until its first beat, whose progress may be `max_age` old. A component of the same
    /// name is replaced: it starts as unknown again.
    #[must_use]
    pub fn component(&self, name: impl Into<String>, max_age: Duration) -> Beat {
        let name = name.into();
        let record = Record { max_age, last_ok: None, failure: None };
        self.board().components.insert(name.clone(), record);
        Beat { board: Arc::clone(&self.board), name: name.into() }
    }

    /// The state of every component.
    #[must_use]
    pub fn ready(&self) -> ReadyReport {
        let now = Instant::now();
        let board = self.board();
        let components: BTreeMap<_, _> =
            board.components.iter().map(|(name, record)| (name.clone(), record.report(now))).collect();
        // No component at all means that start-up has not come that far, not that all is well.
        let ready = !board.stopping && !components.is_empty() && components.values().all(|report| report.ok);
        ReadyReport { ready, stopping: board.stopping, components }
    }

    /// Age of the worker runtime's heartbeat, and whether it is young enough to call the process alive.
    #[must_use]
    pub fn alive(&self) -> (bool, Duration) {
        let age = Instant::now().saturating_duration_since(self.board().heartbeat);
        (age <= HEARTBEAT_MAX_AGE, age)
    }

    /// Called by the heartbeat task of the worker runtime.
    pub(crate) fn heartbeat(&self) {
        self.board().heartbeat = Instant::now();
    }

    /// From now on the process is not ready: a load balancer must not send it anything more.
    pub(crate) fn stop(&self) {
        self.board().stopping = true;
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        lock(&self.board)
    }
}

/// Records are plain values, valid after every single assignment, so a poisoned lock is still usable.
fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Record {
    fn report(&self, now: Instant) -> ComponentReport {
        let age = self.last_ok.map(|last| now.saturating_duration_since(last));
        let state = match (age, &self.failure) {
            (_, Some(_)) => State::Failed,
            (None, None) => State::Unknown,
            (Some(age), None) if age > self.max_age => State::Stale,
            (Some(_), None) => State::Ok,
        };
        ComponentReport {
            ok: state == State::Ok,
            state,
            age_ms: age.map(millis),
            max_age_ms: millis(self.max_age),
            reason: self.failure.clone(),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A component's pen on the health board. Cheap to clone; usable from any thread.
#[derive(Debug, Clone)]
pub struct Beat {
    board: Arc<Mutex<Board>>,
    name: Arc<str>,
}

impl Beat {
    /// There was real progress: an entry done, or a look that found nothing to do.
    pub fn ok(&self) {
        self.update(|record| {
            record.last_ok = Some(Instant::now());
            record.failure = None;
        });
    }

    /// The last try failed; not ready until the next [`ok`](Self::ok). The reason is shown by `/readyz`: no secrets.
    pub fn failed(&self, reason: &(impl fmt::Display + ?Sized)) {
        let reason = reason.to_string();
        self.update(|record| record.failure = Some(reason));
    }

    /// Takes the component off the board, because it is no longer meant to run (an account that was disabled).
    pub fn retire(self) {
        lock(&self.board).components.remove(&*self.name);
    }

    fn update(&self, change: impl FnOnce(&mut Record)) {
        // A beat that outlives its retirement is dropped: it must not bring the component back.
        if let Some(record) = lock(&self.board).components.get_mut(&*self.name) {
            change(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_AGE: Duration = Duration::from_secs(5);

    fn state(health: &Health) -> (bool, State) {
        let report = health.ready();
        (report.ready, report.components["queue"].state)
    }

    #[test]
    fn a_process_without_components_is_not_ready() {
        assert!(!Health::new().ready().ready);
    }

    #[tokio::test(start_paused = true)]
    async fn a_component_is_unknown_until_its_first_beat_and_stale_without_progress() {
        let health = Health::new();
        let beat = health.component("queue", MAX_AGE);
        assert_eq!(state(&health), (false, State::Unknown));
        assert_eq!(health.ready().components["queue"].age_ms, None, "unknown is not zero");
        beat.ok();
        assert_eq!(state(&health), (true, State::Ok));
        tokio::time::advance(MAX_AGE).await;
        assert_eq!(state(&health), (true, State::Ok));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(state(&health), (false, State::Stale));
        beat.ok();
        assert_eq!(state(&health), (true, State::Ok));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_makes_unready_at_once_and_keeps_the_age_of_the_last_progress() {
        let health = Health::new();
        let beat = health.component("queue", MAX_AGE);
        beat.ok();
        tokio::time::advance(Duration::from_secs(2)).await;
        beat.failed("connection refused");
        let report = health.ready();
        assert!(!report.ready);
        assert_eq!(report.components["queue"].age_ms, Some(2000));
        assert_eq!(report.components["queue"].reason.as_deref(), Some("connection refused"));
        beat.ok();
        assert_eq!(state(&health), (true, State::Ok));
    }

    #[test]
    fn one_bad_component_makes_the_process_unready_until_it_is_retired() {
        let health = Health::new();
        health.component("queue", MAX_AGE).ok();
        let account = health.component("account support", MAX_AGE);
        account.failed("wrong password");
        assert!(!health.ready().ready);
        let late = account.clone();
        account.retire();
        late.failed("a thread that still winds down");
        assert!(health.ready().ready);
    }

    #[test]
    fn a_stopping_process_is_not_ready() {
        let health = Health::new();
        health.component("queue", MAX_AGE).ok();
        health.stop();
        let report = health.ready();
        assert!(!report.ready && report.stopping && report.components["queue"].ok);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_runtime_is_not_alive() {
        let health = Health::new();
        health.heartbeat();
        assert!(health.alive().0);
        tokio::time::advance(HEARTBEAT_MAX_AGE + Duration::from_secs(1)).await;
        assert!(!health.alive().0);
        health.heartbeat();
        assert!(health.alive().0);
    }
}
