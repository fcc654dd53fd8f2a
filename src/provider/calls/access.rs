//! What tokens and the gateway share of one account: its credentials, and the pace and the breaker of its calls. There is
//! one of each, whichever of the two makes a call.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::journal::Journal;
use super::step::Run;
use crate::clock::{Clock, Moment};
use crate::config;
use crate::definition::{Key, Mistakes};
use crate::outbound::{Outbound, Services};
use crate::pacing::{Gate, Limiter};
use crate::provider::ProviderStatus;
use crate::provider::credentials::{Credentials, Needs, Vault};
use crate::provider::definition::Class;
use crate::secrets::Reports;
use crate::trace::TraceContext;

/// A refused credential is looked for anew, and waited for so long.
const LOOK: Duration = Duration::from_secs(2);

/// The account, as calls need it.
#[derive(Debug)]
pub(in crate::provider) struct Access {
    /// Name in the configuration.
    pub(in crate::provider) name: Arc<str>,
    /// Name of the definition.
    pub(in crate::provider) preset: String,
    pub(in crate::provider) vault: Vault,
    pub(in crate::provider) limits: CallLimits,
    pub(in crate::provider) gate: Gate<Class>,
    pub(in crate::provider) journal: Journal,
    /// Longest time of a mint.
    pub(in crate::provider) timeout: Duration,
    pub(in crate::provider) retries: u32,
    pub(in crate::provider) outbound: Outbound,
    pub(in crate::provider) clock: Arc<dyn Clock>,
}

/// How often the provider may be called, and where it says so.
#[derive(Debug, Default)]
pub(in crate::provider) struct CallLimits {
    pub(in crate::provider) limiter: Option<Limiter>,
    /// Headers with retry advice of the provider's own.
    pub(in crate::provider) retry_headers: Vec<HeaderName>,
}

impl Access {
    /// Reads the secrets that `needs` names.
    pub(in crate::provider) fn open(
        (name, preset): (&str, &str),
        needs: Needs,
        limits: CallLimits,
        table: &config::Provider,
        services: &Services,
    ) -> Result<Arc<Self>, Mistakes> {
        let metrics = &services.metrics;
        let reports = Reports {
            generation: Some(metrics.provider.credentials_generation(name)),
            rejected: Some(metrics.provider.credentials_rejected(name)),
            ..Reports::new("credentials", Key::from("providers").below(name))
        };
        Ok(Arc::new(Self {
            name: Arc::from(name),
            preset: preset.to_owned(),
            vault: Vault::open(needs, reports, Arc::clone(&services.clock))?,
            limits,
            gate: Gate::new(table.calls_at_once, metrics.provider.calls_refused(name)),
            journal: Journal::default(),
            timeout: table.timeout,
            retries: table.retries,
            outbound: services.outbound.clone(),
            clock: Arc::clone(&services.clock),
        }))
    }

    /// How it is doing now. It holds nothing secret and nothing of a user.
    pub(in crate::provider) fn status(&self) -> ProviderStatus {
        ProviderStatus {
            name: self.name.to_string(),
            preset: self.preset.clone(),
            calls: self.gate.status(),
            limiter_waiting: self.limits.limiter.as_ref().map(Limiter::waiting),
            keys: self.vault.key_status(),
        }
    }

    /// Whether there are other credentials than those of generation `used`, which were refused. The secrets are read again,
    /// not on a worker, and a file that is slow is not waited for by those who asked.
    pub(in crate::provider) async fn is_newer(self: &Arc<Self>, used: u32) -> bool {
        let look = async {
            let own = Arc::clone(self);
            let looking = tokio::task::spawn_blocking(move || own.vault.reload());
            // What came of it is in the vault.
            let _late = tokio::time::timeout(LOOK, looking).await;
        };
        self.vault.is_newer(used, look).await
    }

    /// What the calls of one mint share.
    pub(in crate::provider) fn run<'r>(
        &'r self,
        credentials: &'r Credentials,
        trace: Option<&'r TraceContext>,
        deadline: Moment,
    ) -> Run<'r> {
        Run {
            outbound: &self.outbound,
            clock: &self.clock,
            credentials,
            limiter: self.limits.limiter.as_ref(),
            retry_headers: &self.limits.retry_headers,
            trace,
            deadline,
            retries: self.retries,
        }
    }

    /// Files of the secrets.
    pub(in crate::provider) fn files(&self) -> Vec<PathBuf> {
        self.vault.files().collect()
    }
}
