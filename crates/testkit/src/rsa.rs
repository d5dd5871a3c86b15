//! RSA signatures as sending providers make them. OpenSSL makes them: none of the libraries here makes RSA keys.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::programs;
use crate::workdir::Workdir;

/// A key of 2,048 bits that signs (PKCS#1 v1.5), and what a verifier needs of it.
#[derive(Debug)]
pub struct RsaSigner {
    dir: Workdir,
}

impl RsaSigner {
    /// A new key, with a certificate signed by itself that is valid for two days from now.
    pub fn new() -> Result<Self> {
        let this = Self { dir: Workdir::temporary()? };
        let (key, certificate) = (this.file("key.pem"), this.file("certificate.pem"));
        let mut command = openssl()?;
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"]);
        command.arg("/CN=mailfleet test signer").arg("-keyout").arg(key).arg("-out").arg(certificate);
        run(command, &[])?;
        Ok(this)
    }

    /// The certificate (PEM).
    pub fn certificate(&self) -> Result<String> {
        fs::read_to_string(self.file("certificate.pem")).context("read the signer's certificate")
    }

    /// The public key (PEM).
    pub fn public_key(&self) -> Result<String> {
        let mut command = openssl()?;
        command.args(["pkey", "-pubout", "-in"]).arg(self.file("key.pem"));
        String::from_utf8(run(command, &[])?).context("read the signer's public key")
    }

    /// The signature of a message over its SHA-256.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let mut command = openssl()?;
        command.args(["dgst", "-sha256", "-sign"]).arg(self.file("key.pem"));
        run(command, message)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn openssl() -> Result<Command> {
    Ok(Command::new(programs::find("openssl", "openssl")?))
}

/// What the program says to this input.
fn run(mut command: Command, input: &[u8]) -> Result<Vec<u8>> {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().context("start openssl")?;
    child.stdin.take().context("openssl has no input")?.write_all(input).context("write to openssl")?;
    let output = child.wait_with_output().context("wait for openssl")?;
    if !output.status.success() {
        bail!("openssl ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}
