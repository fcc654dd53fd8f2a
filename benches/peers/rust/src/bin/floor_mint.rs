//! A local EdDSA mint with its claims compiled in, on bare warp: what data-driven claims are compared with.
//!
//! `EXTRA_CLAIMS` adds that many more, each a plain copy of the user's id or name, so that the price of one claim can
//! be told from the price of a request.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode};
use serde::{Serialize, Serializer, ser::SerializeMap};
use sidemint_peers::{Outcome, Session, json, listener, refused, run, setting, user};
use warp::{Filter, reply::Response};

const LIFETIME: u64 = 3600;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    name: &'a str,
    iat: u64,
    exp: u64,
    grants: Grants<'a>,
    #[serde(flatten)]
    extra: Extra<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Grants<'a> {
    room: &'a str,
    room_join: bool,
    can_publish: bool,
    can_subscribe: bool,
    can_publish_data: bool,
    hidden: bool,
}

struct Extra<'a> {
    names: &'a [String],
    id: &'a str,
    name: &'a str,
}

impl Serialize for Extra<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.names.len()))?;
        for (i, claim) in self.names.iter().enumerate() {
            map.serialize_entry(claim, if i % 2 == 0 { self.id } else { self.name })?;
        }
        map.end()
    }
}

struct Minter {
    key: Ed25519KeyPair,
    header: String,
    extra: Vec<String>,
}

impl Minter {
    fn new() -> Outcome<Self> {
        Ok(Self {
            key: Ed25519KeyPair::generate()?,
            header: URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","typ":"JWT","kid":"key_01"}"#),
            extra: (0..setting("EXTRA_CLAIMS", 0)).map(|i| format!("claim_{i:03}")).collect(),
        })
    }

    fn session(&self, headers: &HeaderMap) -> Outcome<Response> {
        let (id, name) = user(headers).ok_or("no user")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let exp = now + LIFETIME;
        let claims = Claims {
            iss: "sidemint",
            aud: "chat",
            sub: id,
            name,
            iat: now,
            exp,
            grants: Grants {
                room: "lobby",
                room_join: true,
                can_publish: true,
                can_subscribe: true,
                can_publish_data: true,
                hidden: false,
            },
            extra: Extra { names: &self.extra, id, name },
        };
        let session = Session {
            token: &self.sign(&serde_json::to_vec(&claims)?),
            expires_at: &jiff::Timestamp::from_second(exp.try_into()?)?.to_string(),
            api_url: "http://127.0.0.1:9001/v1",
            chat_user_id: id,
            display_name: name,
        };
        Ok(json(serde_json::to_vec(&session)?.into()))
    }

    fn sign(&self, claims: &[u8]) -> String {
        let mut token = String::with_capacity(self.header.len() + claims.len() * 4 / 3 + 96);
        token.push_str(&self.header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.key.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }
}

fn main() -> Outcome {
    run(async {
        let minter = Arc::new(Minter::new()?);
        let session = warp::path!("api" / "chat" / "session")
            .and(warp::header::headers_cloned())
            .map(move |headers| minter.session(&headers).unwrap_or_else(|_| refused(StatusCode::UNAUTHORIZED)));
        warp::serve(session).incoming(listener()?).run().await;
        Ok(())
    })
}
