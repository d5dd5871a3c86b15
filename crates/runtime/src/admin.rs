//! The admin server: `/metrics`, `/healthz`, `/readyz`.
//!
//! It runs on the supervisor's thread, apart from the worker runtime, so that it can still tell the truth when every
//! worker thread is stuck. It asks no server: health is what the components last reported.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::core::Collector as _;
use prometheus::{Encoder as _, GaugeVec, IntGaugeVec, Opts, Registry, TextEncoder};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::bounded::{Bounded, CONNECTIONS, REQUEST, SILENCE};
use crate::health::Health;

/// Section `[admin]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Address and port of the admin server; port 0 takes a free one, and the log says which. A given address that is
    /// taken is an error. Where none is given each binary has a default of its own on 127.0.0.1, and takes a free port
    /// when that is taken: two consumers on one host need no configuration.
    pub listen: Option<SocketAddr>,
}

/// What the handlers share.
struct Admin {
    registry: Registry,
    health: Health,
    own: OwnMetrics,
}

/// Metrics of the shell itself, filled in when they are asked for.
struct OwnMetrics {
    ok: IntGaugeVec,
    age: GaugeVec,
}

/// A bound admin server that does not serve yet.
pub(crate) struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
    taken: Option<SocketAddr>,
    router: Router,
}

impl AdminServer {
    /// Binds `given`; where that is none `default`, or a free port beside it when it is taken. Port 0 is a free one.
    pub async fn bind(
        given: Option<SocketAddr>,
        default: SocketAddr,
        registry: Registry,
        health: Health,
    ) -> anyhow::Result<Self> {
        let listen = given.unwrap_or(default);
        let (listener, taken) = match TcpListener::bind(listen).await {
            Err(error) if given.is_none() && error.kind() == ErrorKind::AddrInUse => {
                (TcpListener::bind(SocketAddr::new(default.ip(), 0)).await, Some(default))
            }
            listener => (listener, None),
        };
        let listener = listener.with_context(|| {
            format!("cannot listen on {listen} for the admin server (set `admin.listen` to a free address)")
        })?;
        let address = listener.local_addr().context("cannot tell the admin server's address")?;
        Ok(Self { listener, address, taken, router: router(registry, health)? })
    }

    /// The default address, where it was taken and another one had to be bound.
    pub const fn taken(&self) -> Option<SocketAddr> {
        self.taken
    }

    /// The bound address.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the future is dropped.
    pub async fn serve(self) -> anyhow::Result<()> {
        let listener = Bounded::new(self.listener, CONNECTIONS, SILENCE, REQUEST);
        axum::serve(listener, self.router).await.context("the admin server failed")
    }
}

fn router(registry: Registry, health: Health) -> prometheus::Result<Router> {
    let own = OwnMetrics {
        ok: IntGaugeVec::new(
            Opts::new(
                "mailfleet_component_ok",
                "Whether the component made progress recently (1) or not (0).",
            ),
            &["component"],
        )?,
        age: GaugeVec::new(
            Opts::new(
                "mailfleet_component_progress_age_seconds",
                "Seconds since the component last made progress; absent while it never did.",
            ),
            &["component"],
        )?,
    };
    let admin = Arc::new(Admin { registry, health, own });
    Ok(Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(admin))
}

/// Prometheus text format.
async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let mut families = admin.registry.gather();
    families.extend(admin.own.gather(&admin.health));
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&families, &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot write the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

impl OwnMetrics {
    fn gather(&self, health: &Health) -> Vec<prometheus::proto::MetricFamily> {
        // Components that were retired must not linger.
        self.ok.reset();
        self.age.reset();
        for (name, report) in health.ready().components {
            self.ok.with_label_values(&[&name]).set(i64::from(report.ok));
            if let Some(age_ms) = report.age_ms {
                self.age
                    .with_label_values(&[&name])
                    .set(std::time::Duration::from_millis(age_ms).as_secs_f64());
            }
        }
        // The encoder refuses a family without a member.
        let mut families = self.ok.collect();
        families.extend(self.age.collect());
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}

/// Answer of `/healthz`.
#[derive(Serialize)]
struct Alive {
    alive: bool,
    heartbeat_age_ms: u128,
}

/// Whether the worker runtime still runs tasks; nothing about Redis or PostgreSQL, whose outage a restart cannot cure.
async fn healthz(State(admin): State<Arc<Admin>>) -> Response {
    let (alive, age) = admin.health.alive();
    let status = if alive { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Alive { alive, heartbeat_age_ms: age.as_millis() })).into_response()
}

/// Whether every component made progress lately.
async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    let report = admin.health.ready();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}
