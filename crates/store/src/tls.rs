//! The connection string and the TLS that goes with it: rustls with the ring provider, named explicitly, because the
//! default constructors panic as soon as a process holds two providers.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{Config, ConfigError};
use crate::text;

/// Idle time before the kernel probes a silent connection.
const KEEPALIVE_IDLE: std::time::Duration = std::time::Duration::from_secs(30);

/// Reads `postgres.url` and adds the bounds on every wait of the driver.
pub(crate) fn parse_url(config: &Config) -> Result<tokio_postgres::Config, ConfigError> {
    let given = config.url.expose();
    // The driver knows no verify-ca and verify-full; with rustls `require` verifies chain and name, which is both.
    let url = given
        .replace("sslmode=verify-full", "sslmode=require")
        .replace("sslmode=verify-ca", "sslmode=require");
    let mut parsed: tokio_postgres::Config = url.parse().map_err(|error: tokio_postgres::Error| {
        ConfigError { key: "url", problem: without_password(&error) }
    })?;
    if parsed.get_hosts().is_empty() && parsed.get_hostaddrs().is_empty() {
        return Err(ConfigError { key: "url", problem: "names no host".to_owned() });
    }
    // Between two processes of one machine TLS protects nothing, and Debian's own certificate would not verify.
    if !given.contains("sslmode") && is_local(&parsed) {
        parsed.ssl_mode(SslMode::Disable);
    }
    if parsed.get_application_name().is_none() {
        parsed.application_name("mailfleet");
    }
    parsed
        .connect_timeout(config.connect_timeout())
        .keepalives_idle(KEEPALIVE_IDLE)
        // Unacknowledged data for as long as a statement may run: the other machine is gone.
        .tcp_user_timeout(config.statement_timeout());
    Ok(parsed)
}

/// The parser quotes no values, but says what it stumbled over; the advice is ours.
fn without_password(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    let cause =
        error.source().map(|cause| format!(" ({})", text::line(&cause.to_string()))).unwrap_or_default();
    // `invalid value for option` names the option only; anything else could carry a part of the URL.
    let cause = if cause.contains("option") { cause } else { String::new() };
    format!(
        "is not a connection string{cause}; it should look like postgres://user:password@host:5432/database"
    )
}

fn is_local(parsed: &tokio_postgres::Config) -> bool {
    let named = parsed.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        #[cfg(unix)]
        Host::Unix(_) => true,
    });
    named && parsed.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

/// Host, port and database, for error texts: never the password.
pub(crate) fn target(parsed: &tokio_postgres::Config) -> String {
    let host = match (parsed.get_hosts().first(), parsed.get_hostaddrs().first()) {
        (Some(Host::Tcp(name)), _) => name.clone(),
        #[cfg(unix)]
        (Some(Host::Unix(path)), _) => path.display().to_string(),
        (None, Some(address)) => address.to_string(),
        (None, None) => "?".to_owned(),
    };
    let port = parsed.get_ports().first().copied().unwrap_or(5432);
    format!("{host}:{port}/{}", parsed.get_dbname().or(parsed.get_user()).unwrap_or("?"))
}

/// The TLS side of every connection. Certificates are only loaded where they may be needed.
pub(crate) fn connector(
    config: &Config,
    parsed: &tokio_postgres::Config,
) -> Result<MakeRustlsConnect, ConfigError> {
    let roots =
        if parsed.get_ssl_mode() == SslMode::Disable { RootCertStore::empty() } else { roots(config)? };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError { key: "url", problem: format!("TLS cannot be set up: {error}") })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(tls))
}

fn roots(config: &Config) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = &config.tls_ca_file else {
        // A system without certificates is no error here: without TLS none is needed, with it the handshake says so.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let fail = |problem: String| ConfigError {
        key: "tls_ca_file",
        problem: format!("{}: {problem}", path.display()),
    };
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| fail(error.to_string()))? {
        let certificate = certificate.map_err(|error| fail(error.to_string()))?;
        roots.add(certificate).map_err(|error| fail(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(fail("holds no certificate".to_owned()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use mailfleet_model::Secret;

    use super::*;

    fn parsed(url: &str) -> tokio_postgres::Config {
        parse_url(&Config { url: Secret::new(url), ..Config::default() }).unwrap()
    }

    #[test]
    fn verify_modes_of_other_clients_mean_require_which_verifies() {
        for mode in ["verify-full", "verify-ca", "require"] {
            assert_eq!(parsed(&format!("postgres://u@db/x?sslmode={mode}")).get_ssl_mode(), SslMode::Require);
        }
    }

    #[test]
    fn tls_is_preferred_except_on_the_same_machine() {
        assert_eq!(parsed("postgres://u@db.example/x").get_ssl_mode(), SslMode::Prefer);
        assert_eq!(parsed("postgres://u@127.0.0.1/x").get_ssl_mode(), SslMode::Disable);
        assert_eq!(parsed("host=/run/postgresql user=u").get_ssl_mode(), SslMode::Disable);
        assert_eq!(parsed("postgres://u@localhost/x?sslmode=require").get_ssl_mode(), SslMode::Require);
    }

    #[test]
    fn the_target_names_the_server_and_no_password() {
        assert_eq!(target(&parsed("postgres://u:geheim@db.example:6432/x")), "db.example:6432/x");
    }

    #[test]
    fn a_ca_file_that_cannot_be_used_is_named() {
        let config = Config {
            url: Secret::new("postgres://u@db.example/x"),
            tls_ca_file: Some("/nonexistent/ca.pem".into()),
            ..Config::default()
        };
        let error = connector(&config, &parse_url(&config).unwrap()).err().unwrap();
        assert!(error.to_string().starts_with("postgres.tls_ca_file: /nonexistent/ca.pem"), "{error}");
    }
}
