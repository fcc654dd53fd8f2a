//! The other end of a connection, and what the connection alone proves.

use std::net::IpAddr;

/// The other end of the connection, and nothing else: `X-Forwarded-For` and its kin never enter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
        Self::Tcp(address.to_canonical()) // T-10: mapped peer
    }
}

/// What a connection proves, found out once when it is accepted.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionProof {
    pub(in crate::identity) peer: Peer,
    /// One bit for each proof whose demands on a connection are met.
    pub(in crate::identity) met: u64,
    pub(in crate::identity) rank: Rank,
}

/// How far a connection alone says that its peer may be believed. Places of a listener are shared by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Nothing that a request shows can be worth anything here.
    Unproven,
    /// A request may prove something: with a secret, a signature or a token that is proof, no matter which peer sends it.
    Open,
    /// The connection is as a proof demands: it comes from a listed network or user, or shows a listed certificate.
    Known,
}

impl ConnectionProof {
    /// How far the connection alone says that its peer may be believed.
    pub fn rank(self) -> Rank {
        self.rank
    }

    /// The other end.
    pub fn peer(self) -> Peer {
        self.peer
    }

    /// Whether the connection alone meets no proof, not even in part. Such a peer may still bring a token.
    pub fn meets_no_proof(self) -> bool {
        self.met == 0
    }
}
