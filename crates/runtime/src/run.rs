//! `run`: from the command line to the exit code.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mailfleet_model::SystemClock;
use prometheus::{IntGauge, Opts, Registry};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::admin::AdminServer;
use crate::args::Args;
use crate::component::{Components, chain};
use crate::config::{ConfigError, Loaded, Loader, Settings, Shell};
use crate::health::{HEARTBEAT_EVERY, Health};
use crate::metrics::Metrics;
use crate::process::Process;
use crate::shutdown::Shutdown;
use crate::supervise::{End, Watched, supervise};
use crate::telemetry;

/// Exit code of a configuration that cannot be used (EX_USAGE of sysexits.h).
pub const EXIT_CONFIG: u8 = 64;

/// Exit code of a start, a component or a drain that failed.
pub const EXIT_FAILURE: u8 = 1;

/// How long tasks that nobody tracks may take to be dropped after a clean drain.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// Who this binary is.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// The binary's name, such as `mailfleet-consumer`.
    pub name: &'static str,
    /// The binary's version: `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// Where the admin server listens when `admin.listen` is not set; a port of its own for each binary, so that one
    /// file serves all of them on one machine.
    pub admin_listen: SocketAddr,
}

/// Reads and checks the configuration of a binary.
pub fn load<C: Settings>(args: &Args) -> Result<Loaded<C>, ConfigError> {
    let loaded: Loaded<C> = Loader::new(args.config.as_deref(), C::SECRETS).load()?;
    let invalid = |error: String| match &loaded.file {
        Some(file) => ConfigError::Invalid(format!("{}: {error}", file.display())),
        None => ConfigError::Invalid(error),
    };
    let shell = loaded.config.shell();
    telemetry::check(&shell.log)?;
    shell.shutdown.validate().map_err(invalid)?;
    loaded.config.validate().map_err(|error| invalid(chain(&error)))?;
    Ok(loaded)
}

/// Runs a long-lived process and returns its exit code.
///
/// `start` connects, registers metrics and health, and starts components; it returns `Ok` when the process is
/// started, or when all its work is done if it does the work itself. Its error is a failed start. The process then
/// lives until a signal, or a failing component, or until no component is left.
pub fn run<C, F, Fut>(spec: &Spec, args: &Args, start: F) -> ExitCode
where
    C: Settings,
    F: FnOnce(Process<C>) -> Fut + Send + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let loaded = match load::<C>(args) {
        Ok(loaded) => loaded,
        Err(error) => return fail(spec.name, &error, EXIT_CONFIG),
    };
    if args.check_config {
        return check_config(spec.name, &loaded);
    }
    if let Err(error) = telemetry::init(&loaded.config.shell().log) {
        return fail(spec.name, &error, EXIT_CONFIG);
    }
    let file = loaded.file.as_ref().map(|file| file.display().to_string());
    tracing::info!(version = spec.version, config = file, pid = std::process::id(), "{} starts", spec.name);
    match live(spec, loaded.config, start) {
        Ok(End::Clean) => {
            tracing::info!("{} ends: drained", spec.name);
            End::Clean.code()
        }
        Ok(end @ (End::Failed(_) | End::Cut(_))) => {
            let (End::Failed(text) | End::Cut(text)) = &end else { return end.code() };
            let _ = writeln!(std::io::stderr(), "{}: error: {text}", spec.name);
            end.code()
        }
        Err(error) => fail(spec.name, &chain(&error), EXIT_FAILURE),
    }
}

/// Runs one operator command to its end; SIGINT ends the process as usual.
pub fn run_command<Fut>(name: &str, command: Fut) -> ExitCode
where
    Fut: Future<Output = anyhow::Result<ExitCode>>,
{
    let result =
        Builder::new_multi_thread().enable_all().build().context("cannot start the tokio runtime").and_then(
            |runtime| {
                let result = runtime.block_on(command);
                runtime.shutdown_timeout(LAST_GRACE);
                result
            },
        );
    match result {
        Ok(code) => code,
        Err(error) => match error.downcast_ref::<ConfigError>() {
            Some(_) => fail(name, &chain(&error), EXIT_CONFIG),
            None => fail(name, &chain(&error), EXIT_FAILURE),
        },
    }
}

/// Prints `name: error: …` as one line on stderr and gives the exit code back.
pub fn fail(name: &str, error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    // Whoever closed stderr does not want to know; eprintln! would panic for it.
    let _ = writeln!(std::io::stderr(), "{name}: error: {}", error.to_string().replace('\n', " "));
    ExitCode::from(code)
}

/// What `--check-config` does with a configuration that is valid: prints it on stdout, secrets redacted.
pub fn check_config<C: Settings>(name: &str, loaded: &Loaded<C>) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let place = loaded.file.as_ref().map_or("no file".to_owned(), |file| file.display().to_string());
    // A reader that went away (head) is no reason to fail.
    let _ = write!(out, "{}", loaded.description);
    let _ = writeln!(out, "# {name}: the configuration is valid ({place})");
    ExitCode::SUCCESS
}

/// Builds the two runtimes, supervises, and takes the runtimes down.
fn live<C, F, Fut>(spec: &Spec, config: C, start: F) -> anyhow::Result<End>
where
    C: Settings,
    F: FnOnce(Process<C>) -> Fut + Send + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let shell = config.shell();
    let worker = Builder::new_multi_thread()
        .enable_all()
        .thread_name("worker")
        .build()
        .context("cannot start the workers")?;
    let supervisor =
        Builder::new_current_thread().enable_all().build().context("cannot start the supervisor")?;
    let registry = registry(spec).context("cannot register the process' own metrics")?;

    let end = supervisor.block_on(oversee(spec, shell, config, registry, &worker, start));
    match &end {
        // What is left now is untracked: closers of connections and the like.
        Ok(End::Clean | End::Failed(_)) => worker.shutdown_timeout(LAST_GRACE),
        // At once: waits for nothing.
        Ok(End::Cut(_)) | Err(_) => worker.shutdown_background(),
    }
    end
}

async fn oversee<C, F, Fut>(
    spec: &Spec,
    shell: Shell,
    config: C,
    registry: Registry,
    worker: &Runtime,
    start: F,
) -> anyhow::Result<End>
where
    C: Settings,
    F: FnOnce(Process<C>) -> Fut + Send + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    // Signals first: one that comes while the process starts must drain it, not kill it.
    let signals = signals().context("cannot listen for signals")?;
    let health = Health::new();
    let shutdown = Shutdown::new(shell.shutdown.drain());
    let components = Components::new(worker.handle().clone(), shutdown.clone());
    let listen = shell.admin.listen.unwrap_or(spec.admin_listen);
    let admin = AdminServer::bind(listen, registry.clone(), health.clone()).await?;
    tracing::info!(admin = %admin.address(), "admin server listens on http://{}", admin.address());

    worker.spawn(heartbeat(health.clone()));
    let process = Process {
        config: Arc::new(config),
        name: spec.name,
        version: spec.version,
        metrics: Metrics::new(registry),
        health: health.clone(),
        shutdown: shutdown.clone(),
        components: components.clone(),
        clock: Arc::new(SystemClock),
    };
    let start = worker.spawn(async move { start(process).await });
    let watched = Watched { start, components, shutdown, health, signals };
    tokio::select! {
        end = supervise(watched) => Ok(end),
        result = admin.serve() => result.map(|()| End::Failed("the admin server ended".to_owned())),
    }
}

/// Proves, once a second, that the workers still run tasks. Ends with the worker runtime.
async fn heartbeat(health: Health) {
    let mut ticks = tokio::time::interval(HEARTBEAT_EVERY);
    loop {
        ticks.tick().await;
        health.heartbeat();
    }
}

/// SIGTERM and SIGINT as messages. Two slots are enough: the third signal changes nothing.
fn signals() -> std::io::Result<mpsc::Receiver<&'static str>> {
    let (sender, receiver) = mpsc::channel(2);
    let watch = |mut stream: Signal, name: &'static str, sender: mpsc::Sender<&'static str>| async move {
        while stream.recv().await.is_some() {
            if sender.send(name).await.is_err() {
                return;
            }
        }
    };
    tokio::spawn(watch(signal(SignalKind::terminate())?, "SIGTERM", sender.clone()));
    tokio::spawn(watch(signal(SignalKind::interrupt())?, "SIGINT", sender));
    Ok(receiver)
}

/// A registry with the process' own metrics: CPU, memory, files, start time, and which build this is.
fn registry(spec: &Spec) -> prometheus::Result<Registry> {
    let registry = Registry::new();
    // Read from /proc, so only where there is one.
    #[cfg(target_os = "linux")]
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    let build = Opts::new("mailfleet_build_info", "Which build this is; always 1.")
        .const_label("name", spec.name)
        .const_label("version", spec.version);
    let build = IntGauge::with_opts(build)?;
    build.set(1);
    registry.register(Box::new(build))?;
    Ok(registry)
}
