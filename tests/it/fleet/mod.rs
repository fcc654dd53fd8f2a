//! Replicas that share a tier, through the front door: they act as one.

mod away;
mod interleavings;
mod sessions;
mod sign_outs;
mod world;
