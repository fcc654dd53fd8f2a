//! sidemint: a session-token sidecar.
//!
//! It stands beside an application and answers one question: *this signed-in user needs a chat session; here it is.*
//!
//! # The life of a request
//!
//! ```text
//! inbound ──► identity ──► session (cache → upsert → mint) ──► inbound::reply
//!                              └──► provider ──► outbound (the only way out of the process)
//! ```
//!
//! 1. [`inbound`] accepts a connection and decides, once, whether its peer may tell identity. A request on it goes
//!    through the route table to a handler; a gRPC check asks the same as an auth subrequest and has the same handler.
//! 2. [`identity`] turns its headers into an [`identity::Identity`], or a refusal with a reason. Whatever proxies
//!    disagree about is refused.
//! 3. The handler encodes what the answer depends on as a session key. [`session`] hands out the finished answer from
//!    its cache, or mints one: a single flight per key, however many ask.
//! 4. [`provider`] is a definition, compiled. It makes sure the chat system knows the user, then signs a token or asks
//!    for one. [`outbound`] makes the calls.
//! 5. [`inbound`] replies: one table of outcomes, one request line, counters.
//!
//! # The life of an event
//!
//! A provider posts events to a listener of its own. [`webhook`] proves one by the provider's definition, keeps it on disk,
//! answers, and delivers it to the application, signed anew, until the application has taken it.
//!
//! # The life of a server-side call
//!
//! The application's servers call a listener of their own. [`gateway`] knows the caller, matches the call with one operation
//! that it may use, builds the call anew with the provider's credential, and hands the answer back.
//!
//! # Behind this
//!
//! Sessions in use are renewed by the [`clock`], and [`secrets`] are read again when their files change.
//!
//! Where several replicas run, they share sessions, budgets and sign-outs through a tier, which [`shared`] asks.
//!
//! [`config`] is what the operator wrote, checked; [`definition`] is what its formats have in common. [`decode`] reads what
//! others sent, strictly. [`app`] puts the rooms together, [`lifecycle`] starts and stops them, [`cli`] is the command line.
//! [`pacing`] says how often users are served and others are called, and when again after a failure. [`metrics`] and
//! [`telemetry`] tell what happens. Arrows point down only, and each large crate has one door; a test holds both rules.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decode;
pub mod definition;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod gateway;
pub mod identity;
pub mod inbound;
pub mod lifecycle;
pub mod metrics;
pub mod outbound;
pub mod pacing;
pub mod provider;
pub mod secrets;
pub mod session;
pub mod shared;
pub mod telemetry;
pub mod trace;
pub mod webhook;
