//! Declared encodings, payloads and conditions, on sources of the operator's own.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::canary::{Traces, assert_clean};
use crate::harness::SESSION;

use super::{Client, Line, line, seconds, service, service_with, wait};

fn own(headers: &str) -> String {
    format!("{{ kind = \"headers\", headers = {{ {headers} }} }}")
}

fn user(value: impl AsRef<[u8]>) -> Vec<Line> {
    vec![line("X-User", value)]
}

/// An encoding, values with the subject they hold, and values that are refused.
type Case = (&'static str, &'static [(&'static [u8], &'static str)], &'static [&'static [u8]]);

const CASES: [Case; 7] = [
    ("utf8", &[("jörg".as_bytes(), "jörg"), (b"=?utf-8?q?x?=", "=?utf-8?q?x?="), (b"a%40b", "a%40b")], &[b"j\xf6rg"]),
    ("latin1", &[(b"j\xf6rg", "jörg"), (b"alice", "alice")], &[]),
    (
        "rfc2047",
        &[(b"=?utf-8?q?j=C3=B6rg?=", "jörg"), (b"alice", "alice")],
        &["jörg".as_bytes(), b"=?utf-8?q?alice?= mallory", b"=?iso-8859-1?q?j=F6rg?=", b"=?utf-8?q?=zz?="],
    ),
    (
        "percent",
        &[(b"j%C3%B6rg", "jörg"), (b"a%2540b", "a%40b"), (b"a+b", "a+b")],
        &["jörg".as_bytes(), b"a%4", b"a%zz", b"%ff"],
    ),
    ("json", &[(b"\"j\\u00f6rg\"", "jörg"), (b"\"alice\"", "alice")], &[b"alice", b"\"alice", b"1", b"\"\\ud800\""]),
    (
        "base64",
        &[(b"asO2cmc=", "jörg"), (b"asO2cmc", "jörg"), (b"Pj4+Pw", ">>>?")],
        &[b"asO2cmd=", b"asO2cmc==", b"Pj4+Pw=", b"alice", b"/w==", b"Pj4-Pw"],
    ),
    ("base64url", &[(b"asO2cmc", "jörg"), (b"asO2cmc=", "jörg")], &[b"asO2cmd", b"asO2 cmc", b"_w", b"a.b"]),
];

/// Each encoding is read as declared, once, and anything else in its place is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_subject_is_in_the_declared_encoding_or_refused() {
    for (encoding, good, bad) in CASES {
        let table = own(&format!("subject = {{ header = \"X-User\", encoding = \"{encoding}\" }}"));
        let service = service("own", &table).await;
        let mut client = Client::of(&service).await;
        for (value, subject) in good {
            assert_eq!(client.claims(&user(value)).await["sub"], *subject, "{encoding}");
        }
        for value in bad {
            client.refused(&user(value), "encoding").await;
        }
        // Proxies do not encode what they send instead of a value.
        for (value, reason) in [("", "absent"), ("-", "absent"), ("(null)", "absent"), ("${user}", "template")] {
            client.refused(&user(value), reason).await;
        }
    }
}

/// What decoding reveals is judged like anything else.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_encoding_hides_is_found() {
    for (encoding, values) in [
        ("latin1", &[("a\u{85}b", "character"), ("a, b", "duplicate")][..]),
        (
            "percent",
            &[
                ("a%00b", "character"),
                ("a%0d%0ab", "character"),
                ("%E2%80%AEroot", "character"),
                ("%20%20", "absent"),
                ("%28null%29", "absent"),
                ("%24%7Buser%7D", "template"),
                ("a%2C%20b", "duplicate"),
            ],
        ),
        (
            "json",
            &[
                ("\"a\\u0000b\"", "character"),
                ("\"\"", "absent"),
                ("\"ro\\u200bot\"", "character"),
                ("\"null\"", "absent"),
            ],
        ),
        ("base64url", &[("YQBi", "character"), ("LQ", "absent"), ("JHt1c2VyfQ", "template")]),
        (
            "rfc2047",
            &[("=?utf-8?q?a=00b?=", "character"), ("=?utf-8?q?=7Bid=7D?=", "template"), ("=?utf-8?q??=", "absent")],
        ),
    ] {
        let table = own(&format!("subject = {{ header = \"X-User\", encoding = \"{encoding}\" }}"));
        let service = service("own", &table).await;
        let mut client = Client::of(&service).await;
        for (value, reason) in values {
            let bytes = if encoding == "latin1" {
                value.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
            } else {
                value.as_bytes().to_vec()
            };
            client.refused(&user(bytes), reason).await;
        }
    }
}

/// T-13: blanks around a subject are part of it, however it comes in, so it is refused: taken off, two users would be one.
/// Only what stands around a whole header line is no part of it (RFC 9110, 5.5).
#[tokio::test(flavor = "multi_thread")]
async fn blanks_around_a_subject_are_refused() {
    for (encoding, values) in [
        ("percent", &["%20alice", "alice%20", "%09alice", "alice%0a", "%20alice%20"][..]),
        ("json", &["\" alice\"", "\"alice \"", "\"alice\\n\"", "\"\\talice\""]),
        ("rfc2047", &["=?utf-8?q?_alice?=", "=?utf-8?b?YWxpY2Ug?=", "=?utf-8?q?alice_?="]),
        ("base64", &["IGFsaWNl", "YWxpY2Ug", "YWxpY2UK"]),
        ("base64url", &["IGFsaWNl", "YWxpY2Ug", "YWxpY2UK"]),
    ] {
        let table = own(&format!("subject = {{ header = \"X-User\", encoding = \"{encoding}\" }}"));
        let service = service("own", &table).await;
        let mut client = Client::of(&service).await;
        for value in values {
            client.refused(&user(value), "character").await;
        }
    }
    let payloads = ["base64url", "base64", "percent", "utf8"];
    for encoding in payloads {
        let table = format!("{{ issuer = \"i\", headers = {{ payload = {{ encoding = \"{encoding}\" }} }} }}");
        let service = service("envoy-payload", &table).await;
        let mut client = Client::of(&service).await;
        let told = |subject: &str| {
            let text = json!({ "iss": "i", "exp": seconds(9), "sub": subject }).to_string();
            let value = match encoding {
                "base64url" => URL_SAFE_NO_PAD.encode(text),
                "base64" => STANDARD.encode(text),
                _ => text,
            };
            [line("x-jwt-payload", value)]
        };
        assert_eq!(client.claims(&told("alice")).await["sub"], "alice", "{encoding}");
        for subject in [" alice", "alice ", "alice\n", "\talice"] {
            client.refused(&told(subject), "character").await;
        }
    }
    // Blanks around the line itself are none of the value, in every encoding.
    let service = service("own", &own("subject = { header = \"X-User\", encoding = \"percent\" }")).await;
    let mut client = Client::of(&service).await;
    assert_eq!(client.claims(&user(" \talice ")).await["sub"], "alice");
}

/// What is for people, and groups, is dropped where a subject would be refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_cannot_be_decoded_is_left_out() {
    let table = own(
        "subject = \"X-User\", name = { header = \"X-Name\", encoding = \"percent\" }, avatar = { header = \"X-Pic\", encoding = \"percent\" }, email = { header = \"X-Mail\", encoding = \"json\" }, groups = { header = \"X-Groups\", encoding = \"json\" }, group_separator = \";\"",
    );
    let service = service("own", &table).await;
    let mut client = Client::of(&service).await;
    let mut told = async |lines: &[(&str, &str)]| {
        let lines: Vec<Line> =
            user("alice").into_iter().chain(lines.iter().map(|(name, value)| line(name, value))).collect();
        let claims = client.claims(&lines).await;
        ["name", "picture", "email", "groups"].map(|member| claims[member].clone())
    };
    let none = [Value::Null, Value::Null, Value::Null, json!([])];
    assert_eq!(
        told(&[
            ("X-Name", "J%C3%B6rg"),
            ("X-Pic", "https://x.example/a%2Bb"),
            ("X-Mail", "\"a@b\""),
            ("X-Groups", "[\"a;b\",\" c \",\"\",\"c\\n\"]")
        ])
        .await,
        [json!("Jörg"), json!("https://x.example/a+b"), json!("a@b"), json!(["a;b", " c "])]
    );
    assert_eq!(told(&[("X-Groups", "\"a; b\"")]).await[3], json!(["a", "b"]));
    assert_eq!(told(&[("X-Name", "%ff"), ("X-Pic", "%zz"), ("X-Mail", "a@b"), ("X-Groups", "a;b")]).await, none);
    for picture in [
        "http://x.example/a",
        "javascript:alert(1)",
        "https://user@x.example/",
        "//x.example/a",
        "https://x.example/%00",
    ] {
        let escaped = picture.replace("%00", "%2500").replace(':', "%3A");
        let expected = if picture.ends_with("%00") { json!(picture) } else { Value::Null };
        assert_eq!(told(&[("X-Pic", &escaped)]).await[1], expected, "{picture}");
    }
    let many: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let groups = told(&[("X-Groups", &json!(many).to_string())]).await[3].clone();
    assert_eq!(groups.as_array().map(Vec::len), Some(256), "groups are bounded");
}

/// Plain pictures are https as well, on the path without decoding.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_picture_is_https() {
    let service = service("own", &own("subject = \"X-User\", avatar = \"X-Pic\"")).await;
    let mut client = Client::of(&service).await;
    for (picture, fine) in
        [("https://x.example/a.png", true), ("http://x.example/a.png", false), ("data:image/png,", false)]
    {
        let claims = client.claims(&[user("alice"), vec![line("X-Pic", picture)]].concat()).await;
        assert_eq!(claims.get("picture").is_some(), fine, "{picture}");
    }
}

fn payload(claims: &Value) -> Vec<Line> {
    vec![line("x-jwt-payload", URL_SAFE_NO_PAD.encode(claims.to_string()))]
}

/// A forwarded payload still ends, and is of one issuer.
#[tokio::test(flavor = "multi_thread")]
async fn a_payload_has_an_issuer_and_an_end() {
    let service = service("envoy-payload", "{ issuer = \"https://idp.example.com/\" }").await;
    let mut client = Client::of(&service).await;
    let claims = |change: &[(&str, Value)]| {
        let mut claims = json!({ "iss": "https://idp.example.com/", "sub": "alice", "exp": seconds(10) });
        for (member, value) in change {
            claims[*member] = value.clone();
        }
        payload(&claims)
    };
    assert_eq!(client.claims(&claims(&[])).await["sub"], "alice");
    let padded =
        URL_SAFE.encode(json!({ "iss": "https://idp.example.com/", "sub": "robin", "exp": seconds(9) }).to_string());
    assert!(padded.ends_with('='));
    assert_eq!(client.claims(&[line("x-jwt-payload", padded)]).await["sub"], "robin");
    for (change, reason) in [
        ([("iss", json!("https://idp.example.com"))], "issuer"),
        ([("iss", json!("https://evil.example/"))], "issuer"),
        ([("iss", json!(["https://idp.example.com/"]))], "issuer"),
        ([("iss", Value::Null)], "issuer"),
        ([("exp", Value::Null)], "claim"),
        ([("exp", json!("9999999999"))], "claim"),
        ([("exp", json!(-1))], "claim"),
        ([("exp", json!(true))], "claim"),
        ([("exp", json!(seconds(-61)))], "expired"),
        ([("sub", json!(1042))], "claim"),
        ([("sub", json!(["alice"]))], "claim"),
        ([("sub", json!({ "id": "alice" }))], "claim"),
        ([("sub", Value::Null)], "subject_missing"),
        ([("sub", json!(""))], "subject_missing"),
        ([("sub", json!("anonymous"))], "subject_missing"),
    ] {
        client.refused(&claims(&change), reason).await;
    }
    for text in [
        "{\"iss\":\"https://idp.example.com/\",\"sub\":\"alice\",\"sub\":\"bob\",\"exp\":9999999999}",
        "{\"iss\":\"https://idp.example.com/\",\"sub\":\"alice\",\"x\":[{\"a\":1,\"a\":2}],\"exp\":9999999999}",
        "[]",
        "null",
        "\"alice\"",
        "{",
    ] {
        client.refused(&[line("x-jwt-payload", URL_SAFE_NO_PAD.encode(text))], "encoding").await;
    }
    let deep = format!("{{\"a\":{}", "[".repeat(9000));
    client.refused(&[line("x-jwt-payload", URL_SAFE_NO_PAD.encode(deep))], "encoding").await;
    client.refused(&[line("x-jwt-payload", "a.b.c")], "encoding").await;
    // The one leeway, for payloads as well.
    wait(&service, 39);
    assert_eq!(client.claims(&claims(&[])).await["sub"], "alice");
    wait(&service, 1);
    client.refused(&claims(&[]), "expired").await;
}

/// T-29: the leeway is one setting for every source that looks at a time.
#[tokio::test(flavor = "multi_thread")]
async fn a_payload_ends_by_the_one_leeway() {
    for (leeway, life) in [("0s", 10), ("60s", 70)] {
        let leeway = format!("{leeway:?}");
        let settings = [("identity.peers.networks", "[\"127.0.0.0/8\"]"), ("identity.leeway", &leeway)];
        let service = service_with("envoy-payload", "{ issuer = \"i\" }", &settings).await;
        let mut client = Client::of(&service).await;
        let claims = payload(&json!({ "iss": "i", "sub": "alice", "exp": seconds(10) }));
        wait(&service, life - 1);
        client.claims(&claims).await;
        wait(&service, 1);
        client.refused(&claims, "expired").await;
    }
}

/// Only a verified address is an address.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_must_be_verified_where_the_payload_tells() {
    let service = service("envoy-payload", "{ issuer = \"i\", header = \"x-jwt\" }").await;
    let mut client = Client::of(&service).await;
    for (verified, fine) in
        [(json!(true), true), (json!("true"), true), (json!(false), false), (Value::Null, false), (json!(1), false)]
    {
        let claims = json!({ "iss": "i", "sub": "a", "exp": seconds(9), "email": "a@b", "email_verified": verified });
        let lines = [line("x-jwt", URL_SAFE_NO_PAD.encode(claims.to_string()))];
        assert_eq!(client.claims(&lines).await.get("email").is_some(), fine, "{verified}");
    }
}

/// T-13: an address that was not verified is no user either; where another claim tells the user, it does not matter.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_must_be_verified_to_be_the_user() {
    let own = "{ issuer = \"i\", header = \"x-jwt\", headers = { subject = { claim = [\"uid\", \"email\"] } } }";
    let service = service("envoy-payload", own).await;
    let mut client = Client::of(&service).await;
    let told = |over: Value| {
        let mut claims = json!({ "iss": "i", "exp": seconds(9), "email": "a@b.example", "email_verified": false });
        for (name, value) in over.as_object().expect("a table") {
            claims[name] = value.clone();
        }
        [line("x-jwt", URL_SAFE_NO_PAD.encode(claims.to_string()))]
    };
    client.refused(&told(json!({})), "claim").await;
    client.claims(&told(json!({ "email_verified": true }))).await;
    client.claims(&told(json!({ "uid": "u1" }))).await;
}

/// Azure: the provider is pinned, because another one's ids are other people; a broken principal costs the name, not the
/// user.
#[tokio::test(flavor = "multi_thread")]
async fn a_principal_is_of_the_pinned_provider() {
    let service = service("azure-easy-auth", "").await;
    let mut client = Client::of(&service).await;
    let id = || line("X-MS-CLIENT-PRINCIPAL-ID", "5b54");
    let idp = |name: &str| line("X-MS-CLIENT-PRINCIPAL-IDP", name);
    client.refused(&[id()], "condition").await;
    client.refused(&[id(), idp("google")], "condition").await;
    client.refused(&[id(), idp("AAD")], "condition").await;
    client.refused(&[id(), idp("aad"), idp("aad")], "duplicate").await;
    client.refused(&[id(), idp("aad"), line("X_MS_CLIENT_PRINCIPAL_IDP", "aad")], "alias").await;
    let pairs = |claims: Value| line("X-MS-CLIENT-PRINCIPAL", STANDARD.encode(json!({ "claims": claims }).to_string()));
    let twice = pairs(json!([{ "typ": "name", "val": "Alice" }, { "typ": "name", "val": "Mallory" }]));
    for broken in [line("X-MS-CLIENT-PRINCIPAL", "%%%"), line("X-MS-CLIENT-PRINCIPAL", "e30="), twice] {
        let claims = client.claims(&[id(), idp("aad"), broken]).await;
        assert_eq!((claims["sub"].as_str(), claims.get("name")), (Some("5b54"), None));
    }
    let groups = pairs(json!([{ "typ": "groups", "val": "a,b" }, { "typ": "groups", "val": "c" }]));
    assert_eq!(client.claims(&[id(), idp("aad"), groups]).await["groups"], json!(["a,b", "c"]));
    // One odd claim costs itself, and padding does not matter.
    for odd in [json!(1), json!(true), json!(null), json!({ "a": 1 }), json!(["a"])] {
        let claims = json!([{ "typ": "name", "val": "Jörg" }, { "typ": "groups", "val": "c" }, { "typ": "x", "val": odd },
            { "typ": odd, "val": "x" }, odd]);
        let bare = json!({ "claims": claims.clone(), "auth_typ": odd, "name_typ": odd }).to_string();
        let bare = line("X-MS-CLIENT-PRINCIPAL", STANDARD_NO_PAD.encode(bare));
        for principal in [pairs(claims), bare] {
            let claims = client.claims(&[id(), idp("aad"), principal]).await;
            assert_eq!((&claims["name"], &claims["groups"]), (&json!("Jörg"), &json!(["c"])), "{odd}");
        }
    }
}

/// Tailscale: what Funnel lets in from the internet is no user of the tailnet, even with headers of one.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_from_the_internet_is_no_user_of_the_tailnet() {
    let service = service("tailscale", "").await;
    let mut client = Client::of(&service).await;
    let funnel = line("Tailscale-Funnel-Request", "?1");
    client.refused(std::slice::from_ref(&funnel), "absent").await;
    for value in ["?1", "?0", ""] {
        let marked = [line("Tailscale-User-Login", "a@b"), line("Tailscale-Funnel-Request", value)];
        client.refused(&marked, "condition").await;
    }
    let hidden = [line("Tailscale-User-Login", "a@b"), funnel, line("Connection", "tailscale-funnel-request")];
    client.refused(&hidden, "listed_in_connection").await;
}

/// Lower case is made once, before anything is judged or kept: one user, one session.
#[tokio::test(flavor = "multi_thread")]
async fn a_subject_in_lower_case_is_one_user() {
    let service = service("own", &own("subject = \"X-User\", subject_case = \"lower\", nobody = [\"guest\"]")).await;
    let mut client = Client::of(&service).await;
    for subject in ["Jörg@Example.com", "JÖRG@EXAMPLE.COM", "jörg@example.com"] {
        assert_eq!(client.claims(&user(subject)).await["sub"], "jörg@example.com");
    }
    let minted = service.metric("sidemint_sessions_total{how=\"minted\",route=\"/api/chat/session\"}").await;
    assert!((minted - 1.0).abs() < 0.1, "{minted}");
    for (subject, reason) in [
        ("GUEST", "absent"),
        ("Guest", "absent"),
        ("ANONYMOUS", "absent"),
        // The Kelvin sign would become a plain `k`, and its owner another user.
        ("\u{212a}evin", "character"),
        ("\u{ff32}OOT", "character"),
    ] {
        client.refused(&user(subject), reason).await;
    }
}

/// A source's own words for no user, on the path without decoding.
#[tokio::test(flavor = "multi_thread")]
async fn own_words_for_no_user_are_absent() {
    let service =
        service("own", &own("subject = \"X-User\", name = \"X-Name\", nobody = [\"Guest\", \"<no value>\"]")).await;
    let mut client = Client::of(&service).await;
    for word in ["guest", "GUEST", "<no value>", "anonymous"] {
        client.refused(&user(word), "absent").await;
        client.refused(&[user(word), vec![line("X-Name", "Alice")]].concat(), "subject_missing").await;
    }
    assert_eq!(client.claims(&user("guest2")).await["sub"], "guest2");
}

/// The encoding of Apache's module is a setting.
#[tokio::test(flavor = "multi_thread")]
async fn apache_may_write_latin1_or_base64url() {
    for (encoding, value) in [("latin1", &b"J\xf6rg"[..]), ("base64url", b"SsO2cmc")] {
        let service = service("mod-auth-openidc", &format!("{{ encoding = \"{encoding}\" }}")).await;
        let mut client = Client::of(&service).await;
        let subject = if encoding == "latin1" { "248" } else { "MjQ4" };
        let claims = client.claims(&[line("OIDC-Claim-Sub", subject), line("OIDC-Claim-Name", value)]).await;
        assert_eq!((claims["sub"].as_str(), claims["name"].as_str()), (Some("248"), Some("Jörg")));
    }
}

/// T-33: what is decoded is personal data too; neither users nor refusals leave it anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn decoded_users_leave_no_trace() {
    let traces = Traces::capture();
    let service = service("envoy-payload", "{ issuer = \"https://idp.example.com/\" }").await;
    let mut client = Client::of(&service).await;
    for (iss, exp) in
        [("https://idp.example.com/", 300), ("https://CANARYissuer.example/", 300), ("https://idp.example.com/", -300)]
    {
        let claims = json!({
            "iss": iss, "exp": seconds(exp), "sub": "CANARYdecoded", "name": "CANARYname", "email": "CANARY@mail.example",
            "email_verified": true, "groups": ["CANARYgroup"], "picture": "https://img.example/CANARYpicture",
        });
        for value in [URL_SAFE_NO_PAD.encode(claims.to_string()), claims.to_string(), format!("CANARY{iss}")] {
            let lines = [line("x-jwt-payload", value)];
            let answer = client.send(SESSION, &lines).await;
            let fine = answer.status == 200;
            assert!(fine || answer.status == 401, "{answer:?}");
            if !fine {
                assert_clean("an answer", &format!("{answer:?} {}", answer.text()));
            }
            client.send("/auth", &lines).await;
        }
    }
    service.log_lines(18).await;
    assert_clean("the request log", &service.log());
    assert_clean("the log", &traces.text());
    assert_clean("the metrics", service.ops("/metrics").await.text());
}
