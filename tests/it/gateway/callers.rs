//! Who calls: keys where an SDK puts them, proofs beside them, and what a caller may do.

use serde_json::json;
use sidemint::config::Environment;

use super::fixture::{Fixture, OTHER, SECRET, SHOP, Setup, code};
use crate::eventually::eventually;
use crate::harness::{clock, draw_with};

/// Answers of a `GET /rooms` with these headers: status and code.
async fn asked(fixture: &Fixture, headers: &[(&str, &str)]) -> (u16, String) {
    let answer = fixture.raw("GET", "/rooms", headers, b"").await;
    (answer.status, code(&answer).to_owned())
}

fn unauthorized() -> (u16, String) {
    (401, "caller_unauthorized".to_owned())
}

fn passed() -> (u16, String) {
    (200, "none".to_owned())
}

/// G-14, G-28: no key, half a key, the provider's own, two of them: one answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_a_good_key_is_refused_and_learns_nothing() {
    let fixture = Fixture::start().await;
    let bearer = |key: &str| format!("Bearer {key}");
    let (shop, other, provider) = (bearer(SHOP), bearer(OTHER), bearer(SECRET));
    let half = bearer(&SHOP[..SHOP.len() - 1]);
    let mut bodies = Vec::new();
    for headers in [
        &[][..],
        &[("Authorization", "")],
        &[("Authorization", "Bearer ")],
        &[("Authorization", SHOP)],
        &[("Authorization", &half)],
        &[("Authorization", &provider)],
        &[("Authorization", &shop), ("Authorization", &other)],
        &[("Authorization", &shop), ("Authorization", &shop)],
        &[("X-Api-Key", SHOP)],
    ] {
        // What does not exist is refused alike.
        for target in ["/rooms", "/nothing/here", "/rooms?colour=red"] {
            let answer = fixture.raw("GET", target, headers, b"").await;
            assert_eq!((answer.status, code(&answer)), (401, "caller_unauthorized"), "{headers:?}");
            let mut body = answer.json();
            body.as_object_mut().unwrap().remove("requestId");
            bodies.push(body);
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert!(fixture.provider.requests().is_empty());
    assert_eq!(asked(&fixture, &[("Authorization", &shop)]).await, passed());
    assert_eq!(asked(&fixture, &[("authorization", &shop.replace("Bearer", "bearer"))]).await, passed());
}

/// G-14, G-20: another caller's key is that caller's, with its rights alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_has_its_own_rights() {
    let fixture = Fixture::start().await;
    let other = format!("Bearer {OTHER}");
    assert_eq!(asked(&fixture, &[("Authorization", &other)]).await, passed());
    let answer = fixture.raw("GET", "/rooms/shop-1", &[("Authorization", &other)], b"").await;
    assert_eq!((answer.status, code(&answer)), (403, "operation_denied"));
    // What destroys is no part of the default.
    let answer = fixture.ask("DELETE", "/rooms/shop-1").await;
    assert_eq!((answer.status, code(&answer)), (403, "operation_denied"));
    // The operator is told what was asked for.
    let lines = fixture.service.log_lines(3).await;
    assert_eq!(
        (&lines[1]["operation"], &lines[2]["operation"]),
        (&json!("room.get"), &json!("room.delete")),
        "{lines:?}"
    );
}

/// G-20: what destroys is named in full.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_holds_only_what_is_default() {
    for (allow, expected) in [("[\"room.*\"]", 403), ("[\"room.*\", \"room.delete\"]", 200)] {
        let fixture = Setup { allow: allow.to_owned(), ..Setup::default() }.start().await;
        assert_eq!(fixture.ask("GET", "/rooms").await.status, 200);
        assert_eq!(fixture.ask("DELETE", "/rooms/shop-1").await.status, expected, "{allow}");
    }
}

/// G-18: every value of a parameter, and no operation without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_holds_for_every_value_of_a_parameter() {
    let grant = "only = { room = [\"shop-*\", \"lobby\"] }".to_owned();
    let setup = Setup { grant, allow: "[\"default\", \"room.delete\"]".to_owned(), ..Setup::default() };
    let fixture = setup.start().await;
    for (method, target, body, expected) in [
        ("GET", "/rooms/shop-1", "", (200, "none")),
        ("GET", "/rooms/lobby", "", (200, "none")),
        ("GET", "/rooms/lobby2", "", (403, "parameter_denied")),
        ("GET", "/rooms/other", "", (403, "parameter_denied")),
        ("DELETE", "/rooms/shop-1", "", (200, "none")),
        ("POST", "/rooms", "{\"room\":\"shop-1\"}", (200, "none")),
        ("POST", "/rooms", "{\"room\":\"other\"}", (403, "parameter_denied")),
        ("PUT", "/rooms/shop-1", "{\"room\":\"other\"}", (403, "parameter_denied")),
        ("PUT", "/rooms/shop-1", "{\"room\":\"shop-2\"}", (200, "none")),
        ("GET", "/events", "", (403, "operation_denied")),
        // It is a parameter of its group, and stands in bodies, of which this call has none.
        ("GET", "/rooms", "", (403, "operation_denied")),
    ] {
        let answer =
            if body.is_empty() { fixture.ask(method, target).await } else { fixture.json(method, target, body).await };
        assert_eq!((answer.status, code(&answer)), expected, "{method} {target} {body}");
    }
}

/// G-14: every kind of proof that is set must hold, and a proof of two callers is one of none.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_and_a_network_must_both_hold() {
    let shop = format!("Bearer {SHOP}");
    for (networks, expected) in [("[\"127.0.0.0/8\"]", passed()), ("[\"10.0.0.0/8\"]", unauthorized())] {
        let overrides = vec![("gateway.callers.shop.networks", networks.to_owned())];
        let fixture = Setup { overrides, ..Setup::default() }.start().await;
        assert_eq!(asked(&fixture, &[("Authorization", &shop)]).await, expected, "{networks}");
    }
    // `machine` is known by its address, so a key of `shop` beside it names two.
    let rest = "[gateway.callers.machine]\nnetworks = [\"127.0.0.0/8\"]\n\
                [[gateway.callers.machine.grants]]\nprovider = \"own\"\nallow = [\"room.list\"]\n";
    // So does one of `shop` that would not hold by itself.
    let overrides = vec![("gateway.callers.shop.networks", "[\"10.0.0.0/8\"]".to_owned())];
    let fixture = Setup { rest: rest.to_owned(), overrides, ..Setup::default() }.start().await;
    assert_eq!(asked(&fixture, &[("Authorization", &shop)]).await, unauthorized());
    let fixture = Setup { rest: rest.to_owned(), ..Setup::default() }.start().await;
    assert_eq!(asked(&fixture, &[]).await, passed());
    assert_eq!(asked(&fixture, &[("Authorization", "Bearer whatever-the-sdk-wants")]).await, passed());
    assert_eq!(asked(&fixture, &[("Authorization", &shop)]).await, unauthorized());
}

/// A caller that signs whole requests changes nothing for the others: their bodies go on as they come.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_signs_leaves_the_bodies_of_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("hmac");
    std::fs::write(&key, "5e0e5e0e5e0e5e0e5e0e5e0e5e0e5e0e5e0e5e0e5e0e5e0e").unwrap();
    let rest = format!(
        "[gateway.callers.signer]\nhmac_key_files = [\"{}\"]\n\
         [[gateway.callers.signer.grants]]\nprovider = \"own\"\nallow = [\"room.list\"]\n",
        key.display()
    );
    let fixture = Setup { rest, ..Setup::default() }.start().await;
    let large = vec![b'x'; 300 * 1024];
    let answer = fixture.send("PUT", "/files/a", &[("Content-Type", "image/png")], &large).await;
    assert_eq!((answer.status, code(&answer)), (200, "none"));
    assert_eq!(fixture.provider.last().body.len(), large.len());
}

/// Waits for a look at the files that began after now.
async fn looked(fixture: &Fixture) {
    for _ in 0..2 {
        let looks = fixture.service.nudge.looks();
        fixture.service.nudge.now();
        eventually("the watch looks", async || fixture.service.nudge.looks() > looks).await;
    }
}

/// G-27: a new key counts once its file is there, both count during a change, and bad ones change nothing.
#[tokio::test(flavor = "multi_thread")]
async fn keys_change_without_a_restart_as_a_whole_or_not_at_all() {
    const OLD: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";
    const NEXT: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    std::fs::write(&first, SHOP).unwrap();
    std::fs::write(&second, OLD).unwrap();
    let files = format!("[\"{}\", \"{}\"]", first.display(), second.display());
    let overrides = vec![("gateway.callers.shop.key_files", files)];
    let fixture = Setup { overrides, ..Setup::default() }.start().await;
    let ask = async |key: &str| asked(&fixture, &[("Authorization", &format!("Bearer {key}"))]).await;
    assert_eq!((ask(SHOP).await, ask(OLD).await, ask(NEXT).await), (passed(), passed(), unauthorized()));
    std::fs::write(&second, NEXT).unwrap();
    eventually("the new key counts", async || ask(NEXT).await == passed()).await;
    assert_eq!((ask(SHOP).await, ask(OLD).await), (passed(), unauthorized()));
    // Another caller's key, what cannot be random, and what is random and too short: the last good ones stay, all of them.
    for bad in [OTHER.to_owned(), "ab".repeat(40), SHOP[..42].to_owned()] {
        std::fs::write(&second, OLD).unwrap();
        std::fs::write(&first, &bad).unwrap();
        looked(&fixture).await;
        assert_eq!((ask(SHOP).await, ask(NEXT).await, ask(OLD).await), (passed(), passed(), unauthorized()), "{bad}");
        std::fs::write(&first, SHOP).unwrap();
        std::fs::write(&second, NEXT).unwrap();
        looked(&fixture).await;
    }
    assert!(!fixture.service.log().contains(NEXT) && !fixture.service.log().contains(SHOP));
}

/// G-14: what becomes a provider's secret later serves nobody as a key from then on, and again once it is none any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_a_provider_gets_later_serves_nobody() {
    let fixture = Setup::default().start().await;
    let ask = async || asked(&fixture, &[("Authorization", &format!("Bearer {SHOP}"))]).await;
    let secret = fixture.folder.path().join("secret");
    assert_eq!(ask().await, passed());
    std::fs::write(&secret, SHOP).unwrap();
    looked(&fixture).await;
    assert_eq!(ask().await, unauthorized());
    std::fs::write(&secret, SECRET).unwrap();
    looked(&fixture).await;
    assert_eq!(ask().await, passed());
}

/// G-14: a key that is no key, that two callers have, or that is a provider's, is told at load.
#[test]
fn keys_that_are_none_are_refused_at_load() {
    const KEY: &str = "CANARYprovider0123456789abcdefghijklmnopqrstuvwxyz";
    let told = |shop: &str, other: &str| {
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup::default();
        let text = setup.text(folder.path(), "http://127.0.0.1:1");
        std::fs::write(folder.path().join("shop"), shop).unwrap();
        std::fs::write(folder.path().join("other"), other).unwrap();
        std::fs::write(folder.path().join("secret"), KEY).unwrap();
        let (name, definition) = (setup.definition.0, setup.definition.1.as_str());
        let drawn = draw_with(&text, &Environment::default(), clock(), &[(name, definition)]);
        let told = drawn.err().map(|errors| errors.to_string()).unwrap_or_default();
        told.replace(&format!("{}/config.toml: ", folder.path().display()), "")
    };
    let shop = "gateway.callers.shop.key_files[0]: holds";
    for (key, problem) in [
        (&SHOP[..42], "a key of less than 32 bytes"),
        ("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde", "a key of less than 32 bytes"),
        (&"ab".repeat(40), "a key that is not random"),
        ("with a blank 0123456789abcdefghijklmnopqrstuvwxyzABC", "characters that not every SDK takes"),
        (KEY, "a secret of provider own, which no caller may have"),
    ] {
        let found = told(key, OTHER);
        assert!(
            found.contains(&format!("{shop} {problem}; make one with: sidemint gateway key")),
            "{problem}: {found}"
        );
        assert!(!found.contains(key), "{found}");
    }
    let found = told(SHOP, SHOP);
    assert!(found.contains("holds the same key as one of other; make one with: sidemint gateway key"), "{found}");
    assert_eq!(told(SHOP, OTHER), "");
}

#[test]
fn names_that_no_operation_has_are_refused_at_load() {
    let told = |allow: &str, grant: &str| {
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup { allow: allow.to_owned(), grant: grant.to_owned(), ..Setup::default() };
        let text = setup.text(folder.path(), "http://127.0.0.1:1");
        let (name, definition) = (setup.definition.0, setup.definition.1.as_str());
        let drawn = draw_with(&text, &Environment::default(), clock(), &[(name, definition)]);
        let told = drawn.err().map(|errors| errors.to_string()).unwrap_or_default();
        told.split_once("gateway.callers.shop.grants[0].").map_or(told.clone(), |(_, told)| told.to_owned())
    };
    for (allow, grant, problem) in [
        ("[\"default\", \"room.*\", \"-room.create\"]", "", ""),
        ("[\"room.delete\"]", "", ""),
        ("[\"room.lst\"]", "", "allow: no operation \"room.lst\"; there are "),
        ("[\"default\", \"-room.gte\"]", "", "allow: no operation \"room.gte\"; there are "),
        ("[\"rom.*\"]", "", "allow: no operation begins with \"rom.\"; did you mean room.*?"),
        ("[\"room*\"]", "", "allow: \"room*\" is not a group; write \"GROUP.*\""),
        ("[\"*\"]", "", "allow: \"*\" is not a group; write \"GROUP.*\""),
        ("[\"file.*\", \"-file.put\", \"-file.post\"]", "", "allow: leaves no operation"),
        (
            "[\"default\"]",
            "only = { rom = [\"a\"] }",
            "only.rom: is a parameter that no operation of this grant carries",
        ),
    ] {
        let found = told(allow, grant);
        assert!(if problem.is_empty() { found.is_empty() } else { found.starts_with(problem) }, "{allow}: {found}");
    }
    assert!(told("[\"room.lst\"]", "").contains("did you mean room.list?"));
}

/// G-22: what a grant allows in a span of time.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_has_a_rate_of_its_own() {
    let fixture = Setup { grant: "rate = \"2/min\"".to_owned(), ..Setup::default() }.start().await;
    let (shop, other) = (format!("Bearer {SHOP}"), format!("Bearer {OTHER}"));
    for expected in [200, 200, 429] {
        assert_eq!(asked(&fixture, &[("Authorization", &shop)]).await.0, expected);
    }
    let answer = fixture.ask("GET", "/rooms").await;
    assert_eq!((code(&answer), answer.header("retry-after").is_some()), ("caller_rate_limited", true));
    assert_eq!(asked(&fixture, &[("Authorization", &other)]).await, passed());
    fixture.service.advance(60);
    assert_eq!(asked(&fixture, &[("Authorization", &shop)]).await, passed());
}
