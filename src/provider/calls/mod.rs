//! The calls of a definition: steps in order, what proves who calls, and what the answers mean.

pub(super) mod advice;
pub(super) mod auth;
pub(super) mod error;
pub(super) mod expiry;
pub(super) mod journal;
pub(super) mod sequence;
pub(super) mod step;
