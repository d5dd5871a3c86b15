//! Certificates for TLS tests, made on the spot.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::ports::random;
use crate::workdir::Workdir;

/// The names a good certificate is valid for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "127.0.0.2"];

/// A server certificate with its key, and the authority a client would trust, as PEM files. Clones share the files,
/// which are removed with the last one.
#[derive(Debug, Clone)]
pub struct Certificates {
    dir: Arc<Workdir>,
}

impl Certificates {
    /// Valid for `localhost`, `127.0.0.1` and `127.0.0.2`, signed by the authority in [`Certificates::ca`].
    pub fn good() -> Result<Self> {
        Self::signed(&server_params(&NAMES, false)?)
    }

    /// As [`Certificates::good`], but it ended in 2021.
    pub fn expired() -> Result<Self> {
        Self::signed(&server_params(&NAMES, true)?)
    }

    /// Signed by the authority and in force, but for `imap.example.org` only.
    pub fn wrong_name() -> Result<Self> {
        Self::signed(&server_params(&["imap.example.org"], false)?)
    }

    /// Signed by itself: no system trusts it. [`Certificates::ca`] is the certificate itself, for clients that pin it.
    pub fn self_signed() -> Result<Self> {
        let key = KeyPair::generate().context("make a key")?;
        let certificate = server_params(&NAMES, false)?.self_signed(&key).context("sign a certificate")?;
        Self::write(&certificate.pem(), &certificate.pem(), &key.serialize_pem())
    }

    fn signed(params: &CertificateParams) -> Result<Self> {
        let (ca_params, ca_key) = (authority_params()?, KeyPair::generate().context("make a key")?);
        let authority = ca_params.self_signed(&ca_key).context("sign the authority")?;
        let issuer = Issuer::new(ca_params, ca_key);
        let key = KeyPair::generate().context("make a key")?;
        let certificate = params.signed_by(&key, &issuer).context("sign a certificate")?;
        Self::write(&authority.pem(), &certificate.pem(), &key.serialize_pem())
    }

    fn write(ca: &str, certificate: &str, key: &str) -> Result<Self> {
        let this = Self { dir: Arc::new(Workdir::temporary()?) };
        // Servers that run as another user read the certificate; the key stays with its owner.
        for (path, text, mode) in
            [(this.ca(), ca, 0o644), (this.certificate(), certificate, 0o644), (this.key(), key, 0o600)]
        {
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
            let permissions = fs::Permissions::from_mode(mode);
            fs::set_permissions(&path, permissions).with_context(|| format!("protect {}", path.display()))?;
        }
        Ok(this)
    }

    /// The directory with all three files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What a client has to trust (PEM).
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The server's certificate (PEM).
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("certificate.pem")
    }

    /// The server's private key (PEM, readable by its owner only).
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }
}

/// An end-entity certificate: rustls refuses one that says it is an authority (`CaUsedAsEndEntity`).
fn server_params(names: &[&str], expired: bool) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).context("name a certificate")?;
    params.distinguished_name.push(DnType::CommonName, "mailfleet test server");
    params.is_ca = IsCa::ExplicitNoCa;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = if expired { date_time_ymd(2021, 1, 1) } else { date_time_ymd(2099, 1, 1) };
    Ok(params)
}

fn authority_params() -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new()).context("name an authority")?;
    // Its own name each time: of two authorities with one name, OpenSSL would take the wrong one for a broken signature.
    let name = format!("mailfleet test authority {:016x}", random());
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    Ok(params)
}
