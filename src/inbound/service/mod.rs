//! A listener with what it answers.

mod teams;

use std::borrow::Cow;
use std::sync::Arc;

pub use teams::{TeamFront, TeamFronts, TeamRoutes};

use super::gateway::Mounts;
use super::grpc::Calls;
use super::listener::{Bound, Entrance, Limits, serve};
use super::routes::Routes;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;

/// An open port, and what it takes to serve it.
#[derive(Debug)]
pub struct Listener {
    /// The key that says where it is.
    pub key: Cow<'static, str>,
    /// The port.
    pub bound: Bound,
    /// What it answers.
    pub service: Service,
    /// What it allows.
    pub limits: Limits,
    /// Who may come in.
    pub entrance: Entrance,
    /// What ends it, and waits for its connections.
    pub lifecycle: Lifecycle,
}

/// What a listener answers.
#[derive(Debug)]
pub enum Service {
    /// Requests over HTTP.
    Routes(Routes),
    /// The same, where teams have hosts of their own.
    Teams(TeamRoutes),
    /// Calls over gRPC.
    Calls(Calls),
    /// Server-side calls.
    Gateway(Mounts),
}

impl Listener {
    /// Accepts connections until the lifecycle drains.
    pub async fn serve(self, metrics: Arc<Metrics>) {
        let Self { key: _, bound, service, limits, entrance, lifecycle } = self;
        match service {
            Service::Routes(routes) => serve(bound, routes, limits, entrance, lifecycle, &metrics).await,
            Service::Teams(routes) => serve(bound, routes, limits, entrance, lifecycle, &metrics).await,
            Service::Gateway(mounts) => serve(bound, mounts, limits, entrance, lifecycle, &metrics).await,
            Service::Calls(calls) => serve(bound, calls, limits, entrance, lifecycle, &metrics).await,
        }
    }
}
