//! The supervisor: waits for start-up, a signal, a failure or the deadline, and says how the process ends.
//!
//! It runs on the main thread in a runtime of its own. Were it a task among the workers, two busy handlers on two
//! cores would keep the second SIGTERM from being seen, and the admin server from answering.

use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::component::{Components, chain, panicked};
use crate::health::Health;
use crate::run::EXIT_FAILURE;
use crate::shutdown::Shutdown;

/// How the process ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Everything returned, and nothing failed.
    Clean,
    /// Start-up failed; the text is for people. Nobody has logged it yet.
    NotStarted(String),
    /// A component failed; the text is for people, and is in the log already.
    Failed(String),
    /// A second signal or the deadline cut off what still ran.
    Cut(String),
}

impl End {
    pub fn code(&self) -> ExitCode {
        match self {
            Self::Clean => ExitCode::SUCCESS,
            Self::NotStarted(_) | Self::Failed(_) | Self::Cut(_) => ExitCode::from(EXIT_FAILURE),
        }
    }
}

/// What the supervisor watches.
pub(crate) struct Watched {
    /// The start-up function.
    pub start: JoinHandle<anyhow::Result<()>>,
    pub components: Components,
    pub shutdown: Shutdown,
    pub health: Health,
    /// Names of signals as they come in.
    pub signals: mpsc::Receiver<&'static str>,
}

/// Waits until the process may end.
pub(crate) async fn supervise(mut watched: Watched) -> End {
    let shutdown = watched.shutdown.clone();
    let mut starting = true;
    let mut failure: Option<String> = None;

    // Until something says stop: a signal, a failure, or every job being done.
    while !shutdown.is_stopping() {
        tokio::select! {
            biased;
            () = shutdown.soft.cancelled() => {}
            signal = watched.signals.recv() => {
                tracing::info!(signal, "asked to stop; draining");
                shutdown.begin();
            }
            result = &mut watched.start, if starting => {
                starting = false;
                if let Some(text) = outcome(result) {
                    failure = Some(text);
                    shutdown.begin();
                }
            }
            () = watched.components.finished(), if !starting => shutdown.begin(),
        }
    }
    watched.health.stop();

    let left = shutdown.time_left().unwrap_or(Duration::ZERO);
    let drained = async {
        if starting && let Some(text) = outcome((&mut watched.start).await) {
            failure.get_or_insert(text);
        }
        watched.components.finished().await;
    };
    let cut = tokio::select! {
        biased;
        () = drained => None,
        signal = watched.signals.recv() => Some(format!("second signal ({})", signal.unwrap_or("closed"))),
        () = shutdown.hard.cancelled() => Some("told to end at once".to_owned()),
        () = tokio::time::sleep(left) => Some(format!("not drained after {} s", shutdown.drain().as_secs())),
    };
    shutdown.end();
    // A failure that started the drain is the cause, whatever the drain came to.
    let failure = failure.map(End::NotStarted).or_else(|| watched.components.failure().map(End::Failed));
    match (failure, cut) {
        (Some(failure), _) => failure,
        (None, Some(why)) => End::Cut(format!(
            "{why}: ended at once, {} components still running",
            watched.components.running()
        )),
        (None, None) => End::Clean,
    }
}

/// What the start-up function's task came to; `None` when it is well.
fn outcome(result: Result<anyhow::Result<()>, tokio::task::JoinError>) -> Option<String> {
    match result {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(chain(&error)),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => Some(format!("start-up {}", panicked(&*panic))),
            Err(_) => Some("start-up was cancelled".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime::Handle;
    use tokio::time::Instant;

    const DRAIN: Duration = Duration::from_secs(25);

    /// A process in the test's own runtime, whose time stands still unless everything waits.
    struct Bench {
        components: Components,
        shutdown: Shutdown,
        health: Health,
        signals: mpsc::Sender<&'static str>,
        receiver: mpsc::Receiver<&'static str>,
    }

    impl Bench {
        fn new() -> Self {
            let shutdown = Shutdown::new(DRAIN);
            let (signals, receiver) = mpsc::channel(2);
            let components = Components::new(Handle::current(), shutdown.clone());
            Self { components, shutdown, health: Health::new(), signals, receiver }
        }

        /// Supervises a process that has started.
        async fn end(self) -> End {
            self.end_after(async { Ok(()) }).await
        }

        async fn end_after(self, start: impl Future<Output = anyhow::Result<()>> + Send + 'static) -> End {
            let Self { components, shutdown, health, receiver, signals } = self;
            let start = tokio::spawn(start);
            let end = supervise(Watched { start, components, shutdown, health, signals: receiver }).await;
            drop(signals);
            end
        }

        /// A service that takes `drain` to finish what it holds.
        fn service(&self, name: &str, drain: Duration) {
            let soft = self.shutdown.soft.clone();
            self.components.spawn(name, async move {
                soft.cancelled().await;
                tokio::time::sleep(drain).await;
                Ok(())
            });
        }

        async fn signal(&self) {
            self.signals.send("SIGTERM").await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_lets_every_component_finish_what_it_holds() {
        let bench = Bench::new();
        bench.service("worker", Duration::from_secs(20));
        bench.service("sweeper", Duration::from_secs(3));
        bench.signal().await;
        let (began, health) = (Instant::now(), bench.health.clone());
        assert_eq!(bench.end().await, End::Clean);
        assert_eq!(
            began.elapsed().as_secs(),
            20,
            "it neither cut the drain short nor waited for the deadline"
        );
        assert!(health.ready().stopping);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_what_does_not_drain() {
        let bench = Bench::new();
        bench.service("worker", DRAIN * 100);
        bench.signal().await;
        let (began, hard) = (Instant::now(), bench.shutdown.hard.clone());
        let end = bench.end().await;
        assert!(
            matches!(&end, End::Cut(why) if why.contains("25 s") && why.contains("1 components")),
            "{end:?}"
        );
        assert_eq!(began.elapsed().as_secs(), DRAIN.as_secs());
        assert!(hard.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_ends_at_once() {
        let bench = Bench::new();
        bench.service("worker", DRAIN * 100);
        bench.signal().await;
        bench.signal().await;
        let began = Instant::now();
        let end = bench.end().await;
        assert!(matches!(&end, End::Cut(why) if why.contains("second signal")), "{end:?}");
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_component_drains_the_others_and_is_named() {
        let bench = Bench::new();
        bench.service("worker", Duration::from_secs(2));
        bench.components.spawn("claimer", async { Err(anyhow::anyhow!("NOAUTH").context("cannot claim")) });
        let began = Instant::now();
        let end = bench.end().await;
        assert_eq!(end, End::Failed("component claimer failed: cannot claim: NOAUTH".into()));
        assert_eq!(began.elapsed().as_secs(), 2, "the worker was given its time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_in_a_task_or_a_thread_fails_the_process() {
        let bench = Bench::new();
        bench.components.spawn("claimer", async { panic!("out of {}", "range") });
        assert_eq!(bench.end().await, End::Failed("component claimer panicked: out of range".into()));

        let bench = Bench::new();
        bench.components.spawn_thread("account a", 64 * 1024, || panic!("odd reply")).unwrap();
        assert_eq!(bench.end().await, End::Failed("component account a panicked: odd reply".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_returns_although_nobody_stopped_it_fails_the_process() {
        let bench = Bench::new();
        bench.components.spawn("claimer", async { Ok(()) });
        let end = bench.end().await;
        assert!(matches!(&end, End::Failed(why) if why.contains("claimer ended although")), "{end:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_ends_cleanly_when_all_its_jobs_are_done() {
        let bench = Bench::new();
        let more = bench.components.clone();
        bench.components.spawn_job("first", async move {
            more.spawn_job("second", async { Ok(()) });
            Ok(())
        });
        assert_eq!(bench.end().await, End::Clean);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_start_is_told_with_its_causes_and_drains_what_runs() {
        let bench = Bench::new();
        bench.service("worker", Duration::from_secs(1));
        let start = async { Err(anyhow::anyhow!("connection refused").context("cannot reach Redis")) };
        assert_eq!(
            bench.end_after(start).await,
            End::NotStarted("cannot reach Redis: connection refused".into())
        );
        let end = Bench::new().end_after(async { panic!("boom") }).await;
        assert_eq!(end, End::NotStarted("start-up panicked: boom".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_during_start_up_waits_for_it_within_the_deadline() {
        let bench = Bench::new();
        bench.signal().await;
        let soft = bench.shutdown.soft.clone();
        let start = async move {
            soft.cancelled().await;
            Ok(())
        };
        assert_eq!(bench.end_after(start).await, End::Clean);

        let bench = Bench::new();
        bench.signal().await;
        let end = bench.end_after(std::future::pending()).await;
        assert!(matches!(end, End::Cut(_)), "{end:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_during_the_drain_is_not_hidden_by_the_signal() {
        let bench = Bench::new();
        let soft = bench.shutdown.soft.clone();
        bench.components.spawn("worker", async move {
            soft.cancelled().await;
            anyhow::bail!("could not hand back")
        });
        bench.signal().await;
        assert_eq!(bench.end().await, End::Failed("component worker failed: could not hand back".into()));
    }
}
