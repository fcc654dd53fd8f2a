//! One look at a source of keys: the calls it takes, and what of the answers is believed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value};
use strum::{IntoStaticStr, VariantArray};
use url::Url;

use super::client::Client;
use super::schedule::fresh_for;
use super::{Key, Keys, jwks};
use crate::clock::{Clock, Moment};
use crate::definition::{Mistake, Mistakes};
use crate::identity::definition::{KeyForm, KeyPlace, KeyPlan, PemUrl};
use crate::metrics::{KeySetMetrics, Label as _};
use crate::outbound::Services;
use crate::outbound::{ReadError, Reply, SendError};
use crate::secrets::{Secret, read_secret};

/// Time for all the calls of one look.
pub(super) const PATIENCE: Duration = Duration::from_secs(3); // T-26: time for a fetch
/// Keys of a source with one address for each, at most: a region's balancers have a few.
const MOST_PEMS: usize = 64;

/// Why a look brought nothing. The last good keys stay in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Fault {
    /// No connection.
    Connect,
    /// No answer in time.
    Timeout,
    /// The connection broke.
    Broken,
    /// An answer larger than any honest one.
    TooLarge,
    /// An address that no request goes to.
    Address,
    /// Another status than 200; redirects are not followed.
    Status,
    /// No key set, or none to use.
    Content,
    /// The description is of another issuer.
    Issuer,
    /// Our own file cannot be read.
    File,
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Address => Self::Address,
            ReadError::Send(SendError::Connect(_)) => Self::Connect,
            ReadError::Send(SendError::Timeout) => Self::Timeout,
            ReadError::Send(SendError::Broken) => Self::Broken,
            ReadError::Send(SendError::TooLarge) => Self::TooLarge,
        }
    }
}

/// What a look brought.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) keys: Vec<Arc<Key>>,
    /// The answer as it came, where there was one: the same answer means the same keys.
    pub(super) text: Option<Bytes>,
    /// As the answer says.
    pub(super) fresh_for: Option<Duration>,
}

/// Looks at one source.
#[derive(Debug)]
pub(super) struct Fetcher {
    plan: KeyPlan,
    client: Arc<Client>,
    clock: Arc<dyn Clock>,
    /// Where the issuer says that its keys are; from the last description.
    discovered: Mutex<Option<Url>>,
}

/// What an issuer says of itself (`OpenID` Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    /// Reads the files that the calls need.
    pub(super) fn new(
        source: &str,
        plan: &KeyPlan,
        services: &Services,
        metrics: &KeySetMetrics,
    ) -> Result<Self, Mistakes> {
        let client = Arc::new(Client::new(source, plan, &services.outbound, metrics)?);
        if let Some(path) = &plan.bearer_file {
            let wrong = |problem: String| Mistake::new("keys.bearer_file", problem);
            let token = read_secret(path).map_err(|error| wrong(error.to_string()))?;
            bearer(&token).ok_or_else(|| wrong(format!("{} holds no token", path.display())))?;
        }
        Ok(Self { plan: plan.clone(), client, clock: Arc::clone(&services.clock), discovered: Mutex::default() })
    }

    /// One look for everything. `known` are the keys that are here.
    pub(super) async fn everything(&self, known: &Keys) -> Result<Fetched, Fault> {
        let deadline = self.clock.moment().plus(PATIENCE);
        match &self.plan.place {
            KeyPlace::Url(url) => self.set(url, deadline).await,
            KeyPlace::Discovery { issuer, url } => {
                let found = self.discover(issuer, url, deadline).await?;
                *self.discovered.lock() = Some(found.clone());
                self.set(&found, deadline).await
            }
            KeyPlace::PemUrl(url) => self.pems(url, known).await,
            KeyPlace::File(_) | KeyPlace::SecretFile(_) => Err(Fault::File),
        }
    }

    /// One look because a token names `kid`, which is not here.
    pub(super) async fn one(&self, kid: Option<&str>, known: &Keys) -> Result<Fetched, Fault> {
        let deadline = self.clock.moment().plus(PATIENCE);
        let discovered = self.discovered.lock().clone();
        match (&self.plan.place, discovered, kid) {
            (KeyPlace::Discovery { .. }, Some(url), _) => self.set(&url, deadline).await,
            (KeyPlace::PemUrl(url), _, Some(kid)) => {
                let mut keys = known.all().to_vec();
                if let Some(key) = self.pem(url, kid, deadline).await? {
                    let surplus = (keys.len() + 1).saturating_sub(MOST_PEMS);
                    keys.drain(..surplus);
                    keys.push(Arc::new(key));
                }
                Ok(Fetched { keys, text: None, fresh_for: None })
            }
            _ => self.everything(known).await,
        }
    }

    /// Whether the source could have a key of this id at all.
    pub(super) fn could_have(&self, kid: Option<&str>) -> bool {
        match (&self.plan.place, kid) {
            (KeyPlace::PemUrl(url), Some(kid)) => url.of(kid).is_some(),
            (KeyPlace::PemUrl(_), None) => false,
            _ => true,
        }
    }

    async fn discover(&self, issuer: &str, url: &Url, deadline: Moment) -> Result<Url, Fault> {
        let reply = self.document(url, deadline).await?;
        let described: Description = serde_json::from_slice(&reply.body).map_err(|_not_one| Fault::Content)?;
        // T-23: described issuer
        if described.issuer != issuer {
            return Err(Fault::Issuer);
        }
        let found: Url = described.jwks_uri.parse().map_err(|_not_one| Fault::Content)?;
        if self.plan.reach.check(&found).is_err() {
            return Err(Fault::Address);
        }
        Ok(found)
    }

    async fn set(&self, url: &Url, deadline: Moment) -> Result<Fetched, Fault> {
        let reply = self.document(url, deadline).await?;
        let keys = match self.plan.form {
            KeyForm::Jwks => jwks::read(&reply.body).map_err(|_broken| Fault::Content)?,
            KeyForm::PemMap => pem_map(&reply.body)?,
        };
        let keys = keys.into_iter().map(Arc::new).collect();
        Ok(Fetched { keys, fresh_for: fresh_for(&reply.headers), text: Some(reply.body) })
    }

    /// Every known key again: those that are gone there are gone here.
    async fn pems(&self, url: &PemUrl, known: &Keys) -> Result<Fetched, Fault> {
        let mut keys = Vec::new();
        for kid in known.all().iter().filter_map(|key| key.kid.as_deref()) {
            let deadline = self.clock.moment().plus(PATIENCE);
            keys.extend(self.pem(url, kid, deadline).await?.map(Arc::new));
        }
        Ok(Fetched { keys, text: None, fresh_for: None })
    }

    /// `None` where the source says that there is no such key.
    async fn pem(&self, url: &PemUrl, kid: &str, deadline: Moment) -> Result<Option<Key>, Fault> {
        let Some(url) = url.of(kid) else { return Ok(None) };
        let reply = self.read(url, deadline).await?;
        match reply.status {
            200 => Key::of_pem(Some(kid), &reply.body).map(Some).map_err(|_unusable| Fault::Content),
            // Stores of objects say 403 for what is not there.
            400 | 403 | 404 | 410 => Ok(None),
            _ => Err(Fault::Status),
        }
    }

    /// A document that must be there.
    async fn document(&self, url: &Url, deadline: Moment) -> Result<Reply, Fault> {
        let reply = self.read(url.clone(), deadline).await?;
        if reply.status == 200 { Ok(reply) } else { Err(Fault::Status) }
    }

    async fn read(&self, url: Url, deadline: Moment) -> Result<Reply, Fault> {
        let mut headers = HeaderMap::new();
        if self.plan.place.is_named(&url)
            && let Some(credential) = self.credential().await?
        {
            headers.insert(AUTHORIZATION, credential);
        }
        Ok(self.client.renewed().await.read(url, headers, deadline).await?)
    }

    /// What is shown to the server.
    async fn credential(&self) -> Result<Option<HeaderValue>, Fault> {
        let Some(path) = self.plan.bearer_file.clone() else { return Ok(None) };
        // Files may be slow, so no worker reads them.
        let token = tokio::task::spawn_blocking(move || read_secret(&path)).await;
        let token = token.ok().and_then(Result::ok).ok_or(Fault::File)?;
        bearer(&token).map(Some).ok_or(Fault::File)
    }
}

fn bearer(token: &Secret) -> Option<HeaderValue> {
    let value = [b"Bearer ", token.expose().trim_ascii()].concat();
    let mut value = HeaderValue::from_bytes(&value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A JSON object from key id to PEM, as Google publishes it.
fn pem_map(text: &[u8]) -> Result<Vec<Key>, Fault> {
    let map: Map<String, Value> = serde_json::from_slice(text).map_err(|_not_one| Fault::Content)?;
    let read = |(kid, pem): (&String, &Value)| Key::of_pem(Some(kid), pem.as_str()?.as_bytes()).ok();
    let keys: Vec<Key> = map.iter().filter_map(read).collect();
    if keys.is_empty() || map.len() > MOST_PEMS { Err(Fault::Content) } else { Ok(keys) }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
