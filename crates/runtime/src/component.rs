//! Components: the tasks and threads that a process is made of, each with a name, all of them tracked.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::shutdown::Shutdown;

/// Starts components and remembers the first that failed. Cheap to clone.
///
/// A component that fails or panics begins the soft shutdown of the process, whose exit code is then a failure. The
/// process ends cleanly only when every component has returned.
#[derive(Debug, Clone)]
pub struct Components {
    worker: Handle,
    tracker: TaskTracker,
    shutdown: Shutdown,
    failure: Arc<Mutex<Option<String>>>,
}

/// When a component may return without that being a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    WhenStopping,
    Anytime,
}

impl Components {
    pub(crate) fn new(worker: Handle, shutdown: Shutdown) -> Self {
        Self { worker, tracker: TaskTracker::new(), shutdown, failure: Arc::default() }
    }

    /// Starts a service: it runs until the soft shutdown. One that returns earlier has failed, even with `Ok`.
    pub fn spawn<F>(&self, name: impl Into<String>, future: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.start(name.into(), Ends::WhenStopping, future);
    }

    /// Starts a job: it may be done at any time.
    pub fn spawn_job<F>(&self, name: impl Into<String>, future: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.start(name.into(), Ends::Anytime, future);
    }

    /// Starts a thread for blocking work, with a stack of `stack_bytes`. Like a job it may be done at any time.
    ///
    /// The thread must watch `shutdown.soft` itself; the hard stage does not wait for it.
    pub fn spawn_thread<F>(&self, name: impl Into<String>, stack_bytes: usize, work: F) -> std::io::Result<()>
    where
        F: FnOnce() -> anyhow::Result<()> + Send + 'static,
    {
        // A name with a NUL, which an account may have, is refused by the operating system.
        let name = name.into().replace('\0', "");
        let (sender, receiver) = oneshot::channel();
        std::thread::Builder::new().name(name.clone()).stack_size(stack_bytes).spawn(move || {
            let result = std::panic::catch_unwind(AssertUnwindSafe(work));
            // Nobody listens only when the runtime is gone already, and with it whoever could care.
            let _ = sender.send(result);
        })?;
        self.start(name, Ends::Anytime, async move {
            match receiver.await {
                Ok(Ok(result)) => result,
                // Caught again below, like the panic of a task; the hook has logged it already.
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(_) => Err(anyhow::anyhow!("its thread vanished")),
            }
        });
        Ok(())
    }

    /// Number of components that still run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.tracker.len()
    }

    fn start<F>(&self, name: String, ends: Ends, future: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let this = self.clone();
        // The token is inside the future and not only around it, so that a component counts as running until its
        // failure is recorded: the supervisor must not see an empty tracker and no failure.
        self.tracker.spawn_on(
            async move {
                let failure = match AssertUnwindSafe(future).catch_unwind().await {
                    Ok(Ok(())) if ends == Ends::Anytime || this.shutdown.is_stopping() => return,
                    Ok(Ok(())) => "ended although nobody stopped it".to_owned(),
                    Ok(Err(error)) => format!("failed: {}", chain(&error)),
                    Err(panic) => panicked(&*panic),
                };
                this.fail(&name, &failure);
            },
            &self.worker,
        );
    }

    fn fail(&self, name: &str, failure: &str) {
        tracing::error!(component = name, "component {name} {failure}; the process stops");
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| format!("component {name} {failure}"));
        self.shutdown.begin();
    }

    /// The first failure, if there was one.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until nothing runs any more.
    pub(crate) async fn finished(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// An error with all its causes, joined by `: `.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    format!("{error:#}").replace('\n', " ")
}

/// What a panic said.
pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("(no message)").replace('\n', " "))
}
