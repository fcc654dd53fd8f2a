//! Events on their way from the store to the application.
//!
//! [`Deliveries`] takes what is due and says what became of it; [`retry`] says when an event comes again. A [`Target`] is
//! an address of the application: it makes attempts and knows whether they make sense. A [`message`] is what is sent, with
//! the signature of [`sign`] by the [`keys`] in use; an [`outcome`] is what the answer says.

mod dispatch;
mod keys;
mod message;
mod outcome;
mod retry;
mod sign;
mod target;

pub use dispatch::{Deliveries, DeliveryStatus};
pub use keys::Signer;
pub use outcome::{Class, Outcome};
pub use sign::SignKey;
pub use target::{Closed, Parts, Role, Target, TargetStatus};
