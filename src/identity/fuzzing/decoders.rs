//! What must hold for any encoded value: in mail headers, in what Azure and Envoy pass on, and in key sets.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use data_encoding::HEXUPPER;
use serde_json::{Value, json};
use strum::VariantArray as _;

use super::*;
use crate::identity::keys::{Algorithm, jwks};
use crate::identity::peer::immediate_uris;
use crate::identity::request::encoding::Encoding;

/// Encoded words: plain text is what it is, and every text comes back from its encoding.
pub(crate) fn rfc2047(bytes: &[u8]) {
    if let Ok(text) = Encoding::Rfc2047.decode(bytes) {
        assert!(text.len() <= bytes.len(), "decoding makes nothing longer");
        assert!(bytes.windows(2).any(|pair| pair == b"=?") || text.as_bytes() == bytes.trim_ascii());
    }
    let text = String::from_utf8_lossy(bytes);
    let mut q = String::new();
    for byte in text.bytes() {
        q.push('=');
        q.push_str(&HEXUPPER.encode(&[byte]));
    }
    for word in [format!("=?utf-8?q?{q}?="), format!("=?UTF-8?B?{}?=", STANDARD.encode(&*text))] {
        assert_eq!(Encoding::Rfc2047.decode(word.as_bytes()).ok(), Some(text.clone()));
    }
}

static AZURE: LazyLock<Option<Resolver>> = LazyLock::new(|| resolver(json!({ "preset": "azure-easy-auth" })));
static ENVOY: LazyLock<Option<Resolver>> =
    LazyLock::new(|| resolver(json!({ "preset": "envoy-payload", "issuer": "https://issuer.example/" })));

fn resolver(own: Value) -> Option<Resolver> {
    let network = "127.0.0.0/8".parse().ok()?;
    Some(Sources::defined_for_fuzzing("own", Some(own), network)?.resolver(&route()))
}

fn told<'r>(resolver: &'r Resolver, headers: &'r HeaderMap) -> Result<Identity<'r>, Refusal> {
    let connection = resolver.peers().assess(Peer::tcp(IpAddr::from([127, 0, 0, 1])), &[]);
    resolver.resolve(&Evidence { connection, method: &Method::GET, target: "/", headers, body: None, relayed: None })
}

/// The value itself, and in base64 of the kind that the source reads.
fn values(bytes: &[u8], encoded: String) -> impl Iterator<Item = HeaderValue> {
    [HeaderValue::from_bytes(bytes), HeaderValue::try_from(encoded)].into_iter().flatten()
}

/// Azure's principal: it tells of the user, and never who that is.
pub(crate) fn easy_auth(bytes: &[u8]) {
    let Some(resolver) = AZURE.as_ref() else { return };
    for value in values(bytes, STANDARD.encode(bytes)) {
        let mut headers = HeaderMap::new();
        headers.insert("x-ms-client-principal-id", HeaderValue::from_static("alice"));
        headers.insert("x-ms-client-principal-idp", HeaderValue::from_static("aad"));
        headers.insert("x-ms-client-principal", value);
        let Ok(identity) = told(resolver, &headers) else { continue };
        assert_eq!(identity.subject(), "alice");
        identity.name().into_iter().for_each(is_name);
        let groups: Vec<&str> = identity.groups().collect();
        assert!(groups.len() <= text::MAX_GROUPS && groups.iter().all(|group| text::is_group(group)));
    }
}

/// A forwarded payload: the subject is what another reader of JSON sees, of the pinned issuer, and it ends.
pub(crate) fn payload(bytes: &[u8]) {
    let Some(resolver) = ENVOY.as_ref() else { return };
    for value in values(bytes, URL_SAFE_NO_PAD.encode(bytes)) {
        let mut headers = HeaderMap::new();
        let decoded = URL_SAFE_NO_PAD.decode(value.as_bytes().trim_ascii());
        headers.insert("x-jwt-payload", value);
        let Ok(identity) = told(resolver, &headers) else { continue };
        let Ok(decoded) = decoded else { continue };
        let other: Value = serde_json::from_slice(&decoded).unwrap_or_default();
        let text = |member: &str| other.get(member).and_then(Value::as_str);
        assert_eq!(text("sub"), Some(identity.subject()));
        assert_eq!(text("iss"), Some("https://issuer.example/"));
        assert!(other.get("exp").is_some_and(Value::is_number), "what does not end is refused");
        is_subject(identity.subject());
    }
}

/// `X-Forwarded-Client-Cert`: only the last element counts, whatever stands before it.
pub(crate) fn xfcc(bytes: &[u8]) {
    let Some(uris) = immediate_uris(bytes) else { return };
    let room = bytes.len() < 16 * 1024 && bytes.split(|b| *b == b',').count() <= 16;
    for hearsay in ["URI=spiffe://evil/x,", "By=a;URI=\"b,;=\\\"\",", "uri=c;Hash=d,Subject=\"\","] {
        let longer = [hearsay.as_bytes(), bytes].concat();
        assert!(!room || immediate_uris(&longer).as_ref() == Some(&uris), "earlier elements are hearsay");
    }
    // Without quotes there is no doubt where things end.
    if !bytes.contains(&b'"') {
        let last = bytes.rsplit(|b| *b == b',').next().unwrap_or_default();
        let pairs = last.split(|b| *b == b';').filter_map(|pair| pair.split_at_checked(4));
        let named = pairs.filter(|(key, _)| key.eq_ignore_ascii_case(b"uri="));
        assert!(named.map(|(_, value)| value).eq(uris.iter().map(Vec::as_slice)));
    }
    if uris.iter().flatten().all(|byte| *byte != b'\\') && !uris.is_empty() && uris.len() <= 16 {
        let pair = |uri: &Vec<u8>| [&b"URI=\""[..], &quoted(uri), b"\""].concat();
        let written = uris.iter().map(pair).collect::<Vec<_>>().join(&b';');
        assert!(written.len() > 32 * 1024 || immediate_uris(&written) == Some(uris), "written, and read again");
    }
}

fn quoted(uri: &[u8]) -> Vec<u8> {
    let escaped = uri.iter().flat_map(|byte| if *byte == b'"' { &b"\\\""[..] } else { std::slice::from_ref(byte) });
    escaped.copied().collect()
}

/// Key sets: bounded, and never a key that is a secret.
pub(crate) fn key_set(bytes: &[u8]) {
    let Ok(keys) = jwks::read(bytes) else { return };
    assert!(bytes.len() <= jwks::MOST_BYTES && (1..=64).contains(&keys.len()));
    let set: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let listed = set.get("keys").and_then(Value::as_array).map_or(0, Vec::len);
    assert!(keys.len() <= listed, "no key comes from elsewhere");
    for key in keys {
        assert!(key.kid.as_ref().is_none_or(|kid| kid.len() <= 128));
        for secret in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
            assert!(!key.fits(secret), "a published key is no secret");
        }
        for &algorithm in Algorithm::VARIANTS {
            assert!(!key.verifies(algorithm, b"message", b""), "nothing is no signature");
        }
    }
}
