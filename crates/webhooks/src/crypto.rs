//! Signatures. All comparisons of secrets are ring's, which take the same time whatever differs.

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use ring::hmac;
use ring::signature::{
    RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters,
    UnparsedPublicKey,
};
use sha2::{Digest as _, Sha256};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::refusal::Refusal;

/// Keys or certificates looked at in one PEM text: an old one and a new one, and some more.
const MAX_PEM_BLOCKS: usize = 8;

/// Whether `signature` is the HMAC-SHA256 of `parts`, one after another, under one of the keys.
pub(crate) fn hmac_sha256(keys: &[impl AsRef<[u8]>], parts: &[&[u8]], signature: &[u8]) -> bool {
    let signed = parts.concat();
    keys.iter()
        .any(|key| hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), &signed, signature).is_ok())
}

/// The HMAC-SHA256 of `parts`, one after another.
pub(crate) fn hmac_sha256_of(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &parts.concat()).as_ref().to_vec()
}

/// The hash that an RSA signature is made over.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hash {
    /// SHA-1: older Postal, SNS signature version 1. A forger would need a second preimage, which nobody has.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// Whether `signature` is an RSA signature (PKCS#1 v1.5) of `signed` under one of the keys (PKCS#1 DER).
pub(crate) fn rsa(keys: &[Vec<u8>], hash: Hash, signed: &[u8], signature: &[u8]) -> bool {
    let parameters: &'static RsaParameters = match hash {
        Hash::Sha1 => &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
    };
    keys.iter().any(|key| UnparsedPublicKey::new(parameters, key).verify(signed, signature).is_ok())
}

/// The RSA public keys of a text: PEM blocks `PUBLIC KEY`, or one key as bare base64.
pub(crate) fn public_keys(text: &[u8]) -> Result<Vec<Vec<u8>>, Refusal> {
    let mut keys: Vec<Vec<u8>> =
        pem_blocks(text, "PUBLIC KEY").iter().filter_map(|der| rsa_key_of(der)).collect();
    if keys.is_empty() {
        let bare: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        keys.extend(base64(&bare).and_then(|der| rsa_key_of(&der)));
    }
    if keys.is_empty() {
        return Err(Refusal::unconfigured("no RSA public key (PEM, `BEGIN PUBLIC KEY`) was found"));
    }
    Ok(keys)
}

/// The RSA public keys of the certificates (PEM) of a text that are valid now.
pub(crate) fn certificate_keys(text: &[u8], now_ms: i64) -> Result<Vec<Vec<u8>>, Refusal> {
    let (mut keys, mut expired, mut other) = (Vec::new(), false, false);
    for der in pem_blocks(text, "CERTIFICATE") {
        let Ok((_, certificate)) = X509Certificate::from_der(&der) else { continue };
        let validity = certificate.validity();
        let now = now_ms.div_euclid(1_000);
        match rsa_key(certificate.public_key()) {
            None => other = true,
            Some(key)
                if (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now) =>
            {
                keys.push(key);
            }
            Some(_) => expired = true,
        }
    }
    if !keys.is_empty() {
        return Ok(keys);
    }
    Err(Refusal::unconfigured(match (expired, other) {
        (true, _) => "every certificate with an RSA key has expired or is not valid yet",
        (false, true) => "no RSA key is in the certificate; signatures with other keys are not known here",
        (false, false) => "no certificate (PEM, `BEGIN CERTIFICATE`) was found",
    }))
}

fn pem_blocks(text: &[u8], label: &str) -> Vec<Vec<u8>> {
    Pem::iter_from_buffer(text)
        .take(MAX_PEM_BLOCKS)
        .filter_map(Result::ok)
        .filter(|block| block.label == label)
        .map(|block| block.contents)
        .collect()
}

/// The key (PKCS#1 DER), where it is one for RSA: a key of another algorithm would verify nothing, ever.
fn rsa_key(info: &SubjectPublicKeyInfo<'_>) -> Option<Vec<u8>> {
    matches!(info.parsed(), Ok(PublicKey::RSA(_))).then(|| info.subject_public_key.data.to_vec())
}

fn rsa_key_of(der: &[u8]) -> Option<Vec<u8>> {
    rsa_key(&SubjectPublicKeyInfo::from_der(der).ok()?.1)
}

/// Base64 with or without its padding.
pub(crate) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text).or_else(|_| BASE64_NOPAD.decode(text)).ok()
}

/// Hexadecimal, in either case.
pub(crate) fn hex(text: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
}

/// `sha256:<hex>` of some bytes: a name for what has none.
pub(crate) fn fingerprint(bytes: &[u8]) -> String {
    format!("sha256:{}", data_encoding::HEXLOWER.encode(&Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hmac_holds_for_its_own_key_and_parts_alone() {
        // RFC 4231 §4.3.
        let tag = hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843").unwrap();
        assert!(hmac_sha256(&["Jefe"], &[b"what do ya ", b"want for nothing?"], &tag));
        assert!(
            hmac_sha256(&["other", "Jefe"], &[b"what do ya want for nothing?"], &tag),
            "either key is good"
        );
        assert!(!hmac_sha256(&["Jefe"], &[b"what do ya want for nothing!"], &tag));
        assert!(!hmac_sha256(&["jefe"], &[b"what do ya want for nothing?"], &tag));
        assert!(
            !hmac_sha256(&["Jefe"], &[b"what do ya want for nothing?"], &tag[..16]),
            "not a part of it either"
        );
        assert!(!hmac_sha256(&["Jefe"], &[b"what do ya want for nothing?"], b""));
    }

    #[test]
    fn what_is_no_key_is_our_mistake_and_no_panic() {
        for text in [
            &b""[..],
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            b"hunter2",
            b"\xff\x00",
        ] {
            assert!(matches!(public_keys(text), Err(Refusal::Unconfigured(_))));
            assert!(matches!(certificate_keys(text, 0), Err(Refusal::Unconfigured(_))));
        }
    }
}
