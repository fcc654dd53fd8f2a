//! Who is at the other end of the connection, and whether that is proof enough to tell identity (threats section 1).

use std::net::IpAddr;

use ipnet::IpNet;

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

/// Proof that a peer may tell identity. Only [`PeerPolicy::prove`] makes one, so code that reads identity without
/// proof does not compile.
#[derive(Clone, Copy, Debug)]
pub struct PeerProof(());

/// Which peers may tell identity.
#[derive(Clone, Debug, Default)]
pub struct PeerPolicy {
    networks: Vec<IpNet>,
    unix_uids: Vec<u32>,
}

impl PeerPolicy {
    /// A policy that believes these networks (canonical, checked by configuration) and unix users.
    pub fn new(networks: Vec<IpNet>, unix_uids: Vec<u32>) -> Self {
        Self { networks, unix_uids }
    }

    /// Whether nobody is believed.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.unix_uids.is_empty()
    }

    /// Whether networks are the only proof: the weakest kind, worth a warning.
    pub fn is_position_only(&self) -> bool {
        !self.networks.is_empty() && self.unix_uids.is_empty()
    }

    /// Decides once per connection.
    pub fn prove(&self, peer: &Peer) -> Option<PeerProof> {
        let believed = match peer {
            Peer::Tcp(address) => self.networks.iter().any(|network| network.contains(address)),
            Peer::Unix { uid } => self.unix_uids.contains(uid),
        };
        believed.then_some(PeerProof(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(networks: &[&str]) -> PeerPolicy {
        PeerPolicy::new(networks.iter().map(|text| text.parse().expect("network")).collect(), vec![1000])
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
            assert_eq!(policy.prove(&peer).is_some(), believed, "{address}");
        }
    }

    #[test]
    fn unix_users_are_compared_exactly() {
        let policy = policy(&["0.0.0.0/0"]);
        assert!(policy.prove(&Peer::Unix { uid: 1000 }).is_some());
        assert!(policy.prove(&Peer::Unix { uid: 0 }).is_none());
    }

    #[test]
    fn nobody_is_believed_by_default() {
        let policy = PeerPolicy::default();
        assert!(policy.is_empty());
        assert!(policy.prove(&Peer::tcp("127.0.0.1".parse().expect("address"))).is_none());
        assert!(policy.prove(&Peer::Unix { uid: 0 }).is_none());
    }
}
