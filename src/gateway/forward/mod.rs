//! The life of a call on its way to the provider and back.

mod known;
mod places;
mod send;
mod upload;

pub use known::KnownNeedles;
pub use places::{CallerPlaces, Place, Places};
pub use send::{Sender, Sending, Sent, Times, Unsent};
pub use upload::{End, Upload};
