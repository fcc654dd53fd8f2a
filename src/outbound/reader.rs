//! Reads public documents of others, such as key sets: to safe addresses only, small, and nothing followed.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, Method};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

use super::address::Reach;
use super::{Call, Reply, SendError, base, exchange, within};
use crate::clock::{Clock, Moment};

/// Why a document could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is where nobody is sent.
    #[error("the address is not one to read from")]
    Address,
    /// There was no answer.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// A client that reads documents within a [`Reach`].
#[derive(Clone, Debug)]
pub struct Reader {
    client: reqwest::Client,
    reach: Reach,
    clock: Arc<dyn Clock>,
}

impl Reader {
    /// Builds the client. `authorities` are certificates in PEM that servers may be signed by, beside the system's.
    pub fn new(reach: Reach, authorities: Option<&[u8]>, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let plain = |error: reqwest::Error| error.without_url().to_string();
        let mut builder = base().dns_resolver(Arc::new(Within(reach)));
        if let Some(pem) = authorities {
            let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(plain)?;
            if certificates.is_empty() {
                return Err("holds no certificate".to_owned());
            }
            builder = builder.tls_certs_merge(certificates);
        }
        Ok(Self { client: builder.build().map_err(plain)?, reach, clock })
    }

    /// Reads `url` before `deadline`.
    pub async fn read(&self, url: Url, headers: HeaderMap, deadline: Moment) -> Result<Reply, ReadError> {
        // Addresses that stand in the URL itself are never resolved, so they are looked at here.
        if self.reach.check(&url).is_err() {
            return Err(ReadError::Address);
        }
        let call = Call { method: Method::GET, url, headers, body: None };
        let reply = within(&self.clock, deadline, exchange(&self.client, call)).await;
        reply.map_err(|failure| if failure.is::<NotAdmitted>() { ReadError::Address } else { failure.kind().into() })
    }
}

/// A name leads only to addresses that nobody is sent to.
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

    use super::*;
    use crate::clock::SystemClock;

    async fn read(reach: Reach, url: &str) -> Result<Reply, ReadError> {
        let reader = Reader::new(reach, None, Arc::new(SystemClock)).expect("a client");
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
        let failure = exchange(&client, call).await.expect_err("refused");
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
