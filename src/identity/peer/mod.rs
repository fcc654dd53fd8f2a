//! Who is at the other end of the connection, and whether that is proof enough to tell identity (threats section 1).

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Asking, Refusal};
use crate::config;

/// The other end of the connection, and nothing else: `X-Forwarded-For` and its kin never enter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Address of a TCP peer, in canonical form (IPv4-mapped addresses are IPv4).
    Tcp(IpAddr),
    /// User id of a process on a unix socket, told by the kernel.
    Unix {
        /// Effective user id at the time of connecting.
        uid: u32,
    },
}

impl Peer {
    /// A TCP peer. The address is made canonical before anything is compared with it (T-10).
    pub fn tcp(address: IpAddr) -> Self {
        Self::Tcp(address.to_canonical())
    }
}

/// Proof that a peer may tell identity. Only [`Peers::prove`] makes one, so code that reads identity without proof does
/// not compile.
#[derive(Clone, Copy, Debug)]
pub struct PeerProof(());

/// What a connection proves, found out once when it is accepted.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// The other end.
    pub peer: Peer,
    /// Whether it meets what `[identity.peers]` asks of a connection.
    peers: bool,
}

/// Who may tell identity.
#[derive(Debug, Default)]
pub struct Peers {
    networks: Vec<IpNet>,
    unix_uids: Vec<u32>,
}

impl Peers {
    /// Those that are configured; checked by configuration.
    pub fn new(configured: &config::Peers) -> Self {
        Self { networks: configured.networks.clone(), unix_uids: configured.unix_uids.clone() }
    }

    /// Whether nobody is believed.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.unix_uids.is_empty()
    }

    /// Whether networks are the only proof: the weakest kind, worth a warning.
    pub fn is_position_only(&self) -> bool {
        !self.networks.is_empty() && self.unix_uids.is_empty()
    }

    /// What a new connection proves. `names` are those in its verified client certificate.
    pub fn meet(&self, peer: Peer, _names: &[String]) -> Standing {
        let believed = match peer {
            Peer::Tcp(address) => self.networks.iter().any(|network| network.contains(&address)),
            Peer::Unix { uid } => self.unix_uids.contains(&uid),
        };
        Standing { peer, peers: believed }
    }

    /// Whether a request on the route at `path` may tell identity.
    pub(super) fn prove(&self, asking: &Asking<'_>, _path: &str) -> Result<PeerProof, Refusal> {
        if asking.standing.peers { Ok(PeerProof(())) } else { Err(Refusal::PeerUntrusted) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(networks: &[&str]) -> Peers {
        let networks = networks.iter().map(|text| text.parse().expect("network")).collect();
        Peers::new(&config::Peers { networks, unix_uids: vec![1000], ..config::Peers::default() })
    }

    #[test]
    fn mapped_peers_are_compared_as_ipv4() {
        let policy = policy(&["10.0.0.0/8"]);
        for (address, believed) in [
            ("10.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("::ffff:0a00:1", true),
            ("11.0.0.1", false),
            ("::10.0.0.1", false),
            ("64:ff9b::a00:1", false),
            ("::ffff:11.0.0.1", false),
            ("::1", false),
        ] {
            let peer = Peer::tcp(address.parse().expect("address"));
            assert_eq!(policy.meet(peer, &[]).peers, believed, "{address}");
        }
    }

    #[test]
    fn unix_users_are_compared_exactly() {
        let policy = policy(&["0.0.0.0/0"]);
        assert!(policy.meet(Peer::Unix { uid: 1000 }, &[]).peers);
        assert!(!policy.meet(Peer::Unix { uid: 0 }, &[]).peers);
    }

    #[test]
    fn nobody_is_believed_by_default() {
        let policy = Peers::default();
        assert!(policy.is_empty());
        assert!(!policy.meet(Peer::tcp("127.0.0.1".parse().expect("address")), &[]).peers);
        assert!(!policy.meet(Peer::Unix { uid: 0 }, &[]).peers);
    }
}
