//! A NATS server that trusts one operator, whose one account signs the users: the decentralised way, all in memory.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::Part;
use crate::judge::{judge, tool};

/// A running server, and the keys of what it trusts.
pub struct Nats {
    address: SocketAddr,
    chain: Value,
    _part: Part,
}

impl Nats {
    pub async fn start() -> Self {
        let chain = judge("nats_chain.py", Value::Null);
        let [operator, account, jwt] = ["operator", "account", "account_jwt"].map(|key| chain[key].as_str().unwrap());
        // Port -1 is any free one, and a resolver in memory knows the accounts that are written here.
        let text = format!(
            "listen: \"127.0.0.1:-1\"\noperator: \"{operator}\"\nresolver: MEMORY\nresolver_preload: {{ {account}: \"{jwt}\" }}\n"
        );
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("nats.conf"), text).unwrap();
        let part = Part::start("nats", folder, &tool("venv/bin/nats-server"), ["-c", "nats.conf"], &[]);
        let address = part.address_after("Listening for client connections on 127.0.0.1:").await;
        Self { address, chain, _part: part }
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Signs users of the account.
    pub fn account_seed(&self) -> &str {
        self.chain["account_seed"].as_str().unwrap()
    }

    /// A signing key of the account, which may sign its users as well.
    pub fn signing_seed(&self) -> &str {
        self.chain["signing_seed"].as_str().unwrap()
    }

    /// A signing key whose template allows users to publish below `chat.NAME` and to subscribe below `chat`.
    pub fn scoped_seed(&self) -> &str {
        self.chain["scoped_seed"].as_str().unwrap()
    }

    /// The public key of the account, which issues the users' tokens.
    pub fn account(&self) -> &str {
        self.chain["account"].as_str().unwrap()
    }

    /// The public key of a user, which all bearers may share.
    pub fn user(&self) -> &str {
        self.chain["user"].as_str().unwrap()
    }

    /// Connects as the bearer of `token` and publishes; the server's objection where it has one.
    pub fn publish(&self, token: &str, subject: &str) -> Result<(), Objection> {
        self.attempt("publish", token, subject)
    }

    /// The same for subscribing.
    pub fn subscribe(&self, token: &str, subject: &str) -> Result<(), Objection> {
        self.attempt("subscribe", token, subject)
    }

    fn attempt(&self, act: &str, token: &str, subject: &str) -> Result<(), Objection> {
        let order = json!({"url": self.url(), "token": token, "act": act, "subject": subject});
        let answer = judge("nats_client.py", order);
        match (answer["at"].as_str(), answer["error"].as_str()) {
            (None, None) => Ok(()),
            (Some("connect"), Some(error)) => Err(Objection::Token(error.to_owned())),
            (Some(_), Some(error)) => Err(Objection::Subject(error.to_owned())),
            _ => panic!("{answer}"),
        }
    }
}

/// What the server objects to, in its words.
#[derive(Debug, PartialEq, Eq)]
pub enum Objection {
    /// Refused at the door.
    Token(String),
    /// Connected, but not allowed to do this here.
    Subject(String),
}

/// The claims of a bearer who may publish to `chat.alice` and subscribe below `chat`.
fn claims(nats: &Nats, expires: i64) -> Value {
    let rights = json!({
        "type": "user", "version": 2, "bearer_token": true, "subs": -1, "data": -1, "payload": -1,
        "pub": {"allow": ["chat.alice"]}, "sub": {"allow": ["chat.>"]},
    });
    json!({"jti": "1", "iat": 1, "exp": expires, "sub": nats.user(), "name": "alice", "nats": rights})
}

fn signed(seed: &str, claims: &Value) -> String {
    let answer = judge("nats_user.py", json!({"seed": seed, "claims": claims}));
    answer["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn it_takes_bearers_of_its_account_within_their_claims() {
    let nats = Nats::start().await;
    let token = signed(nats.account_seed(), &claims(&nats, 4_000_000_000));
    assert_eq!(nats.publish(&token, "chat.alice"), Ok(()));
    assert_eq!(nats.subscribe(&token, "chat.bob"), Ok(()));
    let objection = nats.publish(&token, "chat.bob").unwrap_err();
    assert!(
        matches!(&objection, Objection::Subject(text) if text.contains("publish to \"chat.bob\"")),
        "{objection:?}"
    );
    let objection = nats.subscribe(&token, "mail.alice").unwrap_err();
    assert!(matches!(&objection, Objection::Subject(text) if text.contains("mail.alice")), "{objection:?}");
}

#[tokio::test]
async fn it_refuses_tokens_of_others_and_of_the_past() {
    let nats = Nats::start().await;
    let stranger = judge("nats_chain.py", Value::Null);
    let foreign = signed(stranger["account_seed"].as_str().unwrap(), &claims(&nats, 4_000_000_000));
    let mut posing = claims(&nats, 4_000_000_000);
    posing["iss"] = json!(nats.account());
    let posing = signed(stranger["account_seed"].as_str().unwrap(), &posing);
    let past = signed(nats.account_seed(), &claims(&nats, 2));
    for token in [foreign, posing, past] {
        let objection = nats.publish(&token, "chat.alice").unwrap_err();
        assert!(matches!(objection, Objection::Token(_)), "{objection:?}");
    }
}
