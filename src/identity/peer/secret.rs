//! A shared secret in a header: the proof of a proxy that can neither sign nor show a certificate.
//!
//! What is compared are digests, so lengths are equal, in constant time, and all of them every time (T-52).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{self, SHA256, SHA256_OUTPUT_LEN};
use http::HeaderName;

use super::secret_files::{SecretFiles, any_without_haste};
use crate::config;
use crate::definition::Mistakes;
use crate::identity::Evidence;
use crate::secrets::{Reports, Secret};

/// Header of the secret where none is configured.
const HEADER: HeaderName = HeaderName::from_static("x-chat-peer-secret");
/// Bytes of a secret at least.
const LEAST: usize = 16;

/// What is kept of a secret.
type Digest = [u8; SHA256_OUTPUT_LEN];

/// The secrets of one proof.
#[derive(Debug)]
pub(super) struct Secrets {
    pub(super) header: HeaderName,
    pub(super) valid: SecretFiles<Digest>,
}

impl Secrets {
    /// The demand, where there is one, with its files read.
    pub(super) fn configure(reports: &Reports, configured: &config::Peers) -> Result<Option<Self>, Mistakes> {
        let valid = SecretFiles::open(reports.below("secret_files"), &configured.secret_files, keep)?;
        let header = configured.secret_header.clone().unwrap_or(HEADER);
        Ok(valid.map(|valid| Self { header, valid }))
    }

    /// Whether the request shows one of them. A missing header is compared like a wrong one.
    pub(super) fn holds(&self, evidence: &Evidence<'_>) -> bool {
        let shown = evidence.of_peer().get(&self.header).map_or(&b""[..], |value| value.as_bytes());
        let shown = sha256(shown);
        any_without_haste(&self.valid.current(), |own| verify_slices_are_equal(own, &shown).is_ok())
    }
}

/// What is kept of a secret, if proxies can send it.
fn keep(secret: &Secret) -> Result<Digest, &'static str> {
    let bytes = secret.expose();
    // T-58: shortest secret
    if bytes.len() < LEAST {
        return Err("holds less than 16 bytes; make one with: openssl rand -hex 32");
    }
    if !bytes.iter().all(u8::is_ascii_graphic) {
        return Err("holds characters that a header cannot carry as they are; make one with: openssl rand -hex 32");
    }
    Ok(sha256(bytes))
}

fn sha256(bytes: &[u8]) -> Digest {
    let mut fixed = [0; SHA256_OUTPUT_LEN];
    // Both are of the one length.
    fixed.iter_mut().zip(digest::digest(&SHA256, bytes).as_ref()).for_each(|(own, byte)| *own = *byte);
    fixed
}
