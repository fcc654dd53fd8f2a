//! A signature over a whole request, made with a shared key: `X-Chat-Peer-Signature: t=<unix seconds>,v2=<hex>`. The form
//! `v1` did not cover the host, so that one team's signature was good at another's; it is refused.
//!
//! What is signed is the text of [`canonical`]; `docs/identity/peers.md` tells it to those who write clients, and
//! `tests/vectors/peer-signature.json` holds examples.

use std::sync::Arc;

use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use http::HeaderName;
use http::header::HOST;

use super::secret_files::{SecretFiles, any_without_haste};
use crate::clock::Clock;
use crate::config;
use crate::definition::Mistakes;
use crate::identity::request::ambiguity;
use crate::identity::{Evidence, Refusal};
use crate::secrets::{Reports, Secret};

/// Where the signature is.
pub(super) static HEADER: HeaderName = HeaderName::from_static("x-chat-peer-signature");
/// Bytes of a key at least: as many as the digest has.
const LEAST: usize = 32;
/// Seconds that the time of a signature may lie from ours, either way.
const WINDOW: u64 = 60;
/// Digits of a time at most; the year 2286 has eleven.
const MAX_DIGITS: usize = 11;

/// The keys of one proof.
#[derive(Debug)]
pub(super) struct Signatures {
    pub(super) valid: SecretFiles<hmac::Key>,
    clock: Arc<dyn Clock>,
}

impl Signatures {
    /// The demand, where there is one, with its files read.
    pub(super) fn configure(
        reports: &Reports,
        configured: &config::Peers,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Self>, Mistakes> {
        let valid = SecretFiles::open(reports.below("hmac_key_files"), &configured.hmac_key_files, keep)?;
        Ok(valid.map(|valid| Self { valid, clock: Arc::clone(clock) }))
    }

    /// Whether one of the keys signed this request, lately. `signed` are the headers that it covers, sorted.
    pub(super) fn check(&self, evidence: &Evidence<'_>, signed: &[HeaderName]) -> Result<(), Refusal> {
        // A call over gRPC has no signed form; a signature among the headers of the proxy's client proves that client.
        // T-01: no signature over gRPC
        if evidence.relayed.is_some() {
            return Err(Refusal::PeerSignature);
        }
        let shown = evidence.headers.get(&HEADER).and_then(|value| parse(value.as_bytes()));
        let (time, tag) = shown.ok_or(Refusal::PeerSignature)??;
        let text = canonical(evidence, signed, time)?;
        let held = any_without_haste(&self.valid.current(), |key| hmac::verify(key, &text, &tag).is_ok());
        // T-01: peer signature
        if !held {
            return Err(Refusal::PeerSignature);
        }
        // Last, so that the reason means a good signature and a clock that is wrong, or a replay.
        let time: i64 = time.parse().map_err(|_| Refusal::PeerSignature)?;
        // T-29: time of a signature
        if self.clock.now().as_seconds().abs_diff(time) > WINDOW { Err(Refusal::PeerSignatureTime) } else { Ok(()) }
    }
}

fn keep(secret: &Secret) -> Result<hmac::Key, &'static str> {
    if secret.expose().len() < LEAST {
        return Err("holds less than 32 bytes; make one with: openssl rand -hex 32");
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))
}

/// Time and signature. One spelling of each is accepted, and one version.
pub(in crate::identity) fn parse(value: &[u8]) -> Option<Result<(&str, Vec<u8>), Refusal>> {
    let (time, rest) = std::str::from_utf8(value).ok()?.strip_prefix("t=")?.split_once(',')?;
    let Some(tag) = rest.strip_prefix("v2=") else {
        return rest.starts_with("v1=").then_some(Err(Refusal::PeerSignatureVersion));
    };
    let plain = !time.starts_with('0') && time.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || time.is_empty() || time.len() > MAX_DIGITS || tag.len() != 64 {
        return None;
    }
    Some(Ok((time, HEXLOWER.decode(tag.as_bytes()).ok()?)))
}

/// The text that is signed: lines, joined by a line feed. No part can hold one, so two requests never have one text.
fn canonical(evidence: &Evidence<'_>, signed: &[HeaderName], time: &str) -> Result<Vec<u8>, Refusal> {
    let body = digest::digest(&SHA256, evidence.body.unwrap_or_default());
    let mut text = ["v2", time, evidence.method.as_str(), ""].join("\n").into_bytes();
    // The host decides whose route it is, and with it which team's users and which provider (T-73). Without one, as in
    // HTTP/1.0, the line is empty.
    if let Some(host) = ambiguity::one(evidence.headers, &HOST)? {
        text.extend(host.as_bytes().to_ascii_lowercase()); // T-73: host in the signature
    }
    for part in [evidence.target, &HEXLOWER.encode(body.as_ref())] {
        text.push(b'\n');
        text.extend_from_slice(part.as_bytes());
    }
    for name in signed {
        if let Some(value) = ambiguity::one(evidence.headers, name)? {
            text.push(b'\n');
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b':');
            text.extend_from_slice(value.as_bytes());
        }
    }
    Ok(text)
}
