//! A connection between its socket and hyper: its phase, its patience, and the heads that come on it.
//!
//! [`Guarded`] is the stream that hyper reads. In it [`head::Reader`] sees every byte first, and hands over nothing but whole
//! heads: what a head may be is decided here, and hyper holds no part of one that never ends.

mod budget;
mod farewell;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod head;
mod patience;
mod phase;
mod stream;
mod streams;
#[cfg(test)]
mod tests;

pub(super) use budget::{Budget, Held, Share};
pub(super) use head::{HeadFault, HeadLimits, fault_of_http2, is_same};
pub(super) use patience::Patience;
pub(super) use phase::Phase;
pub(super) use stream::{Guarded, HeadRules, Spoken};

/// What a listener, or a connection of it, speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/1.1, or HTTP/2 with prior knowledge: the first bytes tell.
    Either,
    /// HTTP/2 alone, as gRPC is.
    Http2,
}
