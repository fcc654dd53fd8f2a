//! `sidemint webhooks send` and `verify`: what one signs the other proves, and so does the listener.

use serde_json::{Value, json};

use super::preset::{Preset, of_scheme};
use crate::cli::{bad, file, run};
use crate::presets::today;

const SCHEMES: [&str; 17] = [
    "sendsar-webhook",
    "emb-chat-webhook",
    "livekit-webhook",
    "standard-webhooks",
    "svix",
    "stream",
    "sendbird",
    "talkjs",
    "pusher",
    "ably",
    "intercom",
    "zendesk",
    "slack-v0",
    "t-v1-list",
    "cometchat-basic",
    "twilio-form",
    "twilio-json",
];

/// What the configuration of a preset needs.
fn case(preset: &Preset) -> Value {
    let secret = "whsec_ihrB2K99+aN/ZBjM/e+G0rvNvWbd6XEi";
    let secret = if preset.name == "cometchat" { "hook:a pass: word" } else { secret };
    let url = (preset.name == "twilio").then_some("https://hooks.example.com/webhooks/chat?a=1");
    json!({"secrets": [secret], "keys": {"key.1": secret}, "url": url})
}

#[test]
fn what_send_prints_verify_proves() {
    for scheme in SCHEMES {
        for preset in of_scheme(scheme) {
            let folder = tempfile::tempdir().unwrap();
            let case = case(&preset);
            let config =
                file(folder.path(), "config.toml", &preset.text(&case, folder.path(), "http://127.0.0.1:9/hooks"));
            let json = format!("{{\"time_ms\":{}, \"text\": \"café\"}}\n", today().as_millis());
            let body = file(folder.path(), "body", if scheme == "twilio-form" { "b=1&a=%20&b=2" } else { &json });
            let sent = run(&["webhooks", "send", "chat", "--config", &config, "--file", &body, "--print"], &[]);
            assert_eq!((sent.code, sent.err.as_str()), (Some(0), ""), "{}", preset.name);
            let request = file(folder.path(), "request", &sent.out);
            let judged = run(&["webhooks", "verify", "chat", "--config", &config, "--file", &request], &[]);
            assert_eq!(
                (judged.code, judged.out.as_str(), judged.err.as_str()),
                (Some(0), "ok\n", ""),
                "{}",
                preset.name
            );
            if scheme != "cometchat-basic" {
                let other = file(folder.path(), "other", &sent.out.replacen("\r\n\r\n", "\r\n\r\n ", 1));
                let judged = run(&["webhooks", "verify", "chat", "--config", &config, "--file", &other], &[]);
                let told = ["mismatch\n", "hash_mismatch\n"].contains(&judged.out.as_str());
                assert!(judged.code == Some(1) && told, "{}: {}", preset.name, judged.out);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn send_posts_to_the_listener_and_tells_the_status() {
    for scheme in ["sendsar-webhook", "twilio-json", "livekit-webhook"] {
        let preset = of_scheme(scheme).remove(0);
        let stage = preset.start(&case(&preset), today()).await;
        let (folder, text) = (tempfile::tempdir().unwrap(), "{\"event\": \"message.created\"}");
        let config =
            file(folder.path(), "config.toml", &preset.text(&case(&preset), folder.path(), "http://127.0.0.1:9/"));
        let body = file(folder.path(), "body.json", text);
        let to = format!("http://{}/webhooks/chat", stage.service.webhooks.unwrap());
        let send = |name: &str, to: &str| {
            run(&["webhooks", "send", name, "--config", &config, "--file", &body, "--to", to], &[])
        };
        let sent = send("chat", &to);
        assert_eq!((sent.code, sent.out.as_str(), sent.err.as_str()), (Some(0), "200\n", ""), "{scheme}");
        assert_eq!(stage.application.has(1).await[0].text(), text);
        let other = send("chat", &format!("{to}s"));
        assert_eq!((other.code, other.out.starts_with("404 ")), (Some(1), true), "{}", other.out);
    }
}

#[test]
fn mistakes_end_with_two() {
    let (folder, preset) = (tempfile::tempdir().unwrap(), of_scheme("sendsar-webhook").remove(0));
    let config = file(folder.path(), "config.toml", &preset.text(&case(&preset), folder.path(), "http://127.0.0.1:9/"));
    let request = file(folder.path(), "request", "{}");
    let verify =
        |name: &str, file: &str| bad(2, &["webhooks", "verify", name, "--config", &config, "--file", file], &[]);
    assert_eq!(verify("chit", &request), "sidemint: no webhook \"chit\"; configured: chat; did you mean chat?\n");
    let told = format!("sidemint: --file {request}: this is no HTTP/1.1 request: invalid token\n");
    assert_eq!(verify("chat", &request), told);
    assert!(verify("chat", "/nowhere/at/all").contains("No such file"));
    std::fs::remove_dir_all(folder.path().join("secrets")).unwrap();
    assert!(verify("chat", &request).contains("providers.events.webhook_secret"));
}
