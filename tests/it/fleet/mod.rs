//! Replicas that share a tier, through the front door: they act as one.

mod away;
mod budget;
mod interleavings;
mod servers;
mod sessions;
mod sign_outs;
mod world;
