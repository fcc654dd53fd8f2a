//! The pages of identity: each configuration as printed, before what its upstream sends, ends in the session of that user.
//!
//! Keys are read at the addresses that the pages print: a proxy leads their hosts to a server of our own, which shows a
//! certificate of an authority that the test adds. Keys inside are not read through a proxy, so their address is replaced,
//! and so are the ports that sidemint listens at and the folder of secrets.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sidemint::app::Blueprint;
use sidemint::clock::ManualClock;
use sidemint::config::{Config, Environment, Sources};
use url::Url;

use crate::docs::{Page, blocks, pages, root, with_secrets};
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::grpc::client::Check;
use crate::harness::{NOW, SESSION, Service, clock};
use crate::judge::judge;
use crate::outbound::Tunnel;
use crate::pki::Authority;

/// Pages whose configurations say who a peer is, or what a server of one's own sends.
const OTHERS: [&str; 2] = ["body", "peers"];

/// What a file of secrets holds: a client secret, for one.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The key id of the balancer.
const BALANCER: &str = "7ce2b1f0-5a3b-4c8e-9f10-0123456789ab";

/// One configuration of a page, and the request that its upstream sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    page: String,
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// A signed token of these claims.
    token: Option<Token>,
    /// The header that holds these claims as they are.
    payload: Option<String>,
    /// Where Envoy puts these claims.
    metadata: Option<String>,
    #[serde(default)]
    claims: Map<String, Value>,
    /// The address of the keys; the issuer where its description says that.
    keys: Option<String>,
    /// The setting that says the address of keys inside.
    private: Option<String>,
    user: String,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    header: String,
    #[serde(default)]
    scheme: String,
    /// `ALB` is what AWS load balancers make.
    alg: String,
    typ: Option<String>,
    signer: Option<String>,
    client: Option<String>,
}

#[derive(Deserialize)]
struct Cases {
    blocks: Vec<Case>,
}

/// Every public key of the issuers, and what signs for the balancer.
struct Keys {
    jwks: Value,
    balancer: EcdsaKeyPair,
}

impl Keys {
    /// The balancer's in PEM (RFC 5480, 2).
    fn pem(&self) -> String {
        let head = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
            0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        let der = STANDARD.encode([&head[..], self.balancer.public_key().as_ref()].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
    }

    /// A token as AWS writes it: padding stays, and is signed.
    fn padded(&self, token: &Token, claims: &Value) -> String {
        let header = json!({
            "typ": "JWT", "kid": BALANCER, "alg": "ES256", "iss": claims["iss"], "client": token.client,
            "signer": token.signer, "exp": claims["exp"],
        });
        let message = format!("{}.{}", URL_SAFE.encode(header.to_string()), URL_SAFE.encode(claims.to_string()));
        let signature = self.balancer.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE.encode(signature))
    }
}

impl Case {
    /// The claims, of now.
    fn claims(&self) -> Value {
        let mut claims = self.claims.clone();
        claims.insert("iat".to_owned(), NOW.as_seconds().into());
        claims.insert("exp".to_owned(), (NOW.as_seconds() + 300).into());
        Value::Object(claims)
    }

    /// What the jose library signs for it.
    fn order(&self) -> Option<Value> {
        let token = self.token.as_ref().filter(|token| token.alg != "ALB")?;
        let header = token.typ.as_ref().map_or(json!({}), |typ| json!({ "typ": typ }));
        let secret = (token.alg == "HS256").then_some(SECRET);
        Some(json!({ "alg": token.alg, "header": header, "claims": self.claims(), "secret": secret }))
    }

    /// The lines that the upstream sends.
    fn lines(&self, keys: &Keys, signed: &mut impl Iterator<Item = String>) -> Vec<(String, String)> {
        let mut lines: Vec<_> = self.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        if let Some(name) = &self.payload {
            lines.push((name.clone(), URL_SAFE_NO_PAD.encode(self.claims().to_string())));
        }
        if let Some(token) = &self.token {
            let text = if self.order().is_some() { signed.next().unwrap() } else { keys.padded(token, &self.claims()) };
            lines.push((token.header.clone(), format!("{}{text}", token.scheme)));
        }
        lines
    }

    /// The path at which the issuer describes itself, or serves its keys.
    fn looked_at(&self) -> Option<String> {
        let keys = self.keys.as_ref()?;
        let is_issuer = self.claims.get("iss").and_then(Value::as_str) == Some(keys);
        let keys: Url = keys.parse().unwrap();
        let path = keys.path();
        let described = format!("{}/.well-known/openid-configuration", path.trim_end_matches('/'));
        Some(if is_issuer { described } else { path.to_owned() })
    }

    /// The server of its keys, and the settings that lead there.
    async fn key_server(&self, all: &Keys, authority: &Authority) -> Option<(Fake, Vec<(String, String)>)> {
        let keys: Url = self.keys.as_ref()?.parse().unwrap();
        let host = keys.host_str().unwrap().to_owned();
        let description = json!({ "issuer": self.claims.get("iss"), "jwks_uri": format!("https://{host}/own-keys") });
        let (jwks, pem) = (all.jwks.clone(), all.pem());
        let fake = Fake::start(move |call: &Call| match call.path.as_str() {
            path if path.ends_with("/.well-known/openid-configuration") => Script::json(200, &description),
            path if path.ends_with(BALANCER) => Script::text(200, "text/plain", pem.clone()),
            _ => Script::json(200, &jwks),
        })
        .await;
        fake.shows(&authority.issue(&[&host, "localhost"], "keys", 2040));
        let settings = match &self.private {
            Some(setting) => vec![(setting.clone(), format!("{}{}", fake.tls_url(), keys.path()))],
            None => {
                let (_, proxy) = Tunnel::start(&[(&format!("{host}:443"), fake.address)]).await;
                vec![("outbound.proxy".to_owned(), proxy.trim_matches('"').to_owned())]
            }
        };
        Some((fake, settings))
    }

    /// Runs this configuration of the page, and says what is not as it should be.
    async fn run(&self, printed: &str, keys: &Keys, lines: &[(String, String)]) -> Result<(), String> {
        let (folder, authority, clock) = (tempfile::tempdir().unwrap(), Authority::new(), clock());
        let (fragment, ca) = (folder.path().join("fragment.toml"), folder.path().join("authority.crt"));
        fs::write(&fragment, with_secrets(printed, folder.path(), SECRET)).unwrap();
        fs::write(&ca, &authority.pem).unwrap();
        let mut overrides: Vec<(String, String)> =
            self.set.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        overrides.extend([("server.listen", "127.0.0.1:0"), ("ops.listen", "127.0.0.1:0")].map(own));
        overrides.push(("outbound.ca_file".to_owned(), ca.display().to_string()));
        let server = self.key_server(keys, &authority).await;
        overrides.extend(server.iter().flat_map(|(_, settings)| settings.clone()));
        let sources = Sources { files: vec![root().join("config.toml"), fragment], overrides, ..Sources::default() };
        let environment = Environment::default();
        let config = Config::load(&sources, &environment).map_err(|errors| errors.to_string())?;
        let blueprint = Blueprint::draw(config, &environment, Arc::<ManualClock>::clone(&clock));
        let blueprint = blueprint.map_err(|errors| errors.to_string())?;
        let service = Service::of(blueprint, clock, folder).await;

        let (user, name) = if let Some(key) = &self.metadata {
            let check = Check::of(&[]).metadata("envoy.filters.http.jwt_authn", key, &self.claims());
            let verdict = check.ask(&service).await.unwrap();
            (json!(verdict.header("x-chat-user-id")), json!(verdict.header("x-chat-display-name")))
        } else {
            let lines: Vec<(&str, &str)> = lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let answer = service.ask("GET", SESSION, &lines).await;
            if answer.status != 200 {
                return Err(format!("{}\n{}", answer.code(), service.log()));
            }
            let mut session = answer.json();
            (session["chatUserId"].take(), session["displayName"].take())
        };
        if user != self.user || self.name.as_ref().is_some_and(|own| name != *own) {
            return Err(format!("the session is that of {user}, who is called {name}"));
        }
        match (server, self.looked_at()) {
            (Some((fake, _)), Some(path)) if fake.calls().iter().all(|call| call.path != path) => {
                Err(format!("keys were not looked for at {path}, but {:?}", fake.asked()))
            }
            _ => Ok(()),
        }
    }
}

/// The configurations of a page, in order. One that needs files of a cluster is no fragment that loads everywhere.
fn configurations(page: &Page) -> Vec<String> {
    let is_one = |language: &str, text: &str| language.starts_with("toml") || text.starts_with("[identity]");
    blocks(page).into_iter().filter(|block| is_one(&block.language, &block.text)).map(|block| block.text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_configuration_of_a_source_ends_in_the_session_of_its_user() {
    let file = fs::read_to_string(root().join("tests/vectors/identity-pages.toml")).unwrap();
    let Cases { blocks: cases } = toml::from_str(&file).unwrap();
    let mut issued = judge("issue.mjs", json!({ "orders": cases.iter().filter_map(Case::order).collect::<Vec<_>>() }));
    let tokens = issued["tokens"].as_array().unwrap().clone();
    let mut signed = tokens.iter().map(|token| token.as_str().unwrap().to_owned());
    let balancer = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let keys = Keys { jwks: issued["jwks"].take(), balancer };

    let (mut cases, mut problems) = (cases.iter().peekable(), Vec::new());
    for page in pages() {
        let Some(name) = page.path.strip_prefix("docs/identity/").and_then(|name| name.strip_suffix(".md")) else {
            continue;
        };
        if OTHERS.contains(&name) {
            continue;
        }
        for printed in configurations(&page) {
            let case = cases.next_if(|case| case.page == name);
            let case = case.unwrap_or_else(|| panic!("the vectors say nothing of this in {}:\n{printed}", page.path));
            let lines = case.lines(&keys, &mut signed);
            if let Err(problem) = case.run(&printed, &keys, &lines).await {
                problems.push(format!("{}:\n{printed}\n{problem}", page.path));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    assert!(cases.next().is_none(), "the vectors say more than the pages, or in another order");
}
