//! What must hold for any header lines, text, definition and network.

mod decoders;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use ipnet::IpNet;

use std::sync::Arc;

use http::{HeaderMap, Method};

use super::user::text::{self, Medium};
use super::*;
use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::metrics::Metrics;
use crate::outbound::{Outbound, Services};

pub(crate) use super::token::fuzzing::{alb_token, token};
pub(crate) use decoders::{easy_auth, key_set, payload, rfc2047, xfcc};

/// Where the subject stands, by preset.
const SUBJECTS: [(&str, &str); 3] =
    [("plain", "x-forwarded-user"), ("oauth2-proxy", "x-forwarded-user"), ("authelia", "remote-user")];

static AROUND: LazyLock<Option<Services>> = LazyLock::new(|| {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (outbound, metrics) = (Outbound::new(Arc::clone(&clock)).ok()?, Arc::new(Metrics::new().ok()?));
    Some(Services { outbound, clock, metrics })
});

static RESOLVERS: LazyLock<Vec<(Resolver, &str)>> = LazyLock::new(|| {
    let resolver = |(preset, subject): (&str, &'static str)| {
        let network = "127.0.0.0/8".parse().ok()?;
        Some((Sources::for_fuzzing(preset, network)?.resolver(&route()), subject))
    };
    SUBJECTS.into_iter().filter_map(resolver).collect()
});

impl Sources {
    /// One preset and one network.
    fn for_fuzzing(preset: &str, network: IpNet) -> Option<Self> {
        Self::defined_for_fuzzing(preset, None, network)
    }

    /// The source called `name`, by this definition where it is no preset.
    fn defined_for_fuzzing(name: &str, own: Option<serde_json::Value>, network: IpNet) -> Option<Self> {
        let sources = own.map(|own| (name.to_owned(), own)).into_iter().collect();
        let peers = config::Peers { networks: vec![network], ..config::Peers::default() };
        Self::configured_for_fuzzing(vec![name.to_owned()], sources, peers)
    }

    /// The two sources that Envoy relays, and a header.
    fn relayed_for_fuzzing(peers: config::Peers) -> Option<Self> {
        let sources = [
            ("envoy-metadata", serde_json::json!({ "issuer": "https://idp.example.com/", "namespace": "" })),
            ("envoy-principal", serde_json::json!({ "namespace": "mesh" })),
            ("plain", serde_json::json!({ "namespace": "" })),
        ];
        let names = sources.iter().map(|(name, _)| (*name).to_owned()).collect();
        let sources = sources.into_iter().map(|(name, own)| (name.to_owned(), own)).collect();
        Self::configured_for_fuzzing(names, sources, peers)
    }

    fn configured_for_fuzzing(
        source: Vec<String>,
        sources: BTreeMap<String, serde_json::Value>,
        peers: config::Peers,
    ) -> Option<Self> {
        let identity = config::Identity {
            leeway: Duration::ZERO,
            source,
            sources,
            peers,
            callers: BTreeMap::new(),
            users: config::Users::default(),
            roles: BTreeMap::new(),
            origin: String::new(),
        };
        Self::configure(&identity, &[], AROUND.as_ref()?).ok()
    }
}

/// What Envoy verified, then what its client says: where a mesh must name Envoy in its own call, and where it is near.
/// With each, what its connection proves, and whether that is enough.
pub(crate) fn relayed() -> &'static [(Resolver, ConnectionProof, bool)] {
    static RELAYED: LazyLock<Vec<(Resolver, ConnectionProof, bool)>> = LazyLock::new(|| {
        let near = || config::Peers { networks: "127.0.0.0/8".parse().into_iter().collect(), ..Default::default() };
        let named = config::Peers { xfcc: vec!["spiffe://corp/envoy".to_owned()], ..near() };
        let resolver = |peers, is_proven| {
            let resolver = Sources::relayed_for_fuzzing(peers)?.resolver(&route());
            let connection = resolver.peers().assess(Peer::tcp(IpAddr::from([127, 0, 0, 1])), &[]);
            Some((resolver, connection, is_proven))
        };
        [resolver(named, false), resolver(near(), true)].into_iter().flatten().collect()
    });
    assert_eq!(RELAYED.len(), 2);
    &RELAYED
}

fn route() -> config::Route {
    config::Route {
        path: "/".to_owned(),
        host: None,
        kind: config::RouteKind::Session,
        provider: String::new(),
        ttl: None,
        deadline: Duration::from_secs(1),
        sources: None,
        origin: String::new(),
        key: crate::definition::Key::default(),
    }
}

/// Header lines: at most one identity, which is one line that was sent; never beside an alias or a second line.
pub(crate) fn identity_headers(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (halves.next(), halves.next()) else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    for (resolver, subject) in RESOLVERS.iter() {
        let subject = *subject;
        let asked = |from: IpAddr| {
            let connection = resolver.peers().assess(Peer::tcp(from), &[]);
            Evidence { connection, method: &Method::GET, target: "/", headers: &headers, body: None, relayed: None }
        };
        let foreign = asked(IpAddr::from([192, 0, 2, 1]));
        assert!(resolver.resolve(&foreign).is_err(), "a foreign peer is never believed");
        let near = asked(IpAddr::from([127, 0, 0, 1]));
        let Ok(identity) = resolver.resolve(&near) else { continue };
        let sent: Vec<&[u8]> = headers.get_all(subject).iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(sent.len(), 1, "one line tells an identity");
        let line = sent.first().map(|line| line.trim_ascii());
        assert_eq!(line, Some(identity.subject().as_bytes()), "the subject is what was sent");
        is_subject(identity.subject());
        for name in headers.keys().map(HeaderName::as_str) {
            let folded = name.replace(['_', '.'], "-");
            assert!(name == subject || folded.trim_matches('-') != subject, "an alias is there: {name}");
        }
        identity.name().into_iter().for_each(is_name);
        identity.groups().for_each(|group| assert!(text::is_group(group)));
    }
}

fn is_subject(subject: &str) {
    assert!(!subject.is_empty() && subject.len() <= 255);
    assert!(!subject.chars().any(char::is_control), "no control character");
    let hidden = |c: char| {
        matches!(
            c,
            '\u{ad}' | '\u{115f}' | '\u{17b4}' | '\u{200b}'..='\u{200f}' | '\u{2028}' | '\u{2800}' | '\u{e0001}'
        )
    };
    assert!(!subject.contains(hidden), "no hidden character");
    assert!(text::subject(subject, Medium::Signed) == Ok(subject), "accepted once, accepted again");
}

fn is_name(name: &str) {
    assert!(!name.is_empty() && name.chars().count() <= 128);
    assert!(!name.chars().any(char::is_control), "no control character");
    assert_eq!(text::display_name(name).as_deref(), Some(name), "cleaned once, clean for ever");
}

/// Subject, name, e-mail, picture and groups out of any bytes.
pub(crate) fn identity_text(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).ok();
    if let Ok(line) = HeaderValue::from_bytes(bytes) {
        assert_eq!(text::of_line(&line), text, "a short cut to the same text");
    }
    for medium in [Medium::Line, Medium::Value, Medium::Signed] {
        if let Some(text) = text
            && let Ok(subject) = text::subject(text, medium)
        {
            assert_eq!(subject, text, "kept or refused, never changed");
            assert!(medium != Medium::Line || !subject.contains(','));
            assert!(medium == Medium::Signed || !(subject.starts_with('{') && subject.ends_with('}')), "a placeholder");
            is_subject(subject);
        }
    }
    if let Some(name) = text.and_then(text::display_name) {
        is_name(&name);
    }
    if let Some(email) = text::email(bytes) {
        assert!(email.matches('@').count() == 1 && email.len() <= 254 && !email.chars().any(char::is_control));
    }
    if let Some(avatar) = text::avatar(&String::from_utf8_lossy(bytes)) {
        assert!(avatar.starts_with("https://"), "pictures come encrypted: {avatar}");
    }
    let groups: Vec<&str> = text::groups(bytes, ',').collect();
    assert!(groups.iter().all(|group| text::is_group(group) && !group.contains(',')));
}

/// A table of `[identity.sources.NAME]`: refused with a sentence, or compiled.
pub(crate) fn identity_definition(bytes: &[u8]) {
    let Ok(own) = toml::from_str::<serde_json::Value>(&String::from_utf8_lossy(bytes)) else { return };
    match definition::compile("own", Some(&own)) {
        Ok(definition) => {
            drop(AROUND.as_ref().map(|services| source::Source::new("own", definition, Duration::ZERO, services)));
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|mistake| !mistake.problem.is_empty()), "every mistake is told");
        }
    }
}

/// A network, and addresses below it: what is accepted is canonical, and holds what plain arithmetic says.
pub(crate) fn networks(bytes: &[u8]) {
    let all = String::from_utf8_lossy(bytes);
    let mut all = all.lines();
    let Some(Ok(network)) = all.next().map(config::network) else { return };
    let written = network.to_string();
    assert!(config::network(&written).is_ok_and(|again| again == network), "{written} is written as it is read");
    let Some(resolver) = Sources::for_fuzzing("plain", network).map(|sources| sources.resolver(&route())) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert("x-forwarded-user", HeaderValue::from_static("alice"));
    let edges = [network.network(), network.broadcast()];
    for address in all.take(16).filter_map(|line| line.parse().ok()).chain(edges) {
        let connection = resolver.peers().assess(Peer::tcp(address), &[]);
        let evidence =
            Evidence { connection, method: &Method::GET, target: "/", headers: &headers, body: None, relayed: None };
        assert_eq!(resolver.resolve(&evidence).is_ok(), holds(network, address), "{network} and {address}");
    }
}

/// Whether the first bits agree, and nothing else counts. A mapped address is the IPv4 address in it.
fn holds(network: IpNet, address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => (32, u128::from(v4.to_bits())),
        IpAddr::V6(v6) if v6.to_bits() >> 32 == 0xffff => (32, v6.to_bits() & 0xffff_ffff),
        IpAddr::V6(v6) => (128, v6.to_bits()),
    };
    let ((width, own), (other, asked)) = (bits(network.network()), bits(address));
    let rest = width - u32::from(network.prefix_len());
    width == other && (rest == 128 || own >> rest == asked >> rest)
}
