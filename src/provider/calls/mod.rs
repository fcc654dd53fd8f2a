//! The calls of a definition: steps in order, what proves who calls, and what the answers mean. [`access`] is what they share
//! with the calls that the [`gateway`] makes for an application.

pub(super) mod access;
pub(super) mod advice;
pub(super) mod auth;
pub(super) mod budget;
pub(super) mod error;
pub(super) mod expiry;
pub(super) mod gateway;
pub(super) mod journal;
pub(super) mod sequence;
pub(super) mod step;
pub(super) mod virtual_key;
