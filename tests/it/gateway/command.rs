//! What operators see of the gateway: a new key in the shape of an SDK, and what `check` prints.

use std::os::unix::fs::PermissionsExt as _;

use super::fixture::{OTHER, SHOP, Setup};
use crate::cli::run;

/// Runs a verb over a configuration with a gateway; `DIR` stands for its folder.
fn ran(setup: &Setup, arguments: &[&str]) -> (Option<i32>, String, String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let text = setup.text(folder.path(), "http://127.0.0.1:1");
    let file = folder.path().join("config.toml");
    std::fs::write(&file, text).unwrap();
    let definitions = folder.path().join("definitions");
    std::fs::create_dir(&definitions).unwrap();
    std::fs::write(definitions.join(format!("{}.toml", setup.definition.0)), &setup.definition.1).unwrap();
    let here = folder.path().display().to_string();
    let arguments: Vec<String> = arguments.iter().map(|text| text.replace("DIR", &here)).collect();
    let common = ["--config", file.to_str().unwrap(), "--definitions", definitions.to_str().unwrap()];
    let all: Vec<&str> = arguments.iter().map(String::as_str).chain(common).collect();
    let ran = run(&all, &[]);
    (ran.code, ran.out.replace(&here, "DIR"), ran.err.replace(&here, "DIR"), folder)
}

fn shaped() -> Setup {
    let text = super::fixture::PLAIN.replace(
        "headers = [\"x-request-key\"]",
        "virtual = { key_id = \"header:X-App\", form = \"sk_{{ key }}\" }\nheaders = [\"x-request-key\"]",
    );
    Setup { definition: ("plain-calls", text), ..Setup::default() }
}

#[test]
fn a_key_is_made_in_the_shape_that_the_sdk_takes() {
    let (code, out, err, _) = ran(&shaped(), &["gateway", "key", "--caller", "shop", "--provider", "own"]);
    let lines: Vec<&str> = out.lines().collect();
    let [key, sdk, id] = lines[..] else { panic!("{code:?} {out} {err}") };
    let key = key.strip_prefix("key      ").unwrap();
    assert!(key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    assert_eq!((sdk, id), (&*format!("SDK key  sk_{key}"), "SDK id   shop"));
    assert!(err.contains("a file of gateway.callers.shop.key_files (DIR/shop)") && !err.contains(key), "{err}");
    let (_, other, ..) = ran(&shaped(), &["gateway", "key", "--caller", "shop", "--provider", "own"]);
    assert_ne!(out, other);
}

#[test]
fn a_key_goes_into_a_new_file_of_its_own() {
    let arguments = ["gateway", "key", "--caller", "crm", "--provider", "own", "--out", "DIR/new"];
    let (code, out, err, folder) = ran(&shaped(), &arguments);
    let file = folder.path().join("new");
    let key = std::fs::read_to_string(&file).unwrap();
    assert_eq!((code, out), (Some(0), format!("SDK key  sk_{key}\nSDK id   crm\n")));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(err.contains("which [gateway.callers.crm] names"), "{err}");
    // What is there is never replaced, and what it holds can be seen in the shape of another SDK.
    let (code, out, err, _) =
        ran(&shaped(), &["gateway", "key", "--caller", "shop", "--provider", "own", "--out", "DIR/shop"]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    let (code, out, ..) =
        ran(&shaped(), &["gateway", "key", "--caller", "shop", "--provider", "own", "--from", "DIR/shop"]);
    assert_eq!((code, out), (Some(0), format!("SDK key  sk_{SHOP}\nSDK id   shop\n")));
}

#[test]
fn a_mount_that_is_none_is_told() {
    let (code, _, err, _) = ran(&shaped(), &["gateway", "key", "--caller", "shop", "--provider", "onw"]);
    assert_eq!(
        (code, err.trim_end()),
        (Some(2), "sidemint: --provider: no mount \"onw\"; configured: own; did you mean own?")
    );
}

/// The operations of each grant stand there by class, so that nothing that destroys is granted unseen.
#[test]
fn check_prints_mounts_callers_and_grants() {
    let mut setup = Setup {
        allow: "[\"default\", \"room.delete\", \"-room.put\"]".to_owned(),
        grant: "only = { room = [\"shop-*\", \"lobby\"] }\nrate = \"50/s\"".to_owned(),
        ..Setup::default()
    };
    setup.overrides.push(("gateway.callers.shop.networks", "[\"127.0.0.0/8\"]".to_owned()));
    setup.overrides.push(("gateway.callers.shop.as_user", "\"any\"".to_owned()));
    setup.rest = "[gateway.callers.machine]\nnetworks = [\"127.0.0.1/32\"]\n[[gateway.callers.machine.grants]]\nprovider = \"own\"\nallow = [\"file.*\"]\n".to_owned();
    let (code, out, err, _) = ran(&setup, &["check"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let begins = ["gateway ", "mount ", "caller ", "grant ", "warning "];
    let told: Vec<&str> = out.lines().filter(|line| begins.iter().any(|begin| line.starts_with(begin))).collect();
    assert_eq!(
        told,
        [
            "gateway         127.0.0.1:0",
            "mount           own: /gateway/own/ and 127.0.0.1:0",
            "caller          machine: 127.0.0.1/32",
            "grant           machine on own: write file.post, file.put",
            "caller          other: key",
            "grant           other on own: read room.list",
            "caller          shop: key + 127.0.0.0/8, acts as any user",
            "grant           shop on own: read room.get; write room.create; destroy room.delete; only room = shop-* or lobby; 50 calls in 1s",
            "warning         the gateway's caller machine is known by its address alone; every process of this machine can call as it, so give it key_files",
        ]
    );
    assert!(!out.contains(SHOP) && !out.contains(OTHER));
}
