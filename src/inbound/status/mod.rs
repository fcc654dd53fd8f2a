//! How the service is doing: the status of every room, as data. `/readyz` tells some of it, `/metrics` shows it as gauges, and
//! the status page ([`overview`], [`html`]) tells all of it, with what the last hour brought ([`recent`]).

mod html;
mod overview;
mod recent;

use serde::Serialize;

pub(super) use html::{STYLE, page};
pub(super) use overview::Overview;
pub use overview::{StatusPage, TeamRow};
pub use recent::Recent;

use super::AppState;
use super::listener::CertificateStatus;
use crate::clock::Timestamp;
use crate::identity::IdentityStatus;
use crate::lifecycle::{Lifecycle, NotReady};
use crate::metrics::{Metrics, SigningKeyLine};
use crate::pacing::BreakerState;
use crate::provider::{KeyStatus, ProviderStatus};
use crate::session::SessionsStatus;
use crate::webhook::delivery::DeliveryStatus;
use crate::webhook::store::Figures;

/// How the service is doing. It holds nothing secret and nothing of a user.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    /// Whether it is ready.
    pub(super) ready: bool,
    /// Every reason why it is not.
    pub(super) reasons: Vec<NotReady>,
    pub(super) providers: Vec<ProviderStatus>,
    pub(super) identity: IdentityStatus,
    pub(super) sessions: SessionsStatus,
    pub(super) certificates: Vec<CertificateStatus>,
    /// Where events of webhooks stand, if they do.
    pub(super) queue: Option<Figures>,
    pub(super) deliveries: Vec<DeliveryStatus>,
}

impl AppState {
    /// How the service is doing now.
    pub(super) fn status(&self, lifecycle: &Lifecycle) -> Status {
        let reasons = lifecycle.objections();
        Status {
            ready: reasons.is_empty(),
            reasons,
            providers: self.provider_status().collect(),
            identity: self.sources.status(),
            sessions: self.sessions.status(),
            deliveries: self.deliveries.iter().map(|own| own.status()).collect(),
            queue: self.queue.as_ref().map(|queue| queue.figures()),
            certificates: self.tls.iter().flat_map(|tls| tls.status()).collect(),
        }
    }
}

impl AppState {
    fn provider_status(&self) -> impl Iterator<Item = ProviderStatus> {
        let sessions = self.providers.iter().map(|provider| provider.status());
        sessions.chain(self.gateways.iter().map(|gateway| gateway.status()))
    }
}

impl Status {
    /// The signing keys of all providers, each with the name of its provider.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, &KeyStatus)> {
        self.providers.iter().flat_map(|provider| provider.keys.iter().map(|key| (provider.name.as_str(), key)))
    }

    /// Shows it as gauges.
    pub(super) fn show(&self, metrics: &Metrics) {
        for ProviderStatus { name, calls, limiter_waiting, .. } in &self.providers {
            let own = &metrics.provider;
            own.breaker(name).set(match calls.breaker {
                BreakerState::Closed => 0,
                BreakerState::HalfOpen => 1,
                BreakerState::Open => 2,
            });
            own.calls_running(name).set(number(calls.running));
            own.calls_waiting(name).set(number(calls.waiting));
            if let Some(waiting) = limiter_waiting {
                own.limiter_waiting(name).set(number(*waiting));
            }
        }
        let line = |(provider, key): (&str, &KeyStatus)| SigningKeyLine {
            labels: [provider.to_owned(), key.kid.clone(), key.alg.name().to_owned()],
            signs: key.signs,
            since: key.since.as_seconds(),
        };
        metrics.show_keys(&self.keys().map(line).collect::<Vec<_>>());
        for set in &self.identity.key_sets {
            metrics.identity.key_set_keys(&set.source).set(number(set.keys));
            metrics.identity.key_set_fetched(&set.source).set(set.fetched.map_or(0, Timestamp::as_seconds));
        }
        metrics.identity.denied_users().set(number(self.identity.denied_users));
        metrics.session.cache_entries().set(number(self.sessions.cached));
        metrics.session.cache_bytes().set(number(self.sessions.bytes));
        metrics.session.renewals_pending("sessions").set(number(self.sessions.renewals_pending));
        if let Some(queue) = &self.queue {
            metrics.webhook.queue_bytes().set(number(queue.bytes));
            metrics.webhook.queue_fill().set(number(queue.percent()));
        }
        self.deliveries.iter().for_each(|own| own.show(&metrics.delivery));
        for certificate in &self.certificates {
            let CertificateStatus { listener, file, expires } = *certificate;
            metrics.inbound.tls_expiry(listener, file).set(expires.as_seconds());
        }
    }
}

fn number(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
