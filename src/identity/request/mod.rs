//! What a request carries: its header lines, which say one thing or are refused, and how they hold text.

pub(super) mod ambiguity;
pub(super) mod encoding;
mod evidence;
mod relayed;

pub use evidence::{Evidence, Worth};
pub use relayed::Relayed;

#[cfg(test)]
mod tests;
