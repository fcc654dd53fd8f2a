//! Reads public documents of others, such as key sets: to safe addresses only, small, and nothing followed.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, Method};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

use super::address::Reach;
use super::hosts::{Granted, Hosts, NotGranted};
use super::way::{self, Way, plain};
use super::{Call, Clients, Reply, SendError, within};
use crate::clock::{Clock, Moment};
use crate::definition::Mistake;

/// Why a document could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is outside of the reach.
    #[error("the address is not one to read from")]
    Address,
    /// There was no answer.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// A client that reads documents within a [`Reach`].
///
/// Where the configuration has a proxy, public documents are read through it. Names are then resolved there, so that it is
/// the proxy that must not connect to addresses inside; what the address itself says is looked at here as ever. Private
/// documents are never read through a proxy: they are inside, and so are we.
#[derive(Clone, Debug)]
pub struct Reader {
    clients: Clients,
    way: Arc<Way>,
    hosts: Option<Arc<Hosts>>,
    reach: Reach,
    clock: Arc<dyn Clock>,
}

impl Reader {
    pub(super) fn new(
        (way, hosts): (&Arc<Way>, Option<Arc<Hosts>>),
        reach: Reach,
        authorities: Option<&[u8]>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Mistake> {
        let authorities = authorities.map(way::authorities).transpose()?.unwrap_or_default();
        let build =
            |client: reqwest::ClientBuilder| client.tls_certs_merge(authorities.iter().cloned()).build().map_err(plain);
        // T-23: proxy of public sources
        let proxied = if reach == Reach::Public { way.proxied() } else { None };
        let direct = match &hosts {
            Some(hosts) => way.direct().dns_resolver(Arc::new(Granted { hosts: Arc::clone(hosts), reach })),
            None => way.direct().dns_resolver(Arc::new(Within(reach))),
        };
        let clients = Clients { direct: build(direct)?, proxied: proxied.map(build).transpose()? };
        Ok(Self { clients, way: Arc::clone(way), hosts, reach, clock })
    }

    /// Reads `url` before `deadline`.
    pub async fn read(&self, url: Url, headers: HeaderMap, deadline: Moment) -> Result<Reply, ReadError> {
        // Addresses that stand in the URL itself are never resolved, so they are looked at here.
        if self.reach.check(&url).is_err() || self.hosts.as_ref().is_some_and(|hosts| !hosts.hold(&url)) {
            return Err(ReadError::Address);
        }
        let proxied = self.way.is_proxied(&url);
        let call = Call { method: Method::GET, url, headers, body: None };
        let reply = within(&self.clock, deadline, self.clients.exchange(proxied, call)).await;
        reply.map_err(|failure| {
            if failure.is::<NotAdmitted>() || failure.is::<NotGranted>() {
                ReadError::Address
            } else {
                failure.kind().into()
            }
        })
    }
}

/// A name leads only to addresses outside of the reach.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("leads to no address that may be read from")]
struct NotAdmitted;

/// Resolves names as the system does, and leaves out what is outside of the reach.
struct Within(Reach);

impl Resolve for Within {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            // T-23: resolved address
            let admitted: Vec<SocketAddr> = found.filter(|address| reach.admits(address.ip())).collect();
            if admitted.is_empty() {
                return Err(NotAdmitted.into());
            }
            let admitted: Addrs = Box::new(admitted.into_iter());
            Ok(admitted)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Outbound, base, exchange};
    use super::*;
    use crate::clock::SystemClock;

    async fn read(reach: Reach, url: &str) -> Result<Reply, ReadError> {
        let outbound = Outbound::new(Arc::new(SystemClock)).expect("a client");
        let reader = outbound.reader(reach, None).expect("a client");
        let deadline = SystemClock.moment().plus(Duration::from_secs(20));
        reader.read(url.parse().expect(url), HeaderMap::new(), deadline).await
    }

    /// T-23: a name that leads inside is refused once it is resolved, before anything connects.
    #[tokio::test]
    async fn names_that_lead_inside_are_refused_when_resolved() {
        let name: Name = "localhost".parse().expect("a name");
        let refused = Within(Reach::Public).resolve(name).await.err().expect("refused");
        assert!(refused.is::<NotAdmitted>());
        let name: Name = "localhost".parse().expect("a name");
        assert!(Within(Reach::Private).resolve(name).await.is_ok());
        // `localhost.` and such are refused by name; this one passes there, so the resolver must stop it.
        let client = base().dns_resolver(Arc::new(Within(Reach::Public))).build().expect("a client");
        let url = "https://localhost/".parse().expect("an address");
        let call = Call { method: Method::GET, url, headers: HeaderMap::new(), body: None };
        let failure = exchange(&client, false, call).await.expect_err("refused");
        assert!(failure.is::<NotAdmitted>());
    }

    #[tokio::test]
    async fn addresses_in_the_url_are_refused_before_anything_connects() {
        for url in ["https://127.0.0.1/", "https://[::1]/", "http://127.0.0.1/", "https://169.254.169.254/"] {
            assert_eq!(read(Reach::Public, url).await.expect_err(url), ReadError::Address, "{url}");
        }
        assert_eq!(read(Reach::Private, "http://169.254.169.254/").await.expect_err("refused"), ReadError::Address);
    }
}
