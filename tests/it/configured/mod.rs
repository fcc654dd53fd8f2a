//! What operators write, from files, variables and flags: slips that are told, and bounds that hold.

mod bounds;
mod called;
mod gateway;
mod messages;
mod shared;
mod slips;
mod warnings;
mod webhooks;
