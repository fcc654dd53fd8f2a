//! The `[identity]` section, checked as far as that can be done without knowing what sources are.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use serde_json::Value;

use super::Listen;

/// Who tells the user, and who may.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Names of the sources, in the order in which they are asked.
    pub source: Vec<String>,
    /// How far the clocks of those who sign and relay claims may be from ours.
    pub leeway: Duration,
    /// Definitions and settings of the operator's own, as written.
    pub sources: BTreeMap<String, Value>,
    /// What proves a peer that tells identity.
    pub peers: Peers,
    /// Services that prove themselves in another way, and name a user.
    pub callers: BTreeMap<String, Caller>,
    /// Who is served.
    pub users: Users,
    /// Groups that give a role, by role.
    pub roles: BTreeMap<String, Vec<String>>,
    /// File of the section, for messages.
    pub origin: String,
}

/// What proves a peer. Every kind that is set must hold; within a kind, one value is enough.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// Networks that it connects from.
    pub networks: Vec<IpNet>,
    /// Users of unix sockets.
    pub unix_uids: Vec<u32>,
    /// Names in its client certificate: `spiffe://…` (URI) or `dns:NAME`.
    pub certificates: Vec<String>,
    /// SPIFFE ids that our own Envoy sidecar says it has, in `X-Forwarded-Client-Cert`.
    pub xfcc: Vec<String>,
    /// Workloads that our own Linkerd proxy says it is, in `l5d-client-id`.
    pub linkerd: Vec<String>,
    /// Keys for signed requests.
    pub hmac_key_files: Vec<PathBuf>,
    /// Shared secrets.
    pub secret_files: Vec<PathBuf>,
    /// Header of the shared secret.
    pub secret_header: Option<HeaderName>,
    /// Whether a network that holds every address was asked for by name.
    pub insecure_trust_every_peer: bool,
}

impl Peers {
    /// Whether nothing is configured, so that no peer is trusted.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
            && self.unix_uids.is_empty()
            && self.certificates.is_empty()
            && self.xfcc.is_empty()
            && self.linkerd.is_empty()
            && self.hmac_key_files.is_empty()
            && self.secret_files.is_empty()
    }

    /// Whether one of the networks has an address from which `listen` can be reached. Where no network is asked, the place
    /// of a peer says nothing.
    pub fn can_reach(&self, listen: &Listen) -> bool {
        match listen {
            Listen::Unix(_) => true,
            Listen::Tcp(address) => {
                self.networks.is_empty() || self.networks.iter().any(|net| reaches(net, address.ip()))
            }
        }
    }
}

/// Whether a peer in `net` can connect to a listener on `ip`: loopback is reached from loopback only, and what is sent
/// from there reaches no other address.
fn reaches(net: &IpNet, ip: IpAddr) -> bool {
    let has_loopback = match net {
        IpNet::V4(v4) => v4.contains(&Ipv4Addr::LOCALHOST) || v4.addr().is_loopback(),
        IpNet::V6(v6) => v6.contains(&Ipv6Addr::LOCALHOST),
    };
    let is_loopback = net.addr().is_loopback();
    match ip {
        // A socket on all addresses of IPv6 mostly takes IPv4 as well.
        IpAddr::V6(own) if own.is_unspecified() => true,
        ip if net.addr().is_ipv4() != ip.is_ipv4() => false,
        ip if ip.is_unspecified() => true,
        ip if ip.is_loopback() => has_loopback,
        _ => !is_loopback,
    }
}

/// A service that may name a user.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// What proves it.
    pub proof: Peers,
    /// A token of its own that it must show.
    pub token: Option<CallerToken>,
    /// Names of the routes that it may use ([`Route::name`](super::Route::name)); empty means all.
    pub routes: Vec<String>,
}

/// A service's own token.
#[derive(Clone, Debug)]
pub struct CallerToken {
    /// Name of the source that verifies it.
    pub source: String,
    /// Its subjects.
    pub subjects: Vec<String>,
}

/// Who is served.
#[derive(Clone, Default)]
pub struct Users {
    /// Only these subjects, if there are any.
    pub allow: Vec<String>,
    /// Or members of these groups.
    pub allow_groups: Vec<String>,
    /// Never these subjects.
    pub deny: Vec<String>,
    /// Nor those in this file, one a line; read again when it changes.
    pub deny_file: Option<PathBuf>,
}

impl std::fmt::Debug for Users {
    /// The lists are full of user ids.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { allow, allow_groups: _, deny, deny_file } = self;
        let mut shown = f.debug_struct("Users");
        shown
            .field("allow", &allow.len())
            .field("deny", &deny.len())
            .field("deny_file", deny_file)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_reach_listeners_of_their_kind() {
        for (net, listen, reaches) in [
            ("10.20.0.0/16", "127.0.0.1:8080", false),
            ("10.20.0.0/16", "0.0.0.0:8080", true),
            ("10.20.0.0/16", "[::]:8080", true),
            ("10.20.0.0/16", "10.20.0.7:8080", true),
            ("10.20.0.0/16", "[::1]:8080", false),
            ("127.0.0.0/8", "127.0.0.1:8080", true),
            ("127.0.0.1/32", "127.0.0.1:8080", true),
            ("127.0.0.5/32", "127.0.0.1:8080", true),
            ("127.0.0.0/8", "10.20.0.7:8080", false),
            ("0.0.0.0/0", "127.0.0.1:8080", true),
            ("::1/128", "[::1]:8080", true),
            ("::1/128", "127.0.0.1:8080", false),
            ("fd00::/8", "[::1]:8080", false),
            ("fd00::/8", "0.0.0.0:8080", false),
            ("fd00::/8", "[fd00::1]:8080", true),
        ] {
            let peers = Peers { networks: vec![net.parse().expect(net)], ..Peers::default() };
            let listen = Listen::Tcp(listen.parse().expect(listen));
            assert_eq!(peers.can_reach(&listen), reaches, "{net} {listen}");
            assert!(Peers::default().can_reach(&listen));
        }
    }
}
