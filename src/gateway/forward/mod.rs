//! The life of a call on its way to the provider and back.

mod places;
mod upload;

pub use places::{CallerPlaces, Place, Places};
pub use upload::{End, Upload};
