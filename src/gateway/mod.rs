//! The gateway: server-side calls of the application, made with credentials that the application does not hold.
//!
//! Nothing is forwarded. A call is matched with one named operation that its caller may use, and what the provider gets is
//! built anew from what was matched, with the provider's credential put in last.
//!
//! [`gate`] decides, without input or output: the form of a request, its path, method, query, headers and body, against the
//! [`operation`] that a definition describes. [`refusal`] names what it refuses. [`forward`] makes the call, and [`answer`]
//! hands back what the provider says: only headers of a list, and nothing that repeats the credential.

pub mod answer;
pub mod as_user;
mod body;
pub mod caller;
pub mod explain;
pub mod forward;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod gate;
pub mod operation;
pub mod refusal;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use answer::AnswerHeaders;
use as_user::AsUser;
use caller::{Callers, Mounted};
use forward::{CallerPlaces, KnownNeedles, Place, Places, Sender};
use gate::{Gate, Hosts, Ours};
use refusal::Refusal;

use crate::config::{self, ActsAs, ConfigError, Listen};
use crate::definition::{Key, Mistakes};
use crate::identity::{self, Assertions};
use crate::outbound::{Call, Services};
use crate::provider;
use crate::secrets::Reload;

/// The gateway: all mounts, and all who may call.
#[derive(Debug)]
pub struct Gateway {
    mounts: Vec<Arc<Mount>>,
    callers: Callers,
    /// Of each caller, by name.
    places: BTreeMap<String, CallerPlaces>,
    hosts: Hosts,
    sender: Sender,
    /// How long a call waits for its turn at the provider.
    wait: Duration,
    /// What verifies users' own assertions, where a source does.
    assertions: Option<Assertions>,
}

/// What a gateway is put together from.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'p> {
    /// The providers of the mounts, by name. One that has mistakes of its own is missing.
    pub providers: &'p BTreeMap<String, Arc<provider::Gateway>>,
    /// Who verifies users; `None` where that has mistakes of its own.
    pub sources: Option<&'p identity::Sources>,
    /// Clock, way out and metrics.
    pub services: &'p Services,
}

/// A provider that is called through the gateway.
#[derive(Debug)]
pub struct Mount {
    config: config::Mount,
    provider: Arc<provider::Gateway>,
    gate: Gate,
    as_user: AsUser,
    headers: AnswerHeaders,
    /// Header by which the provider knows a call that it has seen.
    idempotency: Option<HeaderName>,
    needles: KnownNeedles,
}

impl Gateway {
    /// Puts the mounts and the callers together.
    pub fn configure(config: &config::Gateway, parts: &Parts<'_>) -> Result<Self, Vec<ConfigError>> {
        let Parts { providers, sources, services } = *parts;
        let mut errors = Vec::new();
        let mut mounts = Vec::new();
        for own in &config.mounts {
            // One whose provider has mistakes of its own is told of there.
            let Some(provider) = providers.get(&own.provider) else { continue };
            match Mount::compile(own, provider) {
                Ok(mount) => {
                    count_from_zero(config, &own.provider, services);
                    mounts.push(Arc::new(mount));
                }
                Err(mistakes) => errors.extend(mistakes.into_iter().map(|mistake| provider.error(mistake))),
            }
        }
        let all = Places::new(config.max_in_flight);
        let of_caller = |name: &String| {
            let gauge = services.metrics.gateway.in_flight(name);
            (name.clone(), all.of_caller(config.max_in_flight_per_caller, gauge))
        };
        let places = config.callers.keys().map(of_caller).collect();
        let mounted: Vec<Mounted<'_>> = mounts.iter().map(|mount| mount.for_callers()).collect();
        let callers = Callers::configure(config, &mounted, services).map_err(|mistakes| errors.extend(mistakes));
        let assertions = sources.and_then(identity::Sources::assertions);
        if sources.is_some() {
            errors.extend(check_proven(config, &mounts, assertions.is_some()));
        }
        match callers {
            Ok(callers) if errors.is_empty() => Ok(Self {
                mounts,
                callers,
                places,
                hosts: Hosts::new(config.hosts.iter().cloned().chain(hosts_of(config))),
                sender: Sender { outbound: services.outbound.clone(), clock: Arc::clone(&services.clock) },
                wait: config.wait,
                assertions,
            }),
            _ => Err(errors),
        }
    }

    /// The mounts, in the order of the configuration.
    pub fn mounts(&self) -> &[Arc<Mount>] {
        &self.mounts
    }

    /// The mount of the provider of this name.
    pub fn mount(&self, provider: &str) -> Option<&Arc<Mount>> {
        self.mounts.iter().find(|mount| mount.name() == provider)
    }

    /// Who may call.
    pub fn callers(&self) -> &Callers {
        &self.callers
    }

    /// Their names.
    pub fn caller_names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Hosts that requests may name.
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// What verifies users' own assertions, where a source does.
    pub fn assertions(&self) -> Option<&Assertions> {
        self.assertions.as_ref()
    }

    /// What calls are made with.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// How long a call waits for its turn at the provider.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// A place for a call of this caller.
    pub fn place(&self, caller: &str) -> Result<Place, Refusal> {
        self.places.get(caller).and_then(CallerPlaces::take).ok_or(Refusal::GatewayBusy)
    }
}

impl Reload for Gateway {
    fn files(&self) -> Vec<PathBuf> {
        self.callers.files()
    }

    fn reload(&self) {
        self.callers.reload();
    }
}

impl Mount {
    fn compile(config: &config::Mount, provider: &Arc<provider::Gateway>) -> Result<Self, Mistakes> {
        let section = provider.section();
        let (headers, query) = provider.ours();
        let gate = Gate::compile(section, provider.base(), &Ours { headers, query })?;
        let as_user = AsUser::compile(section)?;
        let header = |name: &String| HeaderName::try_from(name.as_str()).ok();
        Ok(Self {
            config: config.clone(),
            gate,
            as_user,
            headers: AnswerHeaders::new(section.answer_headers.iter().filter_map(header)),
            idempotency: section.idempotency.as_ref().and_then(header),
            needles: KnownNeedles::new(section.calls.len()),
            provider: Arc::clone(provider),
        })
    }

    /// How its calls are made for users.
    pub fn as_user(&self) -> &AsUser {
        &self.as_user
    }

    fn for_callers(&self) -> Mounted<'_> {
        Mounted { name: self.name(), provider: &self.provider, operations: self.gate.operations() }
    }

    /// Whether a call may be repeated because it says who it is.
    pub fn is_repeatable(&self, call: &Call) -> bool {
        // G-24: header of idempotency
        self.idempotency.as_ref().is_some_and(|name| call.headers.contains_key(name))
    }

    /// Name of the provider.
    pub fn name(&self) -> &str {
        &self.config.provider
    }

    /// Where it is served at `/`, beside its path on the gateway's listener.
    pub fn listen(&self) -> Option<&Listen> {
        self.config.listen.as_ref()
    }

    /// The key that says so.
    pub fn listen_key(&self) -> String {
        self.config.key.below("listen").to_string()
    }

    /// The provider.
    pub fn provider(&self) -> &provider::Gateway {
        &self.provider
    }

    /// Its rules.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// What its answers are searched for.
    pub fn needles(&self) -> &KnownNeedles {
        &self.needles
    }

    /// Which headers of answers pass.
    pub fn headers(&self) -> &AnswerHeaders {
        &self.headers
    }
}

/// Alerts ask how much these have grown, and of a counter that begins with its first event Prometheus does not know.
fn count_from_zero(config: &config::Gateway, provider: &str, services: &Services) {
    let metrics = &services.metrics.gateway;
    drop(metrics.scrubbed(provider));
    for direction in ["in", "out"] {
        drop(metrics.bytes(provider, direction));
    }
    for (name, caller) in &config.callers {
        if caller.grants.iter().any(|grant| grant.provider == provider) {
            drop(metrics.refusals(name, provider, Refusal::ProviderCredentials.into()));
        }
    }
}

/// Callers that act as users whose own assertion comes along, where none can.
fn check_proven(config: &config::Gateway, mounts: &[Arc<Mount>], is_verified: bool) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    for (name, caller) in config.callers.iter().filter(|(_, caller)| caller.as_user == ActsAs::Proven) {
        let mut refuse = |problem: String| {
            let key = Key::from("gateway.callers").below(name).below("as_user");
            errors.push(ConfigError::new(&caller.origin, key, problem));
        };
        if !is_verified {
            let problem = "is \"proven\", and nothing verifies users' assertions; name a source of kind \"jwt\" in \
                           identity.source, or write \"none\"";
            refuse(problem.to_owned());
        }
        let own = |mount: &&Arc<Mount>| caller.grants.iter().any(|grant| grant.provider == mount.name());
        for mount in mounts.iter().filter(own).filter(|mount| mount.as_user.takes_own_ids()) {
            refuse(format!(
                "is \"proven\", and provider {} takes ids of its own, which no assertion tells; write \"any\" or \"none\"",
                mount.name()
            ));
        }
    }
    errors
}

/// What the listeners are called by, where that is an address.
fn hosts_of(config: &config::Gateway) -> impl Iterator<Item = String> {
    config.listeners().filter_map(|(_, listen)| match listen {
        Listen::Tcp(address) => Some(match address.ip() {
            std::net::IpAddr::V4(ip) => ip.to_string(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        }),
        Listen::Unix(_) => None,
    })
}
