//! Mistakes in `[webhook_server]`, `[webhooks.NAME]` and `[queue]`.

use sidemint::config::Environment;

use crate::config::{mistakes, mistakes_beside};
use crate::harness::{LOCAL, config};

/// A webhook that is written as it should be.
const GOOD: &str = "
[webhook_server]
listen = \"127.0.0.1:8081\"
[webhooks.chat]
provider = \"events\"
to = \"http://127.0.0.1:3000/hooks/chat\"
sign_key_file = \"/run/secrets/forward.key\"
[providers.events]
preset = \"standard-webhooks\"
";

/// What is said of the webhooks where one key has another value.
fn said(key: &str, value: &str) -> String {
    let text = config(&format!("{LOCAL}{GOOD}"), &[(key, value)]);
    let all = mistakes(&text, &Environment::default());
    let of_webhooks =
        |line: &&str| ["webhook", "queue"].iter().any(|own| line.starts_with(&format!("config.toml: {own}")));
    // The files that it names are nowhere.
    let is_missing = |line: &&str| line.contains("No such file");
    all.lines().filter(|line| !is_missing(line)).filter(of_webhooks).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_key_of_a_webhook_says_what_to_write() {
    for (key, value, told) in [
        (
            "webhooks.chat.too",
            "\"x\"",
            "webhooks.chat.too: unknown key; known here: provider, to, fallback, mode, relay, sign_key_file, sign_key_dir, public_url, events, handshake, forward, overlap, max_body_bytes, max_in_flight, deliveries_at_once, attempt_timeout; did you mean to?",
        ),
        (
            "webhook_server.port",
            "1",
            "webhook_server.port: unknown key; known here: listen, body_timeout, max_buffered_bytes, tls",
        ),
        (
            "queue.folder",
            "\"/x\"",
            "queue.folder: unknown key; known here: dir, max_events, max_bytes, start_empty, key_file, redis",
        ),
        (
            "webhooks.chat.provider",
            "\"event\"",
            "webhooks.chat.provider: no provider \"event\"; configured: chat, events; did you mean events?",
        ),
        (
            "webhooks.chat.to",
            "\"127.0.0.1:3000/hooks\"",
            "webhooks.chat.to: is not an address; write \"http://127.0.0.1:3000/hooks/chat\"",
        ),
        (
            "webhooks.chat.to",
            "\"ftp://app/hooks\"",
            "webhooks.chat.to: is not an address that can be posted to; write http:// or https://",
        ),
        (
            "webhooks.chat.to",
            "\"http://user:canary@app/hooks\"",
            "webhooks.chat.to: holds a user or a password; remove them: the signature of the event proves who posts it",
        ),
        (
            "webhooks.chat.fallback",
            "\"http://127.0.0.1:3000/hooks/chat\"",
            "webhooks.chat.fallback: is the same address as to; write another, or remove it",
        ),
        ("webhooks.chat.mode", "\"thru\"", "webhooks.chat.mode: \"thru\" is not one of store, through"),
        (
            "webhooks.chat.relay",
            "true",
            "webhooks.chat.relay: gives the application's answer to the provider, which an event that is stored does not wait for; write mode = \"through\" beside it",
        ),
        (
            "webhooks.chat.sign_key_dir",
            "\"/run/secrets/forward\"",
            "webhooks.chat.sign_key_dir: stands beside sign_key_file; write one of them",
        ),
        (
            "webhooks.chat.sign_key_file",
            "\"\"",
            "webhooks.chat.sign_key_file: is missing: the application knows by its signature that an event comes from here; write sign_key_file = \"/path\" (\"sidemint keygen --alg webhook\" makes one)",
        ),
        (
            "webhooks.chat.public_url",
            "\"hooks.example.com/webhooks/chat\"",
            "webhooks.chat.public_url: is not an address; write the one that the provider's console holds, letter by letter, such as \"https://hooks.example.com/webhooks/chat\"",
        ),
        (
            "webhooks.chat.events",
            "[]",
            "webhooks.chat.events: holds 0 names; write 1 to 256, or remove it: without it all events are delivered",
        ),
        (
            "webhooks.chat.events",
            "[\"message.*.new\"]",
            "webhooks.chat.events: \"message.*.new\" is no name of an event; write \"message.new\", or \"message.*\" for all that begin so",
        ),
        (
            "webhooks.chat.forward",
            "[\"Authorization\"]",
            "webhooks.chat.forward: \"Authorization\" is never passed on; remove it",
        ),
        ("webhooks.chat.forward", "[\"a b\"]", "webhooks.chat.forward: \"a b\" is not a header name"),
        ("webhooks.chat.max_body_bytes", "67108864", ""),
        ("webhook_server.max_buffered_bytes", "1048576", ""),
        (
            "webhooks.chat",
            "{ provider = \"events\", to = \"http://a/\", sign_key_file = \"/k\", max_body_bytes = 67108864 }",
            "",
        ),
        ("webhook_server.listen", "\"127.0.0.1:0\"", ""),
        (
            "webhooks.\"a/b\"",
            "{ provider = \"events\", to = \"http://a/\", sign_key_file = \"/k\" }",
            "webhooks.\"a/b\": is not a usable name: it is a part of the path /webhooks/NAME; use at most 64 letters, digits, - and _",
        ),
        (
            "queue.dir",
            "\"data\"",
            "queue.dir: is not an absolute path; write a folder of its own, such as \"/var/lib/sidemint\"",
        ),
    ] {
        let expected = if told.is_empty() { String::new() } else { format!("config.toml: {told}") };
        assert_eq!(said(key, value), expected, "{key} = {value}");
    }
}

#[test]
fn what_is_missing_is_told_in_one_pass() {
    let text = config(&format!("{LOCAL}[webhooks.chat]\n"), &[]);
    let found = mistakes(&text, &Environment::default());
    for key in [
        "provider: is missing; write the name of a table [providers.NAME]",
        "to: is missing; write where",
        "sign_key_file: is missing: the application",
    ] {
        assert!(found.contains(&format!("config.toml: webhooks.chat.{key}")), "no {key} in\n{found}");
    }
}

#[test]
fn a_body_that_could_never_be_read_and_names_that_no_event_has_are_refused() {
    const KEY: &str = "webhook_secret_file = \"DIR/key\"";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=").unwrap();
    std::fs::write(folder.path().join("table"), "token: 0123456789abcdef0123").unwrap();
    let found = |preset: &str, secret: &str, lines: &str| {
        let text = format!(
            "[webhook_server]\nmax_buffered_bytes = 1048576\n[webhooks.chat]\nprovider = \"events\"\n\
             to = \"http://127.0.0.1:3000/\"\nsign_key_file = \"DIR/key\"\n{lines}\n\
             [providers.events]\npreset = \"{preset}\"\n{secret}\n"
        );
        mistakes_beside(folder.path(), &text, &Environment::default())
    };
    for (preset, secret, lines, told) in [
        ("standard-webhooks", KEY, "", ""),
        (
            "standard-webhooks",
            KEY,
            "max_body_bytes = 2097152",
            "webhooks.chat.max_body_bytes: leaves no room for a body: the largest takes 2097152 bytes, and \
             webhook_server.max_buffered_bytes is 1048576",
        ),
        // What is unpacked stands there twice.
        (
            "stream",
            "api_secret_file = \"DIR/key\"",
            "",
            "webhooks.chat.max_body_bytes: leaves no room for a body: the largest takes 2097152",
        ),
        ("pusher", "webhook_keys_file = \"DIR/table\"", "events = [\"*\"]", "webhooks.chat.events"),
    ] {
        let found = found(preset, secret, lines);
        assert!(if told.is_empty() { found.is_empty() } else { found.contains(told) }, "{preset}, {lines}: {found}");
    }
}

/// W-25: what is posted to a target never comes back here.
#[test]
fn a_target_that_is_a_listener_of_ours_is_refused() {
    let lead = |listen: &str, to: &str| {
        let text = config(
            &format!("{LOCAL}{GOOD}"),
            &[("webhook_server.listen", &format!("\"{listen}\"")), ("webhooks.chat.to", &format!("\"{to}\""))],
        );
        let found = mistakes(&text, &Environment::default());
        found.contains(&format!("webhooks.chat.to: leads to webhook_server.listen ({listen}), which is sidemint itself; write where the application listens"))
    };
    for (listen, to) in [
        ("127.0.0.1:8081", "http://127.0.0.1:8081/hooks"),
        ("127.0.0.1:8081", "http://localhost:8081/"),
        ("127.0.0.1:8081", "http://app.localhost.:8081/"),
        ("127.0.0.1:8081", "http://0.0.0.0:8081/"),
        ("0.0.0.0:8081", "http://127.0.0.1:8081/webhooks/chat"),
        ("0.0.0.0:8081", "http://127.9.9.9:8081/"),
        ("0.0.0.0:8081", "http://2130706433:8081/"),
        ("[::]:8081", "http://[::1]:8081/"),
        ("[::]:8081", "http://127.0.0.1:8081/"),
        ("127.0.0.1:8081", "http://[::ffff:127.0.0.1]:8081/"),
        ("10.1.2.3:80", "http://10.1.2.3/"),
        ("10.1.2.3:443", "https://10.1.2.3/"),
    ] {
        assert!(lead(listen, to), "{listen} <- {to}");
    }
    for (listen, to) in [
        ("127.0.0.1:8081", "http://127.0.0.1:8082/"),
        ("127.0.0.1:8081", "http://10.1.2.3:8081/"),
        ("10.1.2.3:8081", "http://127.0.0.1:8081/"),
        ("10.1.2.3:8081", "http://localhost:8081/"),
        ("0.0.0.0:8081", "http://app.shop.svc:8081/"),
        ("127.0.0.1:0", "http://127.0.0.1:8081/"),
    ] {
        assert!(!lead(listen, to), "{listen} <- {to}");
    }
    let ops = config(
        &format!("{LOCAL}{GOOD}"),
        &[("ops.listen", "\"127.0.0.1:9090\""), ("webhooks.chat.fallback", "\"http://127.0.0.1:9090/\"")],
    );
    let found = mistakes(&ops, &Environment::default());
    assert!(found.contains("webhooks.chat.fallback: leads to ops.listen (127.0.0.1:9090)"), "{found}");
}

#[test]
fn two_listeners_have_two_addresses() {
    let text = config(&format!("{LOCAL}{GOOD}"), &[("ops.listen", "\"127.0.0.1:8081\"")]);
    let found = mistakes(&text, &Environment::default());
    assert!(
        found.contains("webhook_server.listen: is 127.0.0.1:8081, and so is ops.listen; write another address"),
        "{found}"
    );
}

/// The key of the queue is read by `check` as well, so that a bad one is told before the service stops for it.
#[test]
fn the_key_of_the_queue_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let found = |text: Option<&str>| {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let text = config(&format!("{LOCAL}{GOOD}"), &[("queue.key_file", &format!("\"{}\"", file.display()))]);
        let all = mistakes(&text, &Environment::default());
        all.lines().find(|line| line.starts_with("config.toml: queue.key_file: ")).map(str::to_owned)
    };
    let told = |problem: &str| Some(format!("config.toml: queue.key_file: {} {problem}", file.display()));
    assert!(found(None).is_some_and(|told| told.contains("No such file")), "{:?}", found(None));
    assert_eq!(found(Some("short")), told("needs 32 bytes as base64 or hex: openssl rand -base64 32"));
    assert_eq!(found(Some(&"07".repeat(32))), None);
}

/// W-28: all that is wrong with a queue on a server is told at once, and nothing of it is kept in the clear.
#[test]
fn a_queue_on_a_server_says_what_to_write() {
    let told = |queue: &str| {
        let text = config(&format!("{LOCAL}{GOOD}{queue}"), &[]);
        let all = mistakes(&text, &Environment::default());
        let of_queue = all.lines().filter_map(|line| line.strip_prefix("config.toml: queue."));
        of_queue.filter(|line| !line.contains("No such file")).map(str::to_owned).collect::<Vec<_>>()
    };
    let good = "[queue]\nkey_file = \"/x\"\n[queue.redis]\nurls = [\"rediss://queue.example\"]\nfleet = \"prod-eu\"";
    assert_eq!(told(good), Vec::<String>::new());
    let bad = told(
        "[queue]\ndir = \"/var/lib/sidemint\"\nstart_empty = true\n\
         [queue.redis]\nurls = [\"redis://queue.example\"]\nfleet = \"prod:eu\"\nusername = \"sidemint\"",
    );
    let begin = [
        "dir: is for the file of one process",
        "start_empty: is for the file of one process",
        "key_file: is missing: who reads the server",
        "redis.fleet: names who shares with whom",
        "redis.urls: \"redis://queue.example\" is reached without TLS",
        "redis.password_file: is missing: a user has a password",
    ];
    for begin in begin {
        assert!(bad.iter().any(|line| line.starts_with(begin)), "{begin}: {bad:#?}");
    }
    assert_eq!(bad.len(), begin.len(), "{bad:#?}");
    for (line, begin) in [
        ("replicas = 6", "redis.replicas: "),
        ("mode = \"sentinel\"", "redis.service: is missing"),
        ("fleet_name = \"x\"", "redis.fleet_name: unknown key; known here: mode, service, urls, fleet, replicas"),
    ] {
        let found = told(&format!("{good}\n{line}"));
        assert!(found.iter().any(|own| own.starts_with(begin)), "{found:#?}");
    }
}
