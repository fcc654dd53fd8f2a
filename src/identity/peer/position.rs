//! Where a connection comes from: an address, or a user of this machine.

use ipnet::IpNet;

use super::Peer;
use crate::config::{self, Listen};

/// Networks for TCP, user ids for unix sockets.
#[derive(Debug)]
pub(super) struct Position {
    networks: Vec<IpNet>,
    uids: Vec<u32>,
}

impl Position {
    /// The demand, where there is one.
    pub(super) fn of(configured: &config::Peers) -> Option<Self> {
        let position = Self { networks: configured.networks.clone(), uids: configured.unix_uids.clone() };
        (!position.networks.is_empty() || !position.uids.is_empty()).then_some(position)
    }

    /// Whether `peer` is where it should be. Networks are no demand on a unix socket, but no proof either.
    pub(super) fn holds(&self, peer: Peer) -> bool {
        match peer {
            Peer::Tcp(address) => self.networks.iter().any(|network| network.contains(&address)),
            Peer::Unix { uid } => self.uids.contains(&uid),
        }
    }

    /// Whether a peer of `listen` could be there.
    pub(super) fn can_hold(&self, listen: &Listen) -> bool {
        match listen {
            Listen::Tcp(_) => !self.networks.is_empty(),
            Listen::Unix(_) => !self.uids.is_empty(),
        }
    }

    /// Whether networks beyond this machine are among those believed.
    pub(super) fn reaches_out(&self) -> bool {
        self.networks.iter().any(|network| !network.addr().is_loopback())
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let networks = self.networks.iter().map(ToString::to_string);
        let uids = self.uids.iter().map(|uid| format!("uid {uid}"));
        f.write_str(&networks.chain(uids).collect::<Vec<_>>().join(", "))
    }
}
