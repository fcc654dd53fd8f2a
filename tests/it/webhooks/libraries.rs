//! Libraries that providers and applications use: what they sign is taken here, and what leaves here they take.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::fixture::{Received, SIGN_KEY};
use super::preset::{Stage, headers, of_scheme, query};
use crate::harness::NOW;
use crate::judge::judge;

const SECRET: &str = "whsec_ihrB2K99+aN/ZBjM/e+G0rvNvWbd6XEi";
const OTHER_KEY: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const URL: &str = "https://hooks.example.com/webhooks/chat?a=1&b=%C3%A9";
const FORM: &str = "EventType=onMessageAdded&ConversationSid=CH1&Body=caf%C3%A9+%26+more&Tag=b&Tag=a&Tag=b&Empty=";

/// What a library signs: its judge, its name, and the scheme.
const SIGNERS: [(&str, &str, &str); 7] = [
    ("webhooks.mjs", "standardwebhooks", "standard-webhooks"),
    ("webhooks.py", "standardwebhooks", "standard-webhooks"),
    ("webhooks.mjs", "svix", "svix"),
    ("webhooks.mjs", "livekit", "livekit-webhook"),
    ("webhooks.py", "slack", "slack-v0"),
    ("webhooks.mjs", "twilio", "twilio-json"),
    ("webhooks.py", "twilio", "twilio-json"),
];

/// The secrets of a case of this scheme.
fn secrets(scheme: &str) -> Value {
    match scheme {
        "livekit-webhook" => json!({"keys": {"APIkey1": SECRET}}),
        "twilio-form" | "twilio-json" => json!({"secrets": [SECRET], "url": URL}),
        _ => json!({"secrets": [SECRET]}),
    }
}

/// Has `library` sign, sends that, and gives the answer's status.
async fn send(stage: &Stage, program: &str, library: &str, order: &Value, body: &str) -> u16 {
    let signed = judge(program, json!({"library": library, "at": NOW.as_seconds(), "sign": order}));
    stage.send("POST", &query(&signed["url"]), &headers(&signed), body.as_bytes()).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn what_libraries_of_providers_sign_is_taken() {
    let body = "{\"type\": \"message.new\",  \"event\": \"room_started\", \"id\": \"evt_1\", \"text\": \"café ✓\"}\n";
    for (program, library, scheme) in SIGNERS {
        for preset in of_scheme(scheme) {
            let stage = preset.start(&secrets(scheme), NOW).await;
            let now = NOW.as_seconds();
            let order =
                json!({"key": "APIkey1", "secret": SECRET, "id": "msg_1", "now": now, "url": URL, "body": body});
            assert_eq!(
                send(&stage, program, library, &order, body).await,
                200,
                "{program}: {library}: {}",
                preset.name
            );
            assert_eq!(stage.application.has(1).await[0].text(), body, "{library}");
            // The same with one more byte is not.
            let answer = send(&stage, program, library, &order, &format!("{body}\n")).await;
            assert_eq!(answer, 401, "{program}: {library}: {}", preset.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_that_libraries_of_twilio_sign_are_taken() {
    for program in ["webhooks.mjs", "webhooks.py"] {
        let stage = of_scheme("twilio-form")[0].start(&secrets("twilio-form"), NOW).await;
        let forms = [FORM, "a=1&A=2&a-b=3&aB=4", "x=%F0%9F%98%80&%C3%A9=y", "b=&a=%20&c=%2B+%25", "n=10&n=9&n=1"];
        for (number, form) in forms.iter().enumerate() {
            for algorithm in ["HMAC_SHA1", "HMAC_SHA256"] {
                let order = json!({"secret": SECRET, "url": URL, "form": form, "algorithm": algorithm});
                assert_eq!(send(&stage, program, "twilio", &order, form).await, 200, "{program}: {algorithm}: {form}");
                let changed = form.replacen('=', "=0", 1);
                assert_eq!(send(&stage, program, "twilio", &order, &changed).await, 401, "{program}: {changed}");
            }
            // Signed in two ways it is one event: without an id it is known by its body.
            assert_eq!(stage.application.has(number + 1).await.len(), number + 1, "{program}: {form}");
        }
    }
}

/// Whether every library takes it, with each of these keys.
fn assert_taken_by_all(received: &Received, keys: &[&str]) {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: Value = names.iter().map(|name| (*name, received.call.header(name))).collect();
    for (program, library) in
        [("webhooks.mjs", "standardwebhooks"), ("webhooks.py", "standardwebhooks"), ("webhooks.mjs", "svix")]
    {
        let case = |key: &str, body: &[u8]| {
            let now = NOW.as_seconds();
            json!({"headers": headers, "body_base64": STANDARD.encode(body), "now": now, "secrets": [key]})
        };
        let mut cases: Vec<Value> = keys.iter().map(|key| case(key, &received.call.body)).collect();
        cases.push(case(SECRET, &received.call.body));
        cases.push(case(keys[0], &[&received.call.body[..], b" "].concat()));
        let expected: Vec<bool> = keys.iter().map(|_| true).chain([false, false]).collect();
        let verdicts = judge(program, json!({"library": library, "verify": cases}));
        assert_eq!(verdicts, json!(expected), "{program}: {library}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_of_applications_take_what_is_delivered() {
    for keys in [&[SIGN_KEY][..], &[SIGN_KEY, OTHER_KEY]] {
        for (form, body) in [(true, FORM), (false, "{\"text\":\"café ✓ 你好\",\"n\":[1, 2.0]}")] {
            let mut case = secrets("twilio-form");
            case["sign_keys"] = json!(keys);
            let stage = of_scheme("twilio-form")[0].start(&case, NOW).await;
            let mut order = json!({"secret": SECRET, "url": URL, "body": body});
            if form {
                order["form"] = json!(body);
            }
            assert_eq!(send(&stage, "webhooks.mjs", "twilio", &order, body).await, 200);
            let received = stage.application.has(1).await.remove(0);
            assert_eq!(received.text(), body);
            let kind = if form { "application/x-www-form-urlencoded" } else { "application/json" };
            assert_eq!(received.call.header("content-type"), kind);
            assert_taken_by_all(&received, keys);
        }
    }
}
