//! TLS by rustls with the ring provider: the machine's own roots, and what `ca_file` adds.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, RootCertStore, StreamOwned,
};

use crate::config::Endpoint;
use crate::error::{Error, Result, TlsProblem, excerpt};
use crate::socket::Socket;

/// A TLS connection over our socket.
pub(crate) type TlsStream = StreamOwned<ClientConnection, Socket>;

/// Does the handshake; the socket's deadline bounds it.
pub(crate) fn handshake(endpoint: &Endpoint, mut socket: Socket) -> Result<TlsStream> {
    let fail = |problem| Error::Tls { host: endpoint.host.clone(), port: endpoint.port, problem };
    let config = client_config(endpoint.ca_file.as_deref())?;
    let name = ServerName::try_from(endpoint.host.clone())
        .map_err(|_| fail(TlsProblem::Other("the host is neither a DNS name nor an IP address".into())))?;
    let mut connection = ClientConnection::new(config, name).map_err(|error| fail(problem_of(&error)))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).map_err(|error| handshake_error(endpoint, error))?;
    }
    Ok(StreamOwned::new(connection, socket))
}

fn handshake_error(endpoint: &Endpoint, error: io::Error) -> Error {
    let (host, port) = (endpoint.host.clone(), endpoint.port);
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return Error::Tls { host, port, problem: problem_of(tls) };
    }
    match error.kind() {
        io::ErrorKind::TimedOut => Error::Timeout {
            host,
            during: "the TLS handshake",
            after: endpoint.config.connect_timeout(),
            hint: "; a server that does not speak TLS on this port waits for ever: check port and tls",
        },
        io::ErrorKind::UnexpectedEof => Error::Disconnected { host, during: "the TLS handshake", text: None },
        _ => Error::Unreachable { host, port, source: error },
    }
}

fn problem_of(error: &rustls::Error) -> TlsProblem {
    let detail = excerpt(error.to_string().as_bytes());
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsProblem::Expired(detail),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsProblem::WrongName(detail)
            }
            CertificateError::UnknownIssuer => TlsProblem::UnknownIssuer(detail),
            // A self-signed certificate made as a CA: what `openssl req -x509` makes by default.
            CertificateError::Other(inner) if inner.to_string().contains("CaUsedAsEndEntity") => {
                TlsProblem::UnknownIssuer(
                    "it is a CA certificate used as a server's own; make one with CA:FALSE".into(),
                )
            }
            _ => TlsProblem::Other(detail),
        },
        // An IMAP greeting in place of a TLS record.
        rustls::Error::InvalidMessage(_) => TlsProblem::NotTls,
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            TlsProblem::Other("it has no TLS version from 1.2 on; update the server".into())
        }
        _ => TlsProblem::Other(detail),
    }
}

/// One configuration is shared by all connections with the same `ca_file`: the roots alone take some 100 KiB.
/// A changed file is read again.
fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>> {
    type Stamp = Option<(SystemTime, u64)>;
    type Cache = Mutex<HashMap<Option<PathBuf>, (Stamp, Arc<ClientConfig>)>>;
    // Bounded by the number of different files in the configuration.
    static CACHE: OnceLock<Cache> = OnceLock::new();

    let stamp = match ca_file {
        None => None,
        Some(path) => {
            let meta = std::fs::metadata(path).map_err(|error| ca_error(path, &error.to_string()))?;
            Some((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len()))
        }
    };
    let mut cache = CACHE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((seen, config)) = cache.get(&ca_file.map(Path::to_owned))
        && *seen == stamp
    {
        return Ok(Arc::clone(config));
    }
    let config = Arc::new(build_config(ca_file)?);
    cache.insert(ca_file.map(Path::to_owned), (stamp, Arc::clone(&config)));
    Ok(config)
}

fn build_config(ca_file: Option<&Path>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() && ca_file.is_none() {
        tracing::warn!(
            "no trusted root certificates on this machine; install ca-certificates or set ca_file"
        );
    }
    if let Some(path) = ca_file {
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
            .map_err(|error| ca_error(path, &error.to_string()))?;
        if certificates.is_empty() {
            return Err(ca_error(path, "no certificate in it"));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|error| ca_error(path, &error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        // Cannot happen: ring has suites for both versions. Told as an error all the same.
        .map_err(|error| ca_error(Path::new("-"), &error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn ca_error(path: &Path, problem: &str) -> Error {
    Error::CaFile { path: path.to_owned(), problem: excerpt(problem.as_bytes()) }
}
