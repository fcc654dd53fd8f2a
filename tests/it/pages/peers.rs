//! The page of peers: each configuration as printed believes the peer that it describes, and not the same request without
//! the proof. Replaced are the socket, the user id, the folder of secrets, ports, and networks that this machine is not in.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use sidemint::app::Blueprint;
use sidemint::clock::ManualClock;
use sidemint::config::{Config, Environment, Sources};

use super::shell;
use crate::docs::{blocks, pages, root, with_secrets};
use crate::harness::{NOW, SESSION, Service, clock};
use crate::judge::judge;
use crate::pki::Authority;

/// What every file of secrets holds.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

const USER: &str = "X-Forwarded-User: alice";

/// Where the service of a configuration is asked, and with which options of curl.
struct Front {
    url: String,
    options: String,
}

impl Front {
    /// The outcome of a request with these options: the user of the session, or the code of the refusal.
    async fn ask(&self, options: &str) -> String {
        let command = format!("curl -sS {} {options} -H '{USER}' {}", self.options, self.url);
        let said = shell(&command, ([127, 0, 0, 1], 8080).into()).await;
        let answer: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{command}: {error}: {said}"));
        let told = answer.get("chatUserId").or(answer.get("code")).and_then(Value::as_str);
        told.unwrap_or_else(|| panic!("{command}: {said}")).to_owned()
    }

    /// The request that the page's example in Python signs.
    fn signed(&self) -> String {
        let host = self.url.split('/').nth(2).unwrap();
        let input = json!({
            "key": SECRET, "time": NOW.as_seconds(), "method": "GET", "host": host, "target": SESSION, "body": "",
            "headers": { "X-Forwarded-User": "alice" },
        });
        let signed = tokio::task::block_in_place(|| judge("peer_signature.py", input));
        format!("-H 'X-Chat-Peer-Signature: {}'", signed["signature"].as_str().unwrap())
    }
}

/// Serves a configuration of the page over the shipped one, in which no peer is trusted.
async fn serve(printed: &str, folder: tempfile::TempDir, authority: &Authority) -> (Service, Front) {
    let (clock, own) = (clock(), folder.path().display().to_string());
    let text = with_secrets(printed, folder.path(), SECRET);
    if text.contains("client_ca_file") {
        let (server, client) = (authority.server(), authority.issue(&["proxy.internal"], "a proxy", 2040));
        for (name, content) in [
            ("tls/tls.crt", &server.certificate),
            ("tls/tls.key", &server.key),
            ("clients/ca.crt", &authority.pem),
            ("client.crt", &client.certificate),
            ("client.key", &client.key),
        ] {
            fs::write(folder.path().join(name), content).unwrap();
        }
    }
    let is_unix = text.contains("unix:/run/sidemint/front.sock");
    fs::write(folder.path().join("none.toml"), "[identity.peers]\nnetworks = []\n").unwrap();
    fs::write(folder.path().join("fragment.toml"), text).unwrap();
    let front = if is_unix { format!("unix:{own}/front.sock") } else { "127.0.0.1:0".to_owned() };
    let overrides = [("server.listen", front.as_str()), ("ops.listen", "127.0.0.1:0")];
    let sources = Sources {
        files: vec![
            root().join("config.toml"),
            Path::new(&own).join("none.toml"),
            Path::new(&own).join("fragment.toml"),
        ],
        overrides: overrides.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ..Sources::default()
    };
    let environment = Environment::default();
    let config = Config::load(&sources, &environment).unwrap_or_else(|errors| panic!("{errors}\n{printed}"));
    let is_tls = config.server.tls.is_some();
    let blueprint = Blueprint::draw(config, &environment, Arc::<ManualClock>::clone(&clock));
    let service = Service::of(blueprint.unwrap_or_else(|errors| panic!("{errors}\n{printed}")), clock, folder).await;
    let front = if is_unix {
        Front { url: format!("http://localhost{SESSION}"), options: format!("--unix-socket {own}/front.sock") }
    } else if is_tls {
        fs::write(format!("{own}/ca.crt"), &authority.pem).unwrap();
        let port = service.address().port();
        let options = format!(
            "--cacert {own}/ca.crt --resolve sidemint.test:{port}:127.0.0.1 --cert {own}/client.crt --key {own}/client.key"
        );
        Front { url: format!("https://sidemint.test:{port}{SESSION}"), options }
    } else {
        Front { url: format!("http://{}{SESSION}", service.address()), options: String::new() }
    };
    (service, front)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_proof_of_the_page_is_believed_and_nothing_less() {
    let page = pages().into_iter().find(|page| page.path == "docs/identity/peers.md").unwrap();
    let printed: Vec<String> =
        blocks(&page).into_iter().filter(|block| block.language == "toml,fragment").map(|block| block.text).collect();
    let authority = Authority::new();
    let uid = std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap());
    let refused = "peer_untrusted";
    let mut done = 0;
    for text in &printed {
        let mut own = text.clone();
        // This machine is in none of these networks.
        for (network, ours) in
            [("10.42.0.17/32", "127.0.0.1/32"), ("10.20.0.0/16", "127.0.0.0/8"), ("[101]", &format!("[{uid}]"))]
        {
            own = own.replace(network, ours);
        }
        let (_service, front) = serve(&own, tempfile::tempdir().unwrap(), &authority).await;
        let has = |key: &str| text.contains(key);
        // What proves the peer, and what is asked without it.
        let asked = if has("unix_uids") || has("certificates") {
            vec![(String::new(), "alice")]
        } else if has("xfcc") {
            let words = "-H 'X-Forwarded-Client-Cert: By=spiffe://a;URI=spiffe://cluster.local/ns/shop/sa/web'";
            let mesh = "--interface 127.0.0.6";
            vec![(format!("{mesh} {words}"), "alice"), (words.to_owned(), refused), (mesh.to_owned(), refused)]
        } else if has("linkerd") {
            let words = "-H 'l5d-client-id: web.shop.serviceaccount.identity.linkerd.cluster.local'".to_owned();
            vec![(words, "alice"), (String::new(), refused)]
        } else if has("callers") {
            let crm = format!("-H 'X-Crm-Secret: {SECRET}'");
            vec![(crm, "alice"), (front.signed(), "alice"), (String::new(), refused)]
        } else if has("hmac_key_files") {
            vec![(front.signed(), "alice"), (String::new(), refused)]
        } else if has("secret_files") {
            vec![(format!("-H 'X-Chat-Peer-Secret: {SECRET}'"), "alice"), (String::new(), refused)]
        } else {
            vec![("--interface 127.0.0.9".to_owned(), "alice")]
        };
        for (options, outcome) in asked {
            assert_eq!(front.ask(&options).await, outcome, "{options}\n{text}");
        }
        done += 1;
    }
    assert_eq!(done, 8, "a proof without a request for it");
}
