//! The only way out of the process: one HTTP call with a deadline, a size limit and nothing followed.
//!
//! [`Outbound`] calls what the operator named; [`Poster`] posts to the operator's own application; [`Reader`] reads
//! documents whose address may come from others.

mod address;
mod fault;
mod hosts;
mod poster;
mod reader;
mod services;
mod stream;
mod way;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};
use url::Url;

pub use address::Reach;
pub use fault::{ConnectError, SendError};
pub use hosts::Hosts;
pub use poster::{Answer, Poster};
pub use reader::{ReadError, Reader};
pub use services::Services;
pub use stream::{Download, Streamed, Upload};

use fault::Failure;
use hosts::Granted;
use way::{Way, plain};

use crate::clock::{Clock, Moment};
use crate::config::{self, ConfigError};
use crate::definition::Mistake;

/// Bytes of an answer at most; token answers have a few hundred.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Longest wait for a connection; a call's own deadline may be shorter.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Shorter than the keep-alive of common servers (nginx 75 s, Envoy and load balancers 60 s), so that a call rarely
/// meets a connection that is just being closed.
const POOL_IDLE: Duration = Duration::from_secs(45);
/// Idle connections kept to one host.
const POOL_SIZE: usize = 256;

/// One call.
#[derive(Clone)]
pub struct Call {
    /// Method.
    pub method: Method,
    /// Address, complete with query.
    pub url: Url,
    /// Headers; values that are secret are marked sensitive.
    pub headers: HeaderMap,
    /// Body, if any.
    pub body: Option<Bytes>,
}

impl std::fmt::Debug for Call {
    /// Headers hold credentials, addresses and bodies may hold user ids.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("method", &self.method).field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

/// What came back, whatever its status.
#[derive(Clone)]
pub struct Reply {
    /// Status code. Redirects are not followed, so it may be 3xx.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, complete.
    pub body: Bytes,
}

impl std::fmt::Debug for Reply {
    /// Bodies hold tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// The client; one for the whole process, and one for each team.
#[derive(Clone, Debug)]
pub struct Outbound {
    clients: Clients,
    way: Arc<Way>,
    /// What may be called, where that is not everything.
    hosts: Option<Arc<Hosts>>,
    clock: Arc<dyn Clock>,
}

impl Outbound {
    /// A client that connects by itself.
    pub fn new(clock: Arc<dyn Clock>) -> Result<Self, Mistake> {
        Self::of(Arc::default(), None, clock)
    }

    /// A client that connects as the configuration says.
    pub fn configured(rules: &config::Outbound, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        Self::of(Arc::new(Way::open(rules)?), None, clock).map_err(|mistake| ConfigError::at("sidemint", mistake))
    }

    /// The same way out, to these hosts alone. Where calls go through a proxy, it is the proxy that resolves names.
    pub fn within(&self, hosts: Hosts) -> Result<Self, Mistake> {
        Self::of(Arc::clone(&self.way), Some(Arc::new(hosts)), Arc::clone(&self.clock))
    }

    fn of(way: Arc<Way>, hosts: Option<Arc<Hosts>>, clock: Arc<dyn Clock>) -> Result<Self, Mistake> {
        let kept = |client: reqwest::ClientBuilder| {
            client.pool_idle_timeout(POOL_IDLE).pool_max_idle_per_host(POOL_SIZE).build().map_err(plain)
        };
        let granted = |hosts: &Arc<Hosts>| Granted { hosts: Arc::clone(hosts), reach: Reach::Private };
        let direct = match &hosts {
            Some(hosts) => way.direct().dns_resolver(Arc::new(granted(hosts))),
            None => way.direct(),
        };
        let clients = Clients { direct: kept(direct)?, proxied: way.proxied().map(kept).transpose()? };
        Ok(Self { clients, way, hosts, clock })
    }

    /// Whether a call may have this address.
    fn may_call(&self, url: &Url) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.hold(url))
    }

    /// A reader of public documents within `reach` that goes the same way. `authorities` are certificates in PEM that
    /// servers may be signed by, beside those of the configuration.
    pub fn reader(&self, reach: Reach, authorities: Option<&[u8]>) -> Result<Reader, Mistake> {
        Reader::new((&self.way, self.hosts.clone()), reach, authorities, Arc::clone(&self.clock))
    }

    /// A client for the operator's own application. It trusts the same authorities and goes through no proxy.
    pub fn poster(&self) -> Result<Poster, Mistake> {
        Poster::new(&self.way, Arc::clone(&self.clock))
    }

    /// Sends `call` and reads the whole answer before `deadline`.
    pub async fn send(&self, call: Call, deadline: Moment) -> Result<Reply, SendError> {
        if !self.may_call(&call.url) {
            return Err(SendError::Connect(ConnectError::NotGranted));
        }
        let proxied = self.way.is_proxied(&call.url);
        within(&self.clock, deadline, self.clients.exchange(proxied, call)).await.map_err(|failure| failure.kind())
    }
}

/// One that connects by itself, and one that goes through proxies, where there are any.
#[derive(Clone, Debug)]
struct Clients {
    direct: reqwest::Client,
    proxied: Option<reqwest::Client>,
}

impl Clients {
    async fn exchange(&self, proxied: bool, call: Call) -> Result<Reply, Failure> {
        match &self.proxied {
            Some(client) if proxied => exchange(client, true, call).await,
            _ => exchange(&self.direct, false, call).await,
        }
    }
}

/// What every client is: redirects off (they would carry API keys to other hosts, and readers to hosts inside), and no
/// proxy that the library finds in the environment by itself.
fn base() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("sidemint/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none()) // T-36, T-59, W-17: no redirects
        .no_proxy()
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
}

async fn within(
    clock: &Arc<dyn Clock>,
    deadline: Moment,
    exchange: impl Future<Output = Result<Reply, Failure>>,
) -> Result<Reply, Failure> {
    if clock.moment() >= deadline {
        return Err(Failure::Timeout);
    }
    tokio::select! {
        reply = exchange => reply,
        () = clock.sleep_until(deadline) => Err(Failure::Timeout),
    }
}

async fn exchange(client: &reqwest::Client, proxied: bool, call: Call) -> Result<Reply, Failure> {
    let mut request = reqwest::Request::new(call.method, call.url);
    *request.headers_mut() = call.headers;
    *request.body_mut() = call.body.map(Into::into);
    let broken = |error| Failure::Transport(error, proxied);
    let mut response = client.execute(request).await.map_err(broken)?;
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    if response
        .content_length()
        .is_some_and(|length| usize::try_from(length).is_ok_and(|length| length > MAX_ANSWER_BYTES))
    {
        return Err(Failure::TooLarge);
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(Failure::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status, headers, body: body.freeze() })
}
