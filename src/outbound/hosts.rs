//! Which hosts a part of the configuration may call, where that is not all of them (F-17).

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::address::Reach;

/// Hosts that may be called: by name, where that leads to public addresses, and by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    /// Names, in lower case.
    pub names: BTreeSet<String>,
    /// Addresses, private ones too. Those where machines keep their credentials are never called.
    pub addresses: BTreeSet<IpAddr>,
}

impl Hosts {
    /// Whether a call may have this address.
    pub(super) fn hold(&self, url: &Url) -> bool {
        match url.host() {
            // F-17: hosts by name
            Some(Host::Domain(name)) => self.names.contains(name),
            Some(Host::Ipv4(address)) => self.list(address.into()),
            Some(Host::Ipv6(address)) => self.list(address.into()),
            None => false,
        }
    }

    /// Whether this address is listed, and may be.
    fn list(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address.to_canonical()) && Reach::Private.admits(address)
    }

    /// Whether a name may lead to this address.
    fn admit(&self, address: IpAddr) -> bool {
        // F-17: hosts by address
        Reach::Public.admits(address) || self.list(address)
    }
}

/// The host is not among those that may be called.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("is no host that may be called")]
pub(super) struct NotGranted;

/// Resolves names as the system does, and leaves out what may not be called.
pub(super) struct Granted {
    pub(super) hosts: Arc<Hosts>,
    /// What is read within, where documents are read.
    pub(super) reach: Reach,
}

impl Resolve for Granted {
    fn resolve(&self, name: Name) -> Resolving {
        let (hosts, reach) = (Arc::clone(&self.hosts), self.reach);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let may = |address: &SocketAddr| hosts.admit(address.ip()) && reach.admits(address.ip());
            let admitted: Vec<SocketAddr> = found.filter(may).collect();
            if admitted.is_empty() {
                return Err(NotGranted.into());
            }
            let admitted: Addrs = Box::new(admitted.into_iter());
            Ok(admitted)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F-17: a host is called by a name of the grant that leads to a public address, or by an address of the grant.
    #[tokio::test]
    async fn hosts_are_called_by_name_and_by_address() {
        let hosts = Hosts {
            names: BTreeSet::from(["api.example".to_owned(), "localhost".to_owned()]),
            addresses: ["10.1.2.3", "169.254.169.254", "fd00::7"].map(|text| text.parse().expect(text)).into(),
        };
        for (url, held) in [
            ("https://api.example/", true),
            ("https://API.example:8443/x", true),
            ("https://other.example/", false),
            ("https://sub.api.example/", false),
            ("https://api.example.other.example/", false),
            ("http://10.1.2.3/", true),
            ("http://10.1.2.4/", false),
            ("http://[::ffff:10.1.2.3]/", true),
            ("http://[fd00::7]/", true),
            ("http://169.254.169.254/latest", false),
            ("http://127.0.0.1/", false),
            ("https://8.8.8.8/", false),
        ] {
            assert_eq!(hosts.hold(&url.parse().expect(url)), held, "{url}");
        }
        let granted = Granted { hosts: Arc::new(hosts), reach: Reach::Private };
        let refused = granted.resolve("localhost".parse().expect("a name")).await.err().expect("refused");
        assert!(refused.is::<NotGranted>(), "the name is listed, and leads inside");
    }
}
