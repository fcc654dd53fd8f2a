//! The provider: `POST /v1/users`, then `POST /v1/auth/token`, each answered after `DELAY_MS`.
//!
//! `GET /stats` tells how many tokens were minted and how many mints were in flight at once.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use jiff::{Timestamp, ToSpan};
use serde::Deserialize;
use sidemint_peers::{Outcome, json, run, serve, setting};

/// As long as the token of the fixed answer, so that every peer sends the same number of bytes.
const TOKEN_BODY: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSIsImtpZCI6ImtleV8wMSJ9.eyJzdWIiOiJ1c2VyX2FiYzEyMyIsImF1ZCI6ImFwcF9kZW1vIiwibmFtZSI6IkphbmUgRG9lIiwiaWF0IjoxNzgwMDAwMDAwLCJleHAiOjE3ODAwMDM2MDB9.c2lnbmF0dXJlLXNpZ25hdHVyZS1zaWduYXR1cmUtc2lnbmF0dXJlLXNpZ25hdHVyZS1zaWduYXR1cmUtc2ln";

static MINTED: AtomicU64 = AtomicU64::new(0);
static MINTING: AtomicU64 = AtomicU64::new(0);
static MOST_AT_ONCE: AtomicU64 = AtomicU64::new(0);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mint {
    expires_in: i64,
}

/// Milliseconds are kept, or a life of three seconds would be anything between two and three.
fn token(body: &[u8]) -> Outcome<String> {
    let number = MINTED.fetch_add(1, Relaxed);
    let life = serde_json::from_slice::<Mint>(body)?.expires_in;
    let expires_at = (Timestamp::try_from(SystemTime::now())? + life.seconds()).strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
    Ok(format!(r#"{{"token":"{TOKEN_BODY}{number:08}","expiresAt":"{expires_at}"}}"#))
}

async fn answer(request: Request<Incoming>, delay: Duration) -> Outcome<String> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    if parts.method == Method::POST {
        parts.headers.get("x-api-key").ok_or("no key")?;
        tokio::time::sleep(delay).await;
    }
    match parts.uri.path() {
        "/v1/users" => Ok(r#"{"ok":true}"#.into()),
        "/v1/auth/token" => token(&body),
        "/stats" => Ok(format!(r#"{{"minted":{},"at_once":{}}}"#, MINTED.load(Relaxed), MOST_AT_ONCE.load(Relaxed))),
        other => Err(other.into()),
    }
}

async fn counted(request: Request<Incoming>, delay: Duration) -> Response<Full<Bytes>> {
    let minting = request.method() == Method::POST;
    if minting {
        MOST_AT_ONCE.fetch_max(MINTING.fetch_add(1, Relaxed) + 1, Relaxed);
    }
    let answer = answer(request, delay).await;
    if minting {
        MINTING.fetch_sub(1, Relaxed);
    }
    answer.map(|text| json(text.into())).unwrap_or_else(|error| {
        let mut refused = json(error.to_string().into());
        *refused.status_mut() = StatusCode::BAD_REQUEST;
        refused
    })
}

fn main() -> Outcome {
    let delay = Duration::from_millis(setting("DELAY_MS", 0));
    run(serve(move |request| counted(request, delay)))
}
