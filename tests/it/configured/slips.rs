//! Slips of honest operators, as data: what editors, shells and consoles add to secrets and settings, names of variables
//! and of grants. Each is refused with the file or variable that it stands in, or has no effect on what is minted.

use std::fs;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::cli::{Ran, run};
use crate::harness::config;

const ROUTE: &str = "
[[routes]]
path = \"/api/chat/session\"
answer = \"session\"
provider = \"chat\"
[providers.chat]
";

/// Mints one session from a case, as an operator would.
fn mint(case: &Value) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().display().to_string();
    for (name, content) in case["files"].as_object().into_iter().flatten() {
        let bytes = match content["base64"].as_str() {
            Some(text) => STANDARD.decode(text).unwrap(),
            None => content["text"].as_str().unwrap().as_bytes().to_vec(),
        };
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let provider = case["provider"].as_str().unwrap().replace("DIR", &here);
    let file = folder.path().join("config.toml");
    fs::write(&file, config(&format!("{ROUTE}{provider}"), &[])).unwrap();
    let set: Vec<(&str, &str)> =
        case["env"].as_object().into_iter().flatten().map(|(k, v)| (k.as_str(), v.as_str().unwrap())).collect();
    let file = file.display().to_string();
    let mut ran = run(&["--config", &file, "mint", "--user", "alice"], &set);
    ran.err = ran.err.replace(&format!("{here}/config.toml"), "config.toml");
    ran
}

fn token(ran: &Ran) -> String {
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let session: Value = serde_json::from_str(&ran.out).unwrap();
    session["token"].as_str().unwrap().to_owned()
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn is_signed_with(token: &str, secret: &str) -> bool {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::verify(&key, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).is_ok()
}

#[test]
fn a_slip_is_told_or_has_no_effect() {
    let all: Value = serde_json::from_str(include_str!("../../vectors/operator-slips.json")).unwrap();
    for case in all["cases"].as_array().unwrap() {
        let (name, expected) = (&case["name"], &case["expected"]);
        let ran = mint(case);
        if let Some(parts) = expected["refused"].as_array() {
            assert_eq!(ran.code, Some(2), "{name}: {}{}", ran.out, ran.err);
            for part in parts {
                assert!(ran.err.contains(part.as_str().unwrap()), "{name}: no {part} in {}", ran.err);
            }
            // Of a value that is refused, nothing is shown: it may be a secret (T-36).
            assert!(!ran.err.contains("0123456789abcdef"), "{name}: {}", ran.err);
        } else if let Some(secret) = expected["secret"].as_str() {
            assert!(is_signed_with(&token(&ran), secret), "{name}");
        } else {
            let claims = claims(&token(&ran));
            for (claim, value) in expected["claims"].as_object().unwrap() {
                assert_eq!(claims[claim], *value, "{name}");
            }
        }
    }
}
