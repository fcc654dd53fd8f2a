//! How events are proven: every vector, judged by the scheme alone.

mod load;
mod proofs;
mod rotation;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;
use sidemint::clock::{Clock as _, SystemClock, Timestamp};
use sidemint::provider::webhook::Webhook;
use sidemint::secrets::Secret;
use sidemint::webhook::keys::{Keys, Ring, Standing};
use sidemint::webhook::refusal::{Reason, Refusal};
use sidemint::webhook::scheme::{Draft, Head, Proven, Scheme};

use crate::webhooks::preset::of_scheme;

/// Bytes of a body at most.
const MOST: usize = 1024 * 1024;

/// `[webhook]` of the preset that stands for a scheme of the vectors.
fn webhook(scheme: &str) -> Webhook {
    let preset = of_scheme(scheme)[0].name;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/provider/presets").join(format!("{preset}.toml"));
    let text = std::fs::read_to_string(path).unwrap().replace("{{ config.header }}", "X-Signature-T");
    let mut preset: toml::Table = text.parse().unwrap();
    preset.remove("webhook").unwrap().try_into().unwrap()
}

/// The cases of all files: name of the scheme, and the case.
fn cases() -> Vec<(String, Value)> {
    let mut cases = Vec::new();
    let mut add = |file: &Value| {
        let scheme = file["scheme"].as_str().unwrap();
        cases.extend(file["cases"].as_array().unwrap().iter().map(|case| (scheme.to_owned(), case.clone())));
    };
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    add(&read(include_str!("../../vectors/sendsar-webhook.json")));
    add(&read(include_str!("../../vectors/emb-chat-webhook.json")));
    add(&read(include_str!("../../vectors/livekit-webhook.json")));
    read(include_str!("../../vectors/webhook-schemes.json"))["schemes"].as_array().unwrap().iter().for_each(add);
    cases
}

/// The keys of a case. A secret that no operator could configure is left out, and so proves nothing.
fn ring(scheme: &Scheme, case: &Value) -> Ring {
    let by_id = case["keys"].as_object().into_iter().flatten();
    let by_id = by_id.map(|(id, secret)| (Some(id.clone()), secret));
    let several = case["secrets"].as_array().into_iter().flatten().map(|secret| (None, secret));
    let read = by_id.chain(several).filter_map(|(id, secret)| {
        scheme.keys().read(id, &Secret::new(secret.as_str().unwrap().as_bytes().to_vec())).ok()
    });
    let all = read.map(|key| (Standing::Current, Arc::new(key))).collect();
    Ring::at(Arc::new(Keys { generation: 1, all, required: Vec::new() }), SystemClock.moment())
}

fn headers(case: &Value) -> HeaderMap {
    let headers = case["headers"].as_object().unwrap().iter();
    headers
        .map(|(name, value)| {
            let value = HeaderValue::from_str(value.as_str().unwrap()).unwrap();
            (name.parse::<HeaderName>().unwrap(), value)
        })
        .collect()
}

fn judge(scheme: &str, case: &Value) -> Result<Proven, Refusal> {
    judge_with(scheme, case, headers(case))
}

/// The same with other headers.
fn judge_with(scheme: &str, case: &Value, headers: HeaderMap) -> Result<Proven, Refusal> {
    let url = case["url"].as_str();
    let query = url.and_then(|url| url.split_once('?')).map(|(_, query)| query);
    // What the provider was given is the address without the hash that it adds for each body.
    let given = url.map(|url| url.split("bodySHA256=").next().unwrap().trim_end_matches(['?', '&']));
    let scheme = Scheme::compile(&webhook(scheme), given).unwrap();
    let method = case["method"].as_str().unwrap_or("POST").parse::<Method>().unwrap();
    let now = Timestamp::from_seconds(case["now"].as_i64().unwrap_or(1_777_920_123));
    let examined = scheme.examine(&Head { method: &method, query, headers: &headers }, now)?;
    assert!(scheme.takes(&headers), "{}", case["name"]);
    let body = Bytes::from(STANDARD.decode(case["body_base64"].as_str().unwrap()).unwrap());
    scheme.prove(&examined, body, MOST, &ring(&scheme, case), now)
}

/// W-01, W-02, W-08, W-13 and W-14: verdicts and reasons are those of the vectors.
#[test]
fn every_vector_has_its_verdict_and_its_reason() {
    let cases = cases();
    assert_eq!(cases.len(), 138 + 14 + 15 + 20);
    let mut wrong = Vec::new();
    for (scheme, case) in &cases {
        let outcome = judge(scheme, case);
        let told = match &outcome {
            Ok(_) => "ok".to_owned(),
            Err(Refusal::Unproven(reason)) => reason.to_string(),
            Err(Refusal::TooLarge) => "too_large".to_owned(),
        };
        let verdict = case["valid"].as_bool().is_none_or(|valid| valid == outcome.is_ok());
        // A secret that is empty is refused when it is read, so its key is not known.
        let reason = match case["name"].as_str() {
            Some("invalid_empty_secret_forgery") => told == "unknown_key",
            Some("either_bearer_prefix") => told == "malformed",
            _ => told == case["reason"],
        };
        if !verdict || !reason {
            wrong.push(format!("{scheme} {}: {told}, not {}", case["name"], case["reason"]));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// A repeat of a provider, with a new time and a new signature, has the key of the first.
#[test]
fn repeats_have_the_same_key_and_other_events_have_others() {
    let cases = cases();
    let mut repeats = 0;
    for (scheme, case) in cases.iter().filter(|(_, case)| case["valid"] == true) {
        let own = judge(scheme, case).unwrap();
        for (other_scheme, other) in cases.iter().filter(|(_, case)| case["valid"] == true) {
            if other_scheme != scheme || other["name"] == case["name"] {
                continue;
            }
            let other_own = judge(scheme, other).unwrap();
            if other["duplicate_of"] == case["name"] {
                repeats += 1;
                assert_eq!(own.key(), other_own.key(), "{scheme} {}", other["name"]);
                assert_ne!(own.proof, other_own.proof, "{scheme} {}", other["name"]);
            } else if own.body != other_own.body {
                assert!(
                    own.key() != other_own.key() || own.id.is_some(),
                    "{scheme} {} {}",
                    case["name"],
                    other["name"]
                );
            }
        }
    }
    assert!(repeats >= 3, "{repeats}");
}

/// Requests as a real livekit-server sent them. A repeat has a new token and the same id.
#[test]
fn what_a_real_livekit_server_sent_is_proven() {
    let now = Timestamp::from_seconds(1_796_030_140);
    let captures = [
        ("room_started", &include_bytes!("../../vectors/livekit-captures/room-started.http")[..]),
        ("participant_joined", include_bytes!("../../vectors/livekit-captures/participant-joined.http")),
        ("participant_joined", include_bytes!("../../vectors/livekit-captures/participant-joined-again.http")),
        ("track_published", include_bytes!("../../vectors/livekit-captures/track-published.http")),
    ];
    let scheme = Scheme::compile(&webhook("livekit-webhook"), None).unwrap();
    let case = serde_json::json!({ "keys": { "APItestkey0001": "secretsecretsecretsecretsecret123" } });
    let mut keys = Vec::new();
    for (event, request) in captures {
        let at = request.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&request[..at]).unwrap();
        let lines = head.lines().skip(1).map(|line| line.split_once(": ").unwrap());
        let headers: HeaderMap = lines
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap()))
            .collect();
        let examined = scheme.examine(&Head { method: &Method::POST, query: None, headers: &headers }, now).unwrap();
        let body = Bytes::copy_from_slice(&request[at + 4..]);
        let proven = scheme.prove(&examined, body.clone(), MOST, &ring(&scheme, &case), now).unwrap();
        assert_eq!((proven.event.as_deref(), proven.order.as_deref()), (Some(event), Some("RM_vSLiMczapQPd")));
        keys.push(proven.key());
        let mut changed = body.to_vec();
        *changed.last_mut().unwrap() = b' ';
        let refused = scheme.prove(&examined, changed.into(), MOST, &ring(&scheme, &case), now);
        assert_eq!(refused.unwrap_err(), Refusal::Unproven(Reason::HashMismatch));
    }
    assert_eq!(keys[1], keys[2]);
    assert!(keys[0] != keys[1] && keys[1] != keys[3]);
}

/// What is signed here as a provider does is proven here, and with one more byte it is not.
#[test]
fn what_is_signed_as_the_provider_does_is_proven() {
    let now = Timestamp::from_seconds(1_777_920_123);
    for name in cases().into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>() {
        let webhook = webhook(&name);
        let scheme = Scheme::compile(&webhook, Some("https://hooks.example.com/webhooks/chat?a=1&b=%20")).unwrap();
        let secret = match name.as_str() {
            "standard-webhooks" | "svix" => "whsec_ihrB2K99+aN/ZBjM/e+G0rvNvWbd6XEi",
            _ => "user:password-of-a-webhook",
        };
        let key =
            scheme.keys().read(webhook.keys.as_ref().map(|_| "key.1".to_owned()), &Secret::new(secret.into())).unwrap();
        let key = Arc::new(key);
        let keys = Keys { generation: 1, all: vec![(Standing::Current, Arc::clone(&key))], required: Vec::new() };
        let ring = Ring::at(Arc::new(keys), SystemClock.moment());
        for body in ["{\"time_ms\": 1777920123000, \"text\": \"caf\u{e9}\"}", "a=1&B=%2b&a=0"] {
            let envelope = scheme.sign(&Draft { id: "evt_1", at: now, body: body.as_bytes() }, &key).unwrap();
            let head = Head { method: &Method::POST, query: envelope.query.as_deref(), headers: &envelope.headers };
            let prove = |body: String| {
                let examined = scheme.examine(&head, now).unwrap_or_else(|reason| panic!("{name}: {reason}"));
                assert!(scheme.takes(&envelope.headers), "{name}");
                scheme.prove(&examined, body.into(), MOST, &ring, now)
            };
            // The time of this scheme is in the body, which a form has none of.
            if name == "pusher" && body.starts_with("a=") {
                continue;
            }
            assert_eq!(prove(body.to_owned()).unwrap().body, body, "{name}");
            assert_eq!(prove(format!("{body}0")).is_err(), !webhook.basic, "{name}");
            assert!(!format!("{envelope:?}").contains("evt_1"), "{name}: {envelope:?}");
        }
    }
}
