//! The way in: listeners, routes, handlers, replies. The only place that knows warp and hyper.
//!
//! [`listener`] accepts a connection and decides once whether its peer may tell identity; [`connection`] reads the heads
//! on it. Each request becomes a [`request::Request`] and goes through the table of [`routes`]. A handler asks `identity`
//! who it is, [`routes::input`] what they add and `session` for what they want, and [`reply`] turns the outcome into an
//! answer.

mod connection;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gateway;
mod grpc;
mod listener;
mod reply;
mod request;
mod routes;
mod service;
mod status;
mod webhook;

use std::sync::Arc;

pub use connection::Protocol;
pub use gateway::Mounts;
pub use grpc::Calls;
pub use listener::{Bound, Entrance, Limits, Tls};
pub use reply::gateway::gateway_row;
pub use reply::{Outcome, Row, Subrequest};
pub use request::body::BodyLimits;
pub use routes::{Routes, form};
pub use service::{Listener, Service, TeamFront, TeamFronts, TeamRoutes};
pub use status::{Recent, StatusPage, TeamRow};

use crate::config;
use crate::identity::Sources;
use crate::metrics::Metrics;
use crate::pacing::Intake;
use crate::provider::{self, Provider};
use crate::session::Sessions;
use crate::telemetry::RequestLog;
use crate::webhook::delivery::Deliveries;
use crate::webhook::store::Store;

/// What handlers are made of.
#[derive(Clone, Debug)]
pub struct AppState {
    /// Who is asking.
    pub sources: Arc<Sources>,
    /// What they get. Its plans are in the order of the configured routes.
    pub sessions: Arc<Sessions>,
    /// Whose public keys are published.
    pub providers: Vec<Arc<Provider>>,
    /// Those that the gateway alone calls.
    pub gateways: Vec<Arc<provider::Gateway>>,
    /// The certificates of the listeners.
    pub tls: Vec<Arc<Tls>>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The request lines.
    pub log: RequestLog,
    /// Rules for browsers.
    pub browser: config::Browser,
    /// Where events of webhooks stand, if they do.
    pub queue: Option<Arc<dyn Store>>,
    /// What brings them to the application.
    pub deliveries: Vec<Arc<Deliveries>>,
    /// The teams, if there are some.
    pub teams: Option<Arc<TeamFronts>>,
    /// What a team may ask of the process; no limit for the platform.
    pub intake: Option<Arc<Intake>>,
    /// Limits of request bodies.
    pub body: BodyLimits,
}
