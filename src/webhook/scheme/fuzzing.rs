//! What must hold for any request that claims to come from a provider.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use super::form;
use super::signature::{self, SignatureRule};
use super::{DEPTH, Draft, Head, Scheme, gzip};
use crate::clock::{Clock as _, ManualClock, Timestamp};
use crate::decode;
use crate::decode::members::Places;
use crate::provider::webhook::Webhook;
use crate::provider::{Definitions, Encode};
use crate::secrets::Secret;
use crate::webhook::keys::{Keys, ProvingKey, Ring, Standing};

const NOW: Timestamp = Timestamp::from_seconds(1_777_920_123);
/// Of the form that each preset takes.
const SECRET: &[u8] = b"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";
const ADDRESS: &str = "https://hooks.example.com/webhooks/chat?a=1";
/// Bytes of a body at most.
const MOST: usize = 100_000;

/// The scheme of a preset, and a key that proves for it.
struct Proving {
    scheme: Scheme,
    key: Arc<ProvingKey>,
    ring: Ring,
    /// Whether the proof says nothing of the body.
    is_bare: bool,
}

impl Proving {
    /// Of the text of a preset; `None` where it proves no webhooks, or only with settings.
    fn read(text: &str) -> Option<Self> {
        let webhook = text.parse::<toml::Table>().ok()?.remove("webhook")?;
        let webhook: Webhook = webhook.try_into().ok()?;
        let scheme = Scheme::compile(&webhook, Some(ADDRESS)).ok()?;
        let id = webhook.keys.as_ref().map(|_| "key.1".to_owned());
        let key = Arc::new(scheme.keys().read(id, &Secret::new(SECRET.to_vec())).ok()?);
        let keys = Keys { generation: 1, all: vec![(Standing::Current, Arc::clone(&key))], required: Vec::new() };
        let ring = Ring::at(Arc::new(keys), ManualClock::new(NOW).moment());
        Some(Self { scheme, key, ring, is_bare: webhook.basic })
    }
}

static PRESETS: LazyLock<BTreeMap<String, Proving>> = LazyLock::new(|| {
    let (definitions, _) = Definitions::read(None);
    let read = definitions.texts().filter_map(|(name, text)| Some((name.to_owned(), Proving::read(text)?)));
    let all: BTreeMap<_, _> = read.collect();
    assert!(all.len() > 12, "most presets need no settings: {}", all.len());
    all
});

/// The name of a preset, a query, header lines, an empty line, and a body. Whatever comes, nothing is proven that the key did
/// not sign; what it signed is proven, and no longer with another last byte.
pub(crate) fn webhook_request(bytes: &[u8]) {
    let mut rest = bytes;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let (line, behind) = rest.split_at_checked(end)?;
        rest = behind.get(1..).unwrap_or_default();
        Some(line)
    };
    let Some(own) = line().and_then(|name| PRESETS.get(std::str::from_utf8(name).ok()?)) else { return };
    let query = line().and_then(|query| std::str::from_utf8(query).ok()).filter(|query| !query.is_empty());
    let mut headers = HeaderMap::new();
    while let Some(line) = line().filter(|line| !line.is_empty()) {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let name = halves.next().and_then(|name| HeaderName::from_bytes(name).ok());
        let value = halves.next().and_then(|value| HeaderValue::from_bytes(value.trim_ascii()).ok());
        headers.extend(name.zip(value));
    }
    let body = Bytes::copy_from_slice(rest);
    let prove = |head: &Head<'_>, body: Bytes| {
        let examined = own.scheme.examine(head, NOW).ok()?;
        own.scheme.prove(&examined, body, MOST, &own.ring, NOW).ok()
    };
    let head = Head { method: &Method::POST, query, headers: &headers };
    assert!(prove(&head, body.clone()).is_none(), "no key signed it");
    let Ok(envelope) = own.scheme.sign(&Draft { id: "evt_1", at: NOW, body: &body }, &own.key) else { return };
    let head = Head { method: &Method::POST, query: envelope.query.as_deref(), headers: &envelope.headers };
    let Some(proven) = prove(&head, body.clone()) else { return };
    assert!(proven.body.len() <= MOST.max(body.len()), "there is a cap");
    let mut changed = body.to_vec();
    let Some(last) = changed.last_mut() else { return };
    *last ^= 1;
    // A form is signed as a set: one field that was there twice may become another that is there (W-14).
    let is_same_set = form::sorted(&changed) == form::sorted(&body);
    assert!(own.is_bare || is_same_set || prove(&head, changed.into()).is_none(), "the proof covers the last byte");
}

/// What stands before signatures, between them, before those that count, and a value: a line each. What is read is as long as
/// it must be, and stands there as it is written.
pub(crate) fn webhook_signature(bytes: &[u8]) {
    const LENGTH: usize = 4;
    let lines: Vec<_> = bytes.splitn(4, |byte| *byte == b'\n').map(String::from_utf8_lossy).collect();
    let [prefix, list, pick, value] = &lines[..] else { return };
    for encode in [Encode::Hex, Encode::UpperHex, Encode::Base64, Encode::Base64Url] {
        let list = (!list.is_empty()).then(|| list.to_string());
        let rule = SignatureRule { prefix: prefix.to_string(), encode, list, pick: pick.to_string() };
        let read = rule.read(value, LENGTH).unwrap_or_default();
        assert!(read.len() <= 16, "bounded");
        for own in read {
            let written = encode.encode(&own);
            assert!(own.len() == LENGTH && value.contains(&written), "one form for the same bytes");
            assert_eq!(signature::decode(encode, &written, LENGTH), Some(own), "and it is read again");
        }
        if let Some(time) = rule.member(value, "t") {
            assert!(value.contains(&format!("t={time}")), "a member is a part of the list");
        }
    }
}

/// A form: the order of its fields does not count, and what a strict reader reads is read alike.
pub(crate) fn webhook_form(bytes: &[u8]) {
    let Ok(fields) = form::fields(bytes) else { return };
    if let Some(strict) = decode::form::pairs(bytes) {
        assert_eq!(fields, strict, "a strict reader sees the same");
    }
    let mut parts: Vec<_> = bytes.split(|byte| *byte == b'&').collect();
    parts.reverse();
    let row = form::sorted(bytes);
    assert_eq!(row, form::sorted(&parts.join(&b'&')), "the order does not count");
    assert!(row.is_ok_and(|row| row.len() <= bytes.len()), "no longer than what was sent");
    if let Some((name, value)) = fields.first() {
        assert_eq!(form::field(bytes, name).as_ref(), Some(value));
    }
}

/// A body that may be packed: unpacked to the cap, or refused; and what is packed here comes back.
pub(crate) fn webhook_gzip(bytes: &[u8]) {
    const CAP: usize = 10_000;
    let body = Bytes::copy_from_slice(bytes);
    if let Ok(unpacked) = gzip::unpack(body.clone(), CAP) {
        assert!(unpacked == body || unpacked.len() <= CAP, "there is a cap");
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let packed = encoder.write_all(bytes).and_then(|()| encoder.finish());
    let unpacked = packed.ok().and_then(|packed| gzip::unpack(packed.into(), bytes.len()).ok());
    assert_eq!(unpacked, Some(body), "what is packed comes back, and once only");
}

/// A JSON Pointer in a line, and a body: what is read out of the body is there for another reader as well.
pub(crate) fn webhook_field(bytes: &[u8]) {
    let mut halves = bytes.splitn(2, |byte| *byte == b'\n');
    let at = halves.next().map(String::from_utf8_lossy).unwrap_or_default();
    let body = halves.next().unwrap_or_default();
    if !at.starts_with('/') {
        return;
    }
    let mut places = Places::default();
    let place = places.add(&at);
    let Some(found) = places.read(body, DEPTH) else { return };
    let (Some(read), Ok(other)) = (found.at(place), serde_json::from_slice::<Value>(body)) else { return };
    assert_eq!(other.pointer(&at), Some(read), "another reader sees the same");
}
