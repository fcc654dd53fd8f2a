//! Who calls: keys where an SDK puts them, proofs beside them, and what a caller may do.

use serde_json::json;

use super::fixture::{Fixture, OTHER, PLAIN, SECRET, SHOP, Setup, code};
use crate::harness::NOW;

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
            bodies.push(answer.text());
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert!(fixture.provider.requests().is_empty());
    assert_eq!(asked(&fixture, &[("Authorization", &shop)]).await, passed());
    assert_eq!(asked(&fixture, &[("authorization", &shop.replace("Bearer", "bearer"))]).await, passed());
}

/// G-14: another caller's key is that caller's, with its rights alone.
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
    ] {
        let answer = if body.is_empty() { fixture.ask(method, target).await } else { fixture.json(method, target, body).await };
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
    let fixture = Setup { rest: rest.to_owned(), ..Setup::default() }.start().await;
    assert_eq!(asked(&fixture, &[]).await, passed());
    assert_eq!(asked(&fixture, &[("Authorization", "Bearer whatever-the-sdk-wants")]).await, passed());
    assert_eq!(asked(&fixture, &[("Authorization", &shop)]).await, unauthorized());
}

/// G-27: a new key counts once its file is there, both count during a change, and bad ones change nothing.
#[tokio::test(flavor = "multi_thread")]
async fn keys_change_without_a_restart_as_a_whole_or_not_at_all() {
    const NEXT: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
    let folder = tempfile::tempdir().unwrap();
    let next = folder.path().join("next");
    std::fs::write(&next, "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100").unwrap();
    let setup = Setup::default();
    let files = format!("[\"DIR/shop\", \"{}\"]", next.display());
    let fixture = setup.with_key_files(&files).start().await;
    let (shop, new) = (format!("Bearer {SHOP}"), format!("Bearer {NEXT}"));
    let ask = async |key: &str| asked(&fixture, &[("Authorization", key)]).await;
    assert_eq!((ask(&shop).await, ask(&new).await), (passed(), unauthorized()));
    std::fs::write(&next, NEXT).unwrap();
    fixture.service.reloaded().await;
    assert_eq!((ask(&shop).await, ask(&new).await), (passed(), passed()));
    // A provider's secret, another caller's key, and what is too short: the last good ones stay, all of them.
    for bad in [SECRET, OTHER, "short"] {
        std::fs::write(fixture.folder.path().join("shop"), bad).unwrap();
        fixture.service.reloaded().await;
        assert_eq!((ask(&shop).await, ask(&new).await), (passed(), passed()), "{bad}");
        assert_eq!(ask(&format!("Bearer {bad}")).await.0 == 200, bad == OTHER, "{bad}");
    }
}
