//! What an attacker does to a proof: each change is refused, or is known for the same event.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use sidemint::clock::{Clock as _, SystemClock, Timestamp};
use sidemint::webhook::event::EventKey;
use sidemint::webhook::keys::{Credential, Keys, Ring};
use sidemint::webhook::refusal::{Reason, Refusal};
use sidemint::webhook::scheme::{Answer, Head, Scheme};

use super::{MOST, cases, headers, judge, judge_with, ring, webhook};

const NOW: Timestamp = Timestamp::from_seconds(1_777_920_123);

/// The first case of a scheme that holds.
fn good(scheme: &str) -> Value {
    cases().into_iter().find(|(own, case)| own == scheme && case["valid"] == true).unwrap().1
}

fn refused(scheme: &str, case: &Value, headers: HeaderMap) -> Reason {
    match judge_with(scheme, case, headers).unwrap_err() {
        Refusal::Unproven(reason) => reason,
        Refusal::TooLarge => panic!("too large"),
    }
}

fn name(text: &str) -> HeaderName {
    text.parse().unwrap()
}

/// W-01: what stands there twice was written by two, and neither is believed.
#[test]
fn nothing_that_proves_stands_there_twice() {
    for (scheme, header, reason) in [
        ("sendsar-webhook", "x-webhook-signature", Reason::MissingSignature),
        ("standard-webhooks", "webhook-signature", Reason::MissingSignature),
        ("standard-webhooks", "webhook-timestamp", Reason::MissingTimestamp),
        ("standard-webhooks", "webhook-id", Reason::BadId),
        ("emb-chat-webhook", "x-emb-event-id", Reason::BadId),
        ("pusher", "x-pusher-key", Reason::UnknownKey),
        ("livekit-webhook", "authorization", Reason::MissingAuthorization),
        ("cometchat-basic", "authorization", Reason::MissingAuthorization),
    ] {
        let case = good(scheme);
        let mut twice = headers(&case);
        let value = twice.get(header).unwrap().clone();
        twice.append(name(header), value);
        assert_eq!(refused(scheme, &case, twice), reason, "{scheme} {header}");
    }
}

/// W-01: another way to write the right bytes is another signature.
#[test]
fn a_signature_in_another_form_is_refused() {
    for (scheme, case) in cases().into_iter().filter(|(_, case)| case["valid"] == true) {
        // In a list, what does not count may change.
        let Some(signature) = webhook(&scheme).signature.filter(|signature| signature.list.is_none()) else { continue };
        let header = name(&signature.header);
        let value = headers(&case).get(&header).unwrap().to_str().unwrap().to_owned();
        let swapped: String = value
            .chars()
            .map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
            .collect();
        let mut forms = vec![swapped, format!("{value}0"), value[..value.len() - 1].to_owned(), "\u{fc}".to_owned()];
        forms.push(value.chars().rev().collect());
        if let Some(unpadded) = value.strip_suffix('=') {
            forms.extend([unpadded.to_owned(), value.replace('=', "")]);
        }
        for form in forms {
            let mut other = headers(&case);
            other.insert(&header, HeaderValue::from_bytes(form.as_bytes()).unwrap());
            let reason = refused(&scheme, &case, other);
            assert!(
                matches!(reason, Reason::BadFormat | Reason::Mismatch | Reason::MissingTimestamp),
                "{scheme} {reason}"
            );
        }
    }
}

/// W-02: one byte more, less or other, and the proof is none.
#[test]
fn a_changed_body_is_refused() {
    let mut tried = 0;
    for (scheme, case) in cases().into_iter().filter(|(_, case)| case["valid"] == true) {
        if scheme == "cometchat-basic" || case["name"] == "valid_gzip_body" || case["method"] == "GET" {
            continue;
        }
        let body = STANDARD.decode(case["body_base64"].as_str().unwrap()).unwrap();
        let mut other = vec![[&body[..], b"\n"].concat(), [b"\xef\xbb\xbf", &body[..]].concat()];
        // A last field without a value may have a sign for that or not.
        if let Some(last) = body.len().checked_sub(1).filter(|_| scheme != "twilio-form") {
            other.push(body[..last].to_vec());
            other.push([&body[..last], &[body[last] ^ 1]].concat());
        }
        for body in other {
            tried += 1;
            let mut case = case.clone();
            case["body_base64"] = STANDARD.encode(body).into();
            let reason = refused(&scheme, &case, headers(&case));
            assert!(matches!(reason, Reason::Mismatch | Reason::HashMismatch), "{scheme} {} {reason}", case["name"]);
        }
    }
    assert!(tried > 100, "{tried}");
}

/// W-05: a captured event under the id of a later one is known by its proof, and hides no other.
#[test]
fn an_id_that_nothing_signs_does_not_decide_alone() {
    let case = good("emb-chat-webhook");
    let own = judge("emb-chat-webhook", &case).unwrap();
    let mut later = headers(&case);
    later.insert("x-emb-event-id", HeaderValue::from_static("of-the-next-event"));
    let moved = judge_with("emb-chat-webhook", &case, later).unwrap();
    assert_eq!(moved.proof, own.proof);
    assert_ne!(moved.key(), EventKey::of_unsigned_id("of-the-next-event", b"the next event"));
    assert_ne!(moved.key(), EventKey::of_signed_id("of-the-next-event"));
    let mut without = headers(&case);
    without.remove("x-emb-event-id");
    let bare = judge_with("emb-chat-webhook", &case, without).unwrap();
    assert_eq!((bare.proof, bare.id), (own.proof, None));
}

/// W-06: a signed text that could be cut in two ways is cut in one: values do not hold what stands between them.
#[test]
fn no_value_holds_what_separates_it() {
    let mut case = good("standard-webhooks");
    let signed = r#"msg_1.1777920100.{"text":"x.1777920123.y"}"#;
    let key = STANDARD.decode("ihrB2K99+aN/ZBjM/e+G0rvNvWbd6XEi").unwrap();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed.as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(tag));
    for (id, time, body, holds) in [
        ("msg_1", "1777920100", r#"{"text":"x.1777920123.y"}"#, true),
        (r#"msg_1.1777920100.{"text":"x"#, "1777920123", r#"y"}"#, false),
    ] {
        case["headers"] = json!({ "webhook-id": id, "webhook-timestamp": time, "webhook-signature": signature });
        case["body_base64"] = STANDARD.encode(body).into();
        let outcome = judge("standard-webhooks", &case);
        assert_eq!(outcome.is_ok(), holds, "{outcome:?}");
    }
}

/// W-06: what the fields of a form are joined to is fixed, and fields that change places with values are a repeat.
#[test]
fn nothing_moves_between_address_and_form() {
    let case = good("twilio-form");
    let own = judge("twilio-form", &case).unwrap();
    let mut moved = case.clone();
    moved["body_base64"] =
        STANDARD.encode("EventTypeo=nMessageAdded&Body=h%C3%A9+%2B+%26+%3D&ConversationSid=CH1&attr=").into();
    assert_eq!(judge("twilio-form", &moved).unwrap().proof, own.proof, "known by its proof");
    let scheme =
        Scheme::compile(&webhook("twilio-form"), Some("https://hooks.example.com/webhooks/conversations?a=1&b=2"));
    let (scheme, headers) = (scheme.unwrap(), headers(&case));
    let examine = |query| scheme.examine(&Head { method: &Method::POST, query, headers: &headers }, NOW).err();
    assert_eq!(examine(Some("a=1&b=2")), None);
    for query in
        [None, Some(""), Some("b=2&a=1"), Some("a=1&b=2&"), Some("a=1&b=2&c=3"), Some("a=1"), Some("a=1&b=%32")]
    {
        assert_eq!(examine(query), Some(Reason::Mismatch), "{query:?}");
    }
}

/// W-13: the hash of the body stands in the query once, under its own name, in its one form.
#[test]
fn the_hash_in_the_query_is_there_once_and_exact() {
    let case = good("twilio-json");
    let hash = case["url"].as_str().unwrap().split_once("bodySHA256=").unwrap().1;
    let scheme = Scheme::compile(&webhook("twilio-json"), Some("https://hooks.example.com/webhooks/flow")).unwrap();
    let (headers, body) =
        (headers(&case), Bytes::from(STANDARD.decode(case["body_base64"].as_str().unwrap()).unwrap()));
    let outcome = |query: &str| {
        let examined = scheme.examine(&Head { method: &Method::POST, query: Some(query), headers: &headers }, NOW)?;
        scheme.prove(&examined, body.clone(), MOST, &ring(&scheme, &case), NOW).map(drop)
    };
    assert_eq!(outcome(&format!("bodySHA256={hash}")), Ok(()));
    for (query, reason) in [
        (String::new(), Reason::HashMissing),
        ("bodySHA256=".to_owned(), Reason::HashMissing),
        (format!("bodysha256={hash}"), Reason::HashMissing),
        (format!("body%53HA256={hash}"), Reason::HashMissing),
        (format!("bodySHA256={hash}&bodySHA256={hash}"), Reason::HashMissing),
        (format!("bodySHA256={}", hash.to_uppercase()), Reason::Mismatch),
    ] {
        assert_eq!(outcome(&query), Err(reason.into()), "{query}");
    }
    // The signature is right, and the hash that it covers is written in capitals.
    let url = format!("https://hooks.example.com/webhooks/flow?bodySHA256={}", hash.to_uppercase());
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"twilio-auth-token-one");
    let mut signed = headers.clone();
    let tag = STANDARD.encode(hmac::sign(&key, url.as_bytes()));
    signed.insert("x-twilio-signature", HeaderValue::from_str(&tag).unwrap());
    let query = url.split_once('?').map(|(_, query)| query);
    let examined = scheme.examine(&Head { method: &Method::POST, query, headers: &signed }, NOW).unwrap();
    let refused = scheme.prove(&examined, body.clone(), MOST, &ring(&scheme, &case), NOW).unwrap_err();
    assert_eq!(refused, Reason::HashMismatch.into());
}

/// W-01: the hash is one of those that the definition names.
#[test]
fn a_request_chooses_no_other_hash() {
    let case = good("twilio-form");
    for (settings, holds) in [
        ("", true),
        ("key=x", true),
        ("key=x,algorithm=HMAC_SHA1", true),
        ("key=x, algorithm = hmac_sha1", true),
        ("algorithm=HMAC_SHA256", false),
        ("algorithm=HMAC_MD5", false),
        ("algorithm=none", false),
    ] {
        let mut other = headers(&case);
        other.insert("x-twilio-webhooks-signature-settings", HeaderValue::from_str(settings).unwrap());
        assert_eq!(judge_with("twilio-form", &case, other).is_ok(), holds, "{settings}");
    }
}

/// W-14: a port in the address counts in no signature, or in each.
#[test]
fn the_port_of_the_address_may_be_signed_or_not() {
    let case = good("twilio-form");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"twilio-auth-token-one");
    let row = "Bodyh\u{e9} + & =ConversationSidCH1EventTypeonMessageAddedattr";
    for (given, signed, holds) in [
        ("https://h.example/x", "https://h.example/x", true),
        ("https://h.example/x", "https://h.example:443/x", true),
        ("https://h.example:443/x", "https://h.example/x", true),
        ("https://h.example:8443/x", "https://h.example:8443/x", true),
        ("https://h.example:8443/x", "https://h.example/x", true),
        ("http://h.example/x", "http://h.example:80/x", true),
        ("https://[::1]/x", "https://[::1]:443/x", true),
        ("https://h.example/x", "http://h.example/x", false),
        ("https://h.example/x", "https://h.example:444/x", false),
        ("https://h.example/x", "https://other.example/x", false),
    ] {
        let scheme = Scheme::compile(&webhook("twilio-form"), Some(given)).unwrap();
        let mut own = headers(&case);
        let tag = STANDARD.encode(hmac::sign(&key, format!("{signed}{row}").as_bytes()));
        own.insert("x-twilio-signature", HeaderValue::from_str(&tag).unwrap());
        let examined = scheme.examine(&Head { method: &Method::POST, query: None, headers: &own }, NOW).unwrap();
        let body = Bytes::from(STANDARD.decode(case["body_base64"].as_str().unwrap()).unwrap());
        let proven = scheme.prove(&examined, body, MOST, &ring(&scheme, &case), NOW);
        assert_eq!(proven.is_ok(), holds, "{given} {signed}");
    }
}

/// A JWT with these parts, signed with the first key of the vectors.
fn token(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"test-secret-for-vectors-only-0123456789abcdef");
    let tag = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(tag))
}

/// W-08: a token of the right key proves a body only where it is one for it.
#[test]
fn only_a_token_for_this_body_proves_it() {
    let case = good("livekit-webhook");
    let body = STANDARD.decode(case["body_base64"].as_str().unwrap()).unwrap();
    let hash = STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body));
    let now = case["now"].as_i64().unwrap();
    let good_header = json!({ "alg": "HS256", "typ": "JWT" });
    let claims = json!({ "iss": "APIvectorKey0001", "exp": now + 300, "nbf": now, "sha256": hash });
    let outcome = |header: &Value, claims: &Value, before: &str| {
        let mut own = headers(&case);
        let value = format!("{before}{}", token(header, claims));
        own.insert("authorization", HeaderValue::from_str(&value).unwrap());
        judge_with("livekit-webhook", &case, own).map(drop)
    };
    let with = |name: &str, value: Value| {
        let mut own = claims.clone();
        own[name] = value;
        own
    };
    let without = |name: &str| {
        let mut own = claims.clone();
        own.as_object_mut().unwrap().remove(name);
        own
    };
    assert_eq!(outcome(&good_header, &claims, ""), Ok(()));
    assert_eq!(outcome(&good_header, &claims, "Bearer "), Err(Reason::Malformed.into()));
    for alg in ["none", "HS512", "HS384", "hs256", "RS256", ""] {
        assert_eq!(outcome(&json!({ "alg": alg }), &claims, ""), Err(Reason::BadAlgorithm.into()), "{alg}");
    }
    assert_eq!(outcome(&json!({ "alg": "HS256", "crit": ["x"] }), &claims, ""), Err(Reason::Malformed.into()));
    for (claims, reason) in [
        (without("sha256"), Reason::HashMissing),
        (with("sha256", "".into()), Reason::HashMissing),
        (with("sha256", hash.trim_end_matches('=').into()), Reason::HashMismatch),
        (with("sha256", 7.into()), Reason::HashMissing),
        (without("exp"), Reason::ExpMissing),
        (with("exp", (now - 60).into()), Reason::Expired),
        (with("exp", "1e400".into()), Reason::Malformed),
        (with("exp", (-1).into()), Reason::Expired),
        (with("nbf", (now + 61).into()), Reason::NotYetValid),
        (with("iss", "APIvectorKey0002".into()), Reason::BadSignature),
        (with("iss", "APIother".into()), Reason::UnknownKey),
        (without("iss"), Reason::UnknownKey),
    ] {
        assert_eq!(outcome(&good_header, &claims, ""), Err(reason.into()), "{claims}");
    }
    assert_eq!(outcome(&good_header, &with("exp", (now - 59).into()), ""), Ok(()));
    assert_eq!(outcome(&good_header, &with("nbf", (now + 60).into()), ""), Ok(()));
}

/// W-10: a body as deep as it likes costs no stack, and is delivered: a user wrote it, and others wait behind it.
#[test]
fn what_is_too_deep_is_not_looked_into() {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"whsec_0123456789abcdef0123456789abcdef0123456789abcdef");
    for (depth, event) in [(63, Some("deep")), (64, None), (500_000, None)] {
        let body = format!("{{\"event\":\"deep\",\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let tag = HEXLOWER.encode(hmac::sign(&key, body.as_bytes()).as_ref());
        let mut case = good("sendsar-webhook");
        case["headers"] = json!({ "x-webhook-signature": format!("sha256={tag}") });
        case["body_base64"] = STANDARD.encode(body).into();
        assert_eq!(judge("sendsar-webhook", &case).unwrap().event.as_deref(), event, "{depth}");
    }
}

/// W-15: a challenge is answered after its proof, with visible text and nothing else.
#[test]
fn a_challenge_is_answered_after_its_proof_with_visible_text() {
    let answer = |challenge: Value, sign: bool| {
        let body = json!({ "type": "url_verification", "challenge": challenge }).to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"8f742231b10e8888abcd99yyyzzz85a5");
        let text = if sign { format!("v0:1777920123:{body}") } else { body.clone() };
        let tag = HEXLOWER.encode(hmac::sign(&key, text.as_bytes()).as_ref());
        let mut case = good("slack-v0");
        case["headers"] =
            json!({ "x-slack-signature": format!("v0={tag}"), "x-slack-request-timestamp": "1777920123" });
        case["body_base64"] = STANDARD.encode(body).into();
        judge("slack-v0", &case).map(|proven| proven.challenge)
    };
    assert_eq!(answer("3eZbrw1aBm2rZgRNFdxV".into(), true), Ok(Some(Answer::Text("3eZbrw1aBm2rZgRNFdxV".to_owned()))));
    assert_eq!(answer("3eZbrw1aBm2rZgRNFdxV".into(), false), Err(Reason::Mismatch.into()));
    for wrong in [
        json!("a b"),
        json!("a\r\nset-cookie: x"),
        json!("\u{e9}"),
        json!(""),
        json!("x".repeat(257)),
        json!(7),
        json!(null),
    ] {
        assert_eq!(answer(wrong.clone(), true), Err(Reason::BadBody.into()), "{wrong}");
    }
}

/// W-15: an unproven question is answered to the one who knows the secret, or to a listed origin.
#[test]
fn a_handshake_is_answered_with_visible_text_to_the_right_one() {
    let text = r#"
        secret = "webhook_secret"
        hmac = "sha256"
        text = "{{ request.body }}"
        signature = { header = "x-signature", encode = "hex" }
        challenge = [
            { method = "GET", query = "hub.challenge", require = { query = "hub.verify_token", secret = "verify_token" } },
            { method = "OPTIONS", header = "WebHook-Request-Origin", allow = ["events.example.com"] },
        ]
    "#;
    let scheme = Scheme::compile(&toml::from_str(text).unwrap(), None).unwrap();
    let required = vec![("verify_token".to_owned(), Credential::of(b"right"))];
    let keys = Keys { generation: 1, all: Vec::new(), required };
    let ring = Ring::at(std::sync::Arc::new(keys), SystemClock.moment());
    let ask = |method: Method, query: Option<&str>, origin: Option<&'static str>| {
        let headers = origin.map(|origin| (name("webhook-request-origin"), HeaderValue::from_static(origin)));
        let headers: HeaderMap = headers.into_iter().collect();
        scheme.handshake(&Head { method: &method, query, headers: &headers }, &ring)
    };
    let echo = Some(Ok(Answer::Text("1158201444".to_owned())));
    assert_eq!(ask(Method::GET, Some("hub.challenge=1158201444&hub.verify_token=right"), None), echo);
    for query in [
        None,
        Some("hub.challenge=1158201444"),
        Some("hub.challenge=1158201444&hub.verify_token=wrong"),
        Some("hub.challenge=1158201444&hub.verify_token=right&hub.verify_token=right"),
        Some("hub.challenge=%3Cscript%3E%20&hub.verify_token=right"),
        Some("hub.challenge=a%0d%0ab&hub.verify_token=right"),
        Some("hub.challenge=&hub.verify_token=right"),
        Some("hub.verify_token=right"),
    ] {
        assert_eq!(ask(Method::GET, query, None), Some(Err(Reason::Mismatch)), "{query:?}");
    }
    assert_eq!(ask(Method::HEAD, None, None), None, "not in this definition");
    assert_eq!(ask(Method::POST, Some("hub.challenge=1&hub.verify_token=right"), None), None);
    let listed = Some(Ok(Answer::Origin(HeaderValue::from_static("events.example.com"))));
    assert_eq!(ask(Method::OPTIONS, None, Some("events.example.com")), listed);
    assert_eq!(ask(Method::OPTIONS, None, Some("other.example.com")), Some(Err(Reason::Mismatch)));
}
