//! `run`: from the command line to the exit code.

use std::fmt::Write as _;
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
use tracing_subscriber::filter::Targets;

use crate::admin::AdminServer;
use crate::args::Args;
use crate::component::{Components, chain};
use crate::config::{ConfigError, DEFAULT_FILE, Invalid, Loaded, Loader, Origin, Settings, Shell, sections};
use crate::health::{HEARTBEAT_EVERY, Health};
use crate::metrics::Metrics;
use crate::process::Process;
use crate::shutdown::Shutdown;
use crate::supervise::{End, Watched, supervise};
use crate::telemetry;
use crate::usage::printable;

/// Exit code of a command line or a configuration that cannot be used (EX_USAGE of sysexits.h).
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
    /// file serves all of them on one machine. Where it is taken a free port is.
    pub admin_listen: SocketAddr,
}

/// Reads and checks the configuration of a binary, and the log filter in the environment.
pub fn load<C: Settings>(args: &Args) -> Result<Loaded<C>, ConfigError> {
    let loaded: Loaded<C> = Loader::new(args.config.as_deref(), C::SECRETS).load()?;
    filter(&loaded)?;
    let checks = loaded.config.shell().shutdown.validate().and_then(|()| loaded.config.validate());
    checks.map_err(|Invalid { key, mut problem }| {
        let origin = loaded.origin(&key);
        // Most likely somebody stands in another directory: that is said, or the key is looked for in a file that is right.
        if loaded.file.is_none() && origin == Origin::NotSet {
            problem = format!(
                "{problem}; no configuration file was read: there is no {DEFAULT_FILE} in this directory, --config or \
                 MAILFLEET_CONFIG name another"
            );
        }
        ConfigError::Value { key, origin, problem }
    })?;
    Ok(loaded)
}

/// The log filter in force.
fn filter<C: Settings>(loaded: &Loaded<C>) -> Result<Targets, ConfigError> {
    let variable = std::env::var_os(telemetry::FILTER_VARIABLE);
    telemetry::filter(&loaded.config.shell().log, variable.as_deref(), || loaded.origin("log.filter"))
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
        // A reader that went away (head) is no reason to fail.
        let _ = write!(std::io::stdout(), "{}", checked(spec.name, &loaded));
        return ExitCode::SUCCESS;
    }
    let filter = match filter(&loaded) {
        Ok(filter) => filter,
        Err(error) => return fail(spec.name, &error, EXIT_CONFIG),
    };
    let json = telemetry::init(loaded.config.shell().log.format, filter);
    let file = loaded.file.as_ref().map(|file| file.display().to_string());
    tracing::info!(version = spec.version, config = file, pid = std::process::id(), "{} starts", spec.name);
    let (text, logged) = match live(spec, loaded.config, start) {
        Ok(End::Clean) => {
            tracing::info!("{} ends: drained", spec.name);
            return End::Clean.code();
        }
        Ok(End::Failed(text)) => (text, true),
        Ok(End::NotStarted(text) | End::Cut(text)) => (text, false),
        Err(error) => (chain(&error), false),
    };
    // For a reader of JSON the plain line is noise; for a person two lines are one too many.
    if json && !logged {
        tracing::error!("{} ends: {text}", spec.name);
    }
    fail(spec.name, &text, EXIT_FAILURE)
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
    let _ = writeln!(std::io::stderr(), "{name}: error: {}", printable(&error.to_string()));
    ExitCode::from(code)
}

/// What `--check-config` prints of a configuration that is valid: what is set and where, secrets redacted, then which
/// sections were checked and whose business the others are.
#[must_use]
pub fn checked<C: Settings>(name: &str, loaded: &Loaded<C>) -> String {
    let place = loaded.file.as_ref().map_or("no file".to_owned(), |file| file.display().to_string());
    let elsewhere = |section: &str| C::ELSEWHERE.iter().any(|(other, _)| *other == section);
    let own: Vec<&str> = sections::<C>().iter().copied().filter(|section| !elsewhere(section)).collect();
    let mut text = loaded.description.clone();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# {name}: the configuration is valid ({place})");
    let _ = writeln!(text, "# checked: {}; keys that are not listed have their defaults", own.join(", "));
    for (section, other) in C::ELSEWHERE {
        let _ = writeln!(text, "# not checked: {section}, which `{other} --check-config` checks");
    }
    text
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
        Ok(End::Clean | End::NotStarted(_) | End::Failed(_)) => worker.shutdown_timeout(LAST_GRACE),
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
    let admin =
        AdminServer::bind(shell.admin.listen, spec.admin_listen, registry.clone(), health.clone()).await?;
    let address = admin.address();
    match admin.taken() {
        None => tracing::info!(admin = %address, "admin server listens on http://{address}"),
        Some(taken) => tracing::warn!(
            admin = %address,
            "{taken} is taken and `admin.listen` is not set, so the admin server listens on http://{address}"
        ),
    }

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
