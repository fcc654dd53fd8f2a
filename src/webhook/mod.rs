//! Webhooks: what a provider posts is proven, kept, and delivered to the application until the application has taken it.
//!
//! ```text
//! provider ──► inbound ──► receive: scheme proves it ──► store keeps it ──► 200
//!                                                           └──► delivery: signed anew ──► application
//! ```
//!
//! A [`scheme`] proves an event with the [`keys`] of a moment, which come out of [`secrets`]. [`refusal`] are the reasons
//! for which an event is refused, [`event`] is one that is proven, [`store`] keeps it until it is taken, [`delivery`]
//! brings it there.

pub mod delivery;
pub mod event;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod keys;
pub mod refusal;
pub mod scheme;
pub mod secrets;
pub mod store;
