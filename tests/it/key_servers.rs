//! Servers of keys that are inside: with certificates of an authority of one's own, and for those who show a credential.

use std::path::Path;

use serde_json::json;
use sidemint::config::Environment;

use crate::eventually::eventually;
use crate::fakes::http::Script;
use crate::fakes::issuer::{ISSUER, Issuer, Signer};
use crate::fakes::provider::Fake;
use crate::harness::{LOCAL, SESSION, Service, clock, config};
use crate::pki::Authority;

fn looks(outcome: &str) -> String {
    format!("sidemint_key_set_fetches_total{{outcome=\"{outcome}\",source=\"corp\"}}")
}

async fn start(keys: &str) -> Service {
    let text = config(&format!("{LOCAL}{}", Issuer::source(keys)), &[("identity.source", "\"corp\"")]);
    Service::start(&text, &Environment::default(), clock()).await
}

async fn session(service: &Service, token: &str) -> u16 {
    service.ask("GET", SESSION, &[("Authorization", &format!("Bearer {token}"))]).await.status
}

/// Moves time until the next look at the keys has ended so.
async fn next_look(service: &Service, outcome: &str) {
    let line = looks(outcome);
    let before = service.metric(&line).await;
    eventually("the next look is waited for", async || service.clock.sleepers() >= 1).await;
    service.advance(20 * 60);
    service.metric_reaches(&line, before + 1.0).await;
}

/// Kept in no pool, so that each look meets the certificate of the day.
fn once(body: &serde_json::Value) -> Script {
    let headers = vec![("Connection".to_owned(), "close".to_owned())];
    Script::Answer { status: 200, headers, body: body.to_string().into_bytes() }
}

fn write(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text).unwrap();
    std::fs::rename(draft, path).unwrap();
}

/// A server as that of a cluster: TLS of its own authority, a credential, and here an object from key id to PEM.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_over_tls_of_ones_own_authority_with_a_credential() {
    let (authority, signer, folder) = (Authority::new(), Signer::new("one"), tempfile::tempdir().unwrap());
    let keys = json!({ "one": signer.pem(), "other": Signer::new("other").pem() });
    let server = Fake::start(move |call| match call.header("authorization") {
        "Bearer CANARYpod-1" | "Bearer CANARYpod-2" => once(&keys),
        _ => Script::text(401, "text/plain", "who are you?"),
    })
    .await;
    server.shows(&authority.issue(&["localhost"], "keys", 2040));
    let (ca, bearer) = (folder.path().join("ca.crt"), folder.path().join("token"));
    write(&ca, &authority.pem);
    write(&bearer, "CANARYpod-1\n");
    let url = format!("url = \"{}/keys\"\nnetwork = \"private\"\nform = \"pem-map\"\n", server.tls_url());
    let with_ca = format!("{url}ca_file = \"{}\"\n", ca.display());
    let with_both = format!("{with_ca}bearer_file = \"{}\"\n", bearer.display());
    for (keys, outcome) in [(&url, "connect"), (&with_ca, "status"), (&with_both, "ok")] {
        let service = start(keys).await;
        service.metric_reaches(&looks(outcome), 1.0).await;
        assert_eq!(session(&service, &signer.token("alice")).await, if outcome == "ok" { 200 } else { 503 });
        if outcome == "ok" {
            assert_eq!(session(&service, &Signer::new("one").token("mallory")).await, 401);
            write(&bearer, "CANARYpod-2");
            next_look(&service, "ok").await;
            assert_eq!(server.calls().last().unwrap().header("authorization"), "Bearer CANARYpod-2");
            assert!(!service.log().contains("CANARYpod"), "{}", service.log());
        }
    }
}

/// T-58: a cluster changes its authority while we run. What cannot be used changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_authority_is_believed_from_the_next_look_on() {
    let (old, new, signer) = (Authority::new(), Authority::new(), Signer::new("one"));
    let keys = json!({ "keys": [signer.jwk()] });
    let server = Fake::start(move |_| once(&keys)).await;
    server.shows(&old.issue(&["localhost"], "keys", 2040));
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.crt");
    write(&ca, &old.pem);
    let keys = format!("url = \"{}/keys\"\nnetwork = \"private\"\nca_file = \"{}\"\n", server.tls_url(), ca.display());
    let service = start(&keys).await;
    service.metric_reaches(&looks("ok"), 1.0).await;
    for unusable in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "nothing"] {
        write(&ca, unusable);
        next_look(&service, "ok").await;
    }
    std::fs::remove_file(&ca).unwrap();
    next_look(&service, "ok").await;
    server.shows(&new.issue(&["localhost"], "keys", 2040));
    next_look(&service, "connect").await;
    write(&ca, &new.pem);
    next_look(&service, "ok").await;
    assert_eq!(session(&service, &signer.token("alice")).await, 200);
}

/// T-23: an issuer's description may lead to another host, which must not learn what we show the issuer.
#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_shown_to_the_issuer_and_to_no_host_that_it_names() {
    let signer = Signer::new("one");
    let keys = json!({ "keys": [signer.jwk()] });
    let elsewhere = Issuer::start(&[&signer]).await;
    let foreign = format!("{}/keys", elsewhere.fake.base_url());
    let folder = tempfile::tempdir().unwrap();
    let bearer = folder.path().join("token");
    write(&bearer, "CANARYpod");
    for is_foreign in [true, false] {
        let (keys, foreign) = (keys.clone(), foreign.clone());
        let issuer = Fake::start(move |call| {
            let own = format!("http://{}", call.header("host"));
            let found = if is_foreign { foreign.clone() } else { format!("{own}/keys") };
            match call.path.as_str() {
                "/keys" => Script::json(200, &keys),
                _ => Script::json(200, &json!({ "issuer": own, "jwks_uri": found })),
            }
        })
        .await;
        let lines = format!("discovery = true\nnetwork = \"private\"\nbearer_file = \"{}\"\n", bearer.display());
        let text = config(&format!("{LOCAL}{}", Issuer::source(&lines)), &[("identity.source", "\"corp\"")]);
        let text = text.replace(ISSUER, &issuer.base_url());
        let service = Service::start(&text, &Environment::default(), clock()).await;
        service.metric_reaches(&looks("ok"), 1.0).await;
        let shown: Vec<_> = issuer.calls().iter().map(|call| call.header("authorization").to_owned()).collect();
        assert_eq!(shown, vec!["Bearer CANARYpod"; if is_foreign { 1 } else { 2 }]);
    }
    let calls = elsewhere.fake.calls();
    assert_eq!((calls.len(), calls[0].header("authorization")), (1, ""));
}
