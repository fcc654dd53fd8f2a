//! Identity: turns proof into an [`Identity`] or a [`Refusal`].
//!
//! [`Sources`] compiles what is configured: definitions ([`definition`]) become sources ([`source`]), and what proves a
//! peer becomes [`Peers`]. Each route has a [`Resolver`], which `inbound` asks once per request; nothing else can make
//! an [`Identity`].

mod claims;
mod definition;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod keys;
mod peer;
mod refusal;
mod request;
mod resolver;
mod source;
mod token;
mod user;

pub use definition::{PRESETS, reads_bodies, settings, summary};
pub use keys::KeySetStatus;
pub use peer::{CallerGate, ConnectionProof, Peer, PeerProof, Peers, Rank};
pub use refusal::Refusal;
pub use request::{Evidence, Relayed, Worth};
pub use resolver::Resolver;
pub use source::{Assertions, IdentityStatus, Sources};
pub use user::{Identity, Roles};
