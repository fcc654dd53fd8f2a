//! What one route asks for: lifetime, deadline, form and provider, and what a session of it depends on.

use std::sync::Arc;
use std::time::Duration;

use super::Form;
use super::key::{self, Depends, RouteId};
use crate::config;
use crate::identity::{Identity, Roles};
use crate::metrics::{Counter, Metrics};
use crate::provider::{Inputs, ProfileUse, Provider};

/// What is served under one route.
#[derive(Clone, Debug)]
#[expect(clippy::partial_pub_fields, reason = "a record that handlers read, and counters that only this room counts")]
pub struct Plan {
    /// Name of the route.
    pub id: RouteId,
    /// What was configured.
    pub route: config::Route,
    /// Who mints.
    pub provider: Arc<Provider>,
    /// Lifetime to ask for.
    pub ttl: Duration,
    /// How long a request waits.
    pub deadline: Duration,
    /// In which form it answers.
    pub form: Form,
    roles: Arc<Roles>,
    pub(super) counters: Counters,
}

#[derive(Clone, Debug)]
pub(super) struct Counters {
    pub(super) hit: Counter,
    pub(super) stale: Counter,
    pub(super) minted: Counter,
    pub(super) renewed: Counter,
    pub(super) expired: Counter,
}

impl Plan {
    /// Plans a route. Its lifetime must have passed [`crate::provider::Lifetime::check`].
    pub fn new(
        route: &config::Route,
        form: Form,
        provider: Arc<Provider>,
        roles: Arc<Roles>,
        metrics: &Metrics,
    ) -> Self {
        let count = |how| metrics.session.sessions(&route.path, how);
        let counters = Counters {
            hit: count("hit"),
            stale: count("stale"),
            minted: count("minted"),
            renewed: count("renewed"),
            expired: count("expired"),
        };
        let ttl = route.ttl.unwrap_or(provider.lifetime().default);
        let id = RouteId::of([route.name().as_bytes()]);
        Self { id, route: route.clone(), ttl, deadline: route.deadline, form, roles, counters, provider }
    }

    /// The same for a caller that waits until the provider has answered or its own time is over.
    #[must_use]
    pub fn with_patience(&self) -> Self {
        Self { deadline: self.deadline.max(self.provider.patience()), ..self.clone() }
    }

    /// What a request may add.
    pub fn inputs(&self) -> &Arc<Inputs> {
        match &self.form {
            Form::Client(dialect) => dialect.inputs(),
            Form::Json | Form::Headers(_) => self.provider.inputs(),
        }
    }

    fn uses(&self) -> ProfileUse {
        // Every answer shows the display name, whatever the definition uses.
        ProfileUse { name: true, ..self.provider.uses() }
    }

    /// The question that `identity` asks here with these inputs (in the order of the definition), encoded.
    pub fn key(&self, identity: &Identity<'_>, inputs: &[Option<String>]) -> Vec<u8> {
        let depends =
            Depends { credentials: self.provider.session_credentials(), uses: self.uses(), roles: &self.roles };
        key::encode(self.id, depends, identity, inputs)
    }
}
