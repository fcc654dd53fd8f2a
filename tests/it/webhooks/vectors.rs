//! Every case of the files of webhooks, as its provider sends it: at the listener, and at `sidemint webhooks verify`.

use std::io::Write as _;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sidemint::clock::Timestamp;
use sidemint::config::Environment;
use tokio::task::JoinSet;

use super::preset::{Preset, headers, of_scheme, query, unpacked};
use crate::cli::{Ran, file, sidemint};
use crate::client::request;
use crate::harness::{NOW, clock, draw};

/// Services that run at the same time.
const AT_ONCE: usize = 8;

/// Schemes and their cases.
fn schemes() -> Vec<(String, Vec<Value>)> {
    let files = [
        include_str!("../../vectors/sendsar-webhook.json"),
        include_str!("../../vectors/emb-chat-webhook.json"),
        include_str!("../../vectors/livekit-webhook.json"),
        include_str!("../../vectors/webhook-schemes.json"),
    ];
    let mut schemes = Vec::new();
    for text in files {
        let file: Value = serde_json::from_str(text).expect("JSON");
        let all = file["schemes"].as_array().cloned().unwrap_or_else(|| vec![file.clone()]);
        schemes.extend(all.iter().map(|one| {
            (one["scheme"].as_str().expect("a name").to_owned(), one["cases"].as_array().expect("cases").clone())
        }));
    }
    let cases: usize = schemes.iter().map(|(_, cases)| cases.len()).sum();
    assert_eq!((schemes.len(), cases), (17, 187));
    schemes
}

/// The time that a case is judged at; those of schemes without one have none.
fn now(case: &Value) -> Timestamp {
    case["now"].as_i64().map_or(NOW, Timestamp::from_seconds)
}

fn body(case: &Value) -> Vec<u8> {
    STANDARD.decode(case["body_base64"].as_str().expect("a body")).expect("base64")
}

fn method(case: &Value) -> &str {
    case["method"].as_str().unwrap_or("POST")
}

/// An empty key is refused when it is configured: no request comes to be judged.
fn has_no_key(case: &Value) -> bool {
    case["keys"].as_object().is_some_and(|keys| keys.values().any(|key| key == ""))
}

/// What is wrong, if anything.
async fn at_the_listener(preset: &Preset, case: &Value) -> Result<(), String> {
    let stage = preset.start(case, now(case)).await;
    let sent = body(case);
    let answer = stage.send(method(case), &query(&case["url"]), &headers(case), &sent).await;
    let is_text = std::str::from_utf8(&sent).is_ok() || sent.starts_with(&[0x1f, 0x8b]);
    let (status, outcome) = match (&case["valid"], method(case)) {
        (Value::Bool(true), "GET") => (405, None),
        // What the application could not verify.
        (Value::Bool(true), _) if !is_text => (415, Some("unsupported")),
        (Value::Bool(true), _) => (200, Some("accepted")),
        (Value::Bool(false), _) => (401, case["reason"].as_str()),
        // A policy: one header, one spelling.
        (_, _) => (401, Some("malformed")),
    };
    if answer.status != status {
        return Err(format!("{} instead of {status}", answer.status));
    }
    if let Some(outcome) = outcome
        && stage.ended(outcome).await < 1.0
    {
        return Err(format!("it did not end as {outcome}"));
    }
    if status == 200 {
        if stage.delivered().await.call.body != unpacked(&sent) {
            return Err("the application has another body".to_owned());
        }
    } else if !stage.application.received().is_empty() {
        return Err("the application was told".to_owned());
    }
    Ok(())
}

/// The same, where the configuration may be refused already.
async fn judge(preset: Preset, case: Value) -> Result<(), String> {
    if has_no_key(&case) {
        let folder = tempfile::tempdir().unwrap();
        let text = preset.text(&case, folder.path(), "http://127.0.0.1:9/hooks");
        let refused = draw(&text, &Environment::default(), clock()).map(|_| ()).expect_err("refused").to_string();
        assert!(refused.contains("webhook_keys"), "{refused}");
        return Ok(());
    }
    at_the_listener(&preset, &case).await.map_err(|problem| format!("{}: {}: {problem}", preset.name, case["name"]))
}

/// Some at once: each opens a queue, and what it waits for is the disk.
#[tokio::test(flavor = "multi_thread")]
async fn every_case_ends_at_the_listener_as_its_vector_says() {
    let (mut wrong, mut under_way) = (Vec::new(), JoinSet::<Result<(), String>>::new());
    for (scheme, cases) in schemes() {
        for case in cases {
            for preset in of_scheme(&scheme) {
                if under_way.len() == AT_ONCE {
                    wrong.extend(under_way.join_next().await.and_then(|judged| judged.unwrap().err()));
                }
                under_way.spawn(judge(preset, case.clone()));
            }
        }
    }
    wrong.extend(under_way.join_all().await.into_iter().filter_map(Result::err));
    assert_eq!(wrong, Vec::<String>::new());
}

/// Runs `webhooks verify` with this request on standard input.
fn verify(config: &str, at: Timestamp, request: &[u8]) -> Ran {
    let at = at.as_seconds().to_string();
    let arguments = ["webhooks", "verify", "chat", "--config", config, "--file", "-", "--at", &at];
    let mut command = sidemint(&arguments, &[]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("a pipe").write_all(request).expect("read");
    let output = child.wait_with_output().expect("ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn every_case_is_judged_on_the_command_line_as_its_vector_says() {
    let mut wrong = Vec::new();
    for (scheme, cases) in schemes() {
        for preset in of_scheme(&scheme) {
            for case in &cases {
                let folder = tempfile::tempdir().unwrap();
                let text = preset.text(case, folder.path(), "http://127.0.0.1:9/hooks");
                let config = file(folder.path(), "config.toml", &text);
                let target = format!("/webhooks/chat{}", query(&case["url"]));
                let ran = verify(&config, now(case), &request(method(case), &target, &headers(case), &body(case)));
                let told = match (&case["valid"], case["reason"].as_str()) {
                    _ if has_no_key(case) => (Some(2), String::new()),
                    (Value::Bool(true), _) => (Some(0), "ok\n".to_owned()),
                    (Value::Bool(false), Some(reason)) => (Some(1), format!("{reason}\n")),
                    (_, _) => (Some(1), "malformed\n".to_owned()),
                };
                if (ran.code, &ran.out) != (told.0, &told.1) {
                    wrong.push(format!(
                        "{}: {}: {told:?}, not {:?} {}",
                        preset.name,
                        case["name"],
                        (ran.code, ran.out),
                        ran.err
                    ));
                }
                assert!(!folder.path().join("queue").exists(), "no store is opened");
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Requests as a real livekit-server sent them.
#[test]
fn captures_of_a_livekit_server_are_proven() {
    let captures = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/livekit-captures")).unwrap();
    let captures: Vec<Vec<u8>> = captures.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    assert_eq!(captures.len(), 4);
    let (folder, preset) = (tempfile::tempdir().unwrap(), of_scheme("livekit-webhook").remove(0));
    let keys = serde_json::json!({"keys": {"APItestkey0001": "secretsecretsecretsecretsecret123"}});
    let config = file(folder.path(), "config.toml", &preset.text(&keys, folder.path(), "http://127.0.0.1:9/hooks"));
    let at = Timestamp::from_seconds(1_796_030_140);
    for capture in captures {
        let text = String::from_utf8(capture).unwrap();
        // As captured; with the line ends of an editor; without a length.
        let short = text.replace("\r\n", "\n");
        let (head, body) = short.split_once("\n\n").unwrap();
        let lines: Vec<&str> = head.lines().filter(|line| !line.starts_with("Content-Length")).collect();
        for request in [text.clone(), short.clone(), format!("{}\n\n{body}", lines.join("\n"))] {
            let ran = verify(&config, at, request.as_bytes());
            assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "ok\n", ""), "{request}");
        }
        let late = verify(&config, Timestamp::from_seconds(1_796_030_140 + 900), text.as_bytes());
        assert_eq!((late.code, late.out.as_str()), (Some(1), "expired\n"));
        let changed = verify(&config, at, text.replace("lobby", "lobbo").as_bytes());
        assert_eq!((changed.code, changed.out.as_str()), (Some(1), "hash_mismatch\n"));
    }
}
