//! One server, with the connections to it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult,
    TlsCertificates,
};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::config::{Config, ConfigError};
use crate::error::{Error, Result};
use crate::pool::Pool;

/// One server.
pub(crate) struct Node {
    place: String,
    client: Client,
    pub(crate) pool: Pool,
}

impl Node {
    /// Host and port, or the path of a socket; never the login.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Its host; none where it is the path of a socket.
    pub(crate) fn host(&self) -> Option<&str> {
        host_and_port(self.client.get_connection_info()).map(|(host, _)| host)
    }

    /// That no connection to it came about, as an error.
    pub(crate) fn unreached(&self, doing: &'static str, said: RedisError) -> Error {
        let (place, info) = (self.place.clone(), self.client.get_connection_info());
        if host_and_port(info).is_none() {
            // A socket of this machine, where there is no question of TLS.
            return Error::Redis { doing, place, said };
        }
        Error::Unreached { doing, place, said, tls: is_tls(info) }
    }

    /// A connection outside the pool, whose answers are waited for no longer than `timeout`.
    pub(crate) async fn connect(&self, timeout: Duration) -> RedisResult<MultiplexedConnection> {
        let config = connection_config(timeout);
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// A connection that only listens.
    pub(crate) async fn listen(&self) -> RedisResult<PubSub> {
        self.client.get_async_pubsub().await
    }
}

/// Makes nodes: what they have in common.
pub(crate) struct Maker {
    authority: Option<Vec<u8>>,
    pool_size: usize,
    timeout: Duration,
}

impl Maker {
    /// Reads the authority's file, where there is one.
    pub(crate) fn new(config: &Config, tls: bool) -> Result<Self, ConfigError> {
        let authority = config.tls_ca_file.as_deref().map(|path| read(path, tls)).transpose()?;
        Ok(Self { authority, pool_size: config.pool_size, timeout: config.response_timeout() })
    }

    /// A node; nothing is connected yet.
    pub(crate) fn node(&self, info: ConnectionInfo) -> Result<Arc<Node>, RedisError> {
        let place = place(info.addr());
        let client = self.client(info)?;
        let pool = Pool::new(&client, connection_config(self.timeout), self.pool_size, self.timeout);
        let pool = pool.map_err(|error| (ErrorKind::InvalidClientConfig, "no pool", error.to_string()))?;
        Ok(Arc::new(Node { place, client, pool }))
    }

    /// A client of a server that is asked for others.
    pub(crate) fn client(&self, info: ConnectionInfo) -> RedisResult<Client> {
        match &self.authority {
            None => Client::open(info),
            Some(pem) => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
                Client::build_with_tls(info, certificates)
            }
        }
    }
}

/// Whether a server is spoken to by TLS.
pub(crate) fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

/// The same login and TLS at another host.
pub(crate) fn at(like: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let host = host.to_owned();
    let addr = match like.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_) | _ => ConnectionAddr::Tcp(host, port),
    };
    like.clone().set_addr(addr)
}

/// Host and port of an address.
pub(crate) fn host_and_port(info: &ConnectionInfo) -> Option<(&str, u16)> {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => Some((host, *port)),
        _ => None,
    }
}

/// How an address is shown.
pub(crate) fn place(address: &ConnectionAddr) -> String {
    match address {
        // An IPv6 address needs its brackets to be told from its port.
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } if host.contains(':') => {
            format!("[{host}]:{port}")
        }
        _ => address.to_string(),
    }
}

/// The library's own response timeout is 500 ms, far too short for a large mail.
pub(crate) fn connection_config(timeout: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_response_timeout(Some(timeout)).set_connection_timeout(Some(timeout))
}

fn read(path: &Path, tls: bool) -> Result<Vec<u8>, ConfigError> {
    let unusable =
        |what: String| ConfigError { field: "tls_ca_file", problem: format!("({}) {what}", path.display()) };
    if !tls {
        return Err(unusable("is of no use: `url` must begin with rediss for TLS".to_owned()));
    }
    let pem = std::fs::read(path).map_err(|error| unusable(format!("cannot be read: {error}")))?;
    // The library takes a file without any certificate for one that trusts nobody, and says so with each connection.
    if !CertificateDer::pem_slice_iter(&pem).any(|certificate| certificate.is_ok()) {
        return Err(unusable("holds no certificate; a PEM file is needed".to_owned()));
    }
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
    Client::build_with_tls("rediss://localhost", certificates).map_err(|error| {
        unusable(format!("cannot be used, a PEM file of certificates is needed: {error}"))
    })?;
    Ok(pem)
}
