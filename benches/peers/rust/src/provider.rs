//! The two calls of a remote session over hyper's pooled client: no warp, no reqwest, nothing cached.

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde::{Deserialize, Serialize};

use crate::{Outcome, Session, setting};

#[derive(Serialize)]
struct Upsert<'a> {
    id: &'a str,
    username: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Mint<'a> {
    user_id: &'a str,
    expires_in: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Minted<'a> {
    token: &'a str,
    expires_at: &'a str,
}

/// A provider at `$API`.
pub struct Provider {
    client: Client<HttpConnector, Full<Bytes>>,
    users: Uri,
    token: Uri,
    api: String,
}

impl Provider {
    pub fn new() -> Outcome<Self> {
        let api: String = setting("API", "http://127.0.0.1:9001/v1".into());
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector),
            users: format!("{api}/users").parse()?,
            token: format!("{api}/auth/token").parse()?,
            api,
        })
    }

    /// Creates or updates the user, mints a token of `seconds`, and renders the answer.
    pub async fn session(&self, id: &str, name: &str, seconds: u64) -> Outcome<Bytes> {
        self.post(&self.users, &Upsert { id, username: name }).await?;
        let mint = Mint { user_id: id, expires_in: seconds };
        let answer = self.post(&self.token, &mint).await?;
        let minted: Minted<'_> = serde_json::from_slice(&answer)?;
        let session = Session {
            token: minted.token,
            expires_at: minted.expires_at,
            api_url: &self.api,
            chat_user_id: id,
            display_name: name,
        };
        Ok(serde_json::to_vec(&session)?.into())
    }

    async fn post(&self, uri: &Uri, body: &impl Serialize) -> Outcome<Bytes> {
        let request = Request::post(uri.clone())
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("x-api-key", HeaderValue::from_static("sk_live_x"))
            .body(Full::new(serde_json::to_vec(body)?.into()))?;
        let response = self.client.request(request).await?;
        if !response.status().is_success() {
            return Err(response.status().as_str().into());
        }
        Ok(response.into_body().collect().await?.to_bytes())
    }
}
