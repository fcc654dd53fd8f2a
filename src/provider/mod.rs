//! Chat providers: definitions in, tokens out.
//!
//! A [`Provider`] is a [`Definition`] compiled with an operator's settings. It knows nothing of identity: it takes a
//! [`Profile`] and gives back a [`Minted`] token. A [`Gateway`] is the same account where an application calls it: it adds
//! the credential to a call.
//!
//! Read in this order: [`definition`] is the format, word for word, and its [`settings`] are what the operator gave.
//! [`compile`] turns both into what runs; its values are [`template`]s. [`credentials`] are the secrets and [`keys`] of
//! one moment, and how keys are replaced. [`mint`] tells the story of a token: made here, or asked for by [`calls`], for a
//! [`user`]. [`client`] is what its request may add, and in which form it takes the answer.

mod calls;
mod client;
mod compile;
mod credentials;
pub mod definition;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod keys;
mod mint;
mod template;
mod user;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

pub use calls::advice::retry_after;
pub use calls::error::{Cause, ProviderError};
pub use calls::gateway::{Admitted, Carried, Ended, Gateway, Refused};
pub use calls::virtual_key::{FittedKey, NotShown, Presented, Shown, VirtualScheme};
pub use client::dialect::{Dialect, HEADER_TEXT};
pub use client::inputs::{Given, InputFault, Inputs};
pub use compile::webhook::{PairId, WebhookSettings};
pub use credentials::KeyStatus;
pub use credentials::rotation::{
    Plan as RotationPlan, Progress, Rotation, RotationError, Stage, Status as RotationStatus,
};
pub use definition::{
    Class, Definition, Definitions, Input, PRESETS, Setting, TimeKind, Webhook as WebhookDefinition, gateway, webhook,
};
pub use keys::mac::{Encode, Hash, MacKey};
pub use keys::material::{Cut, Decode, Form};
pub use keys::{Alg, KeyError, SigningKey, generate, warm_up_randomness};
pub use mint::explain::Explanation;
pub use mint::lifetime::Lifetime;
pub use mint::{Minted, Order};
pub use template::{FailureView, Profile, ProfileUse};

use calls::access::Access;
use compile::Compiled;
use compile::places::Places;
use definition::settings;
use mint::upserts::Upserts;
use user::UserId;

use crate::clock::Timestamp;
use crate::config::{self, ConfigError, Environment};
use crate::definition::{Mistake, Mistakes};
use crate::outbound::Services;
use crate::pacing::GateStatus;
use crate::secrets::{Fingerprint, Reload};

/// How one provider is doing.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderStatus {
    /// Name in the configuration.
    pub name: String,
    /// Name of the definition.
    pub preset: String,
    /// Whether calls are made, and how many.
    pub calls: GateStatus,
    /// Calls that wait for their turn under our own limit, where there is one.
    pub limiter_waiting: Option<usize>,
    /// The keys that sign tokens or did so, the one that signs now first. Empty where the provider makes the tokens.
    pub keys: Vec<KeyStatus>,
}

/// One configured account at a chat system, as tokens are made for it.
#[derive(Debug)]
pub struct Provider {
    access: Arc<Access>,
    compiled: Compiled,
    upserts: Upserts,
    /// Name of what was configured.
    configured: Fingerprint,
}

/// What a provider is configured for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Tokens: a route names it.
    pub sessions: bool,
    /// Calls for applications: a mount of the gateway names it.
    pub gateway: bool,
}

/// The halves of a provider that are wanted. They share its credentials, its pace and its breaker.
#[derive(Clone, Debug)]
pub struct Configured {
    /// What makes tokens.
    pub provider: Option<Arc<Provider>>,
    /// What makes calls for applications.
    pub gateway: Option<Arc<Gateway>>,
}

/// Compiles the definition that `table` names, as far as it is `wanted`, and reads its secrets.
///
/// Every mistake that can be found is reported. Where no tokens are wanted, only the settings of calls are asked for.
pub fn configure(
    name: &str,
    table: &config::Provider,
    environment: &Environment,
    definitions: &Definitions,
    services: &Services,
    wanted: Wanted,
) -> Result<Configured, Vec<ConfigError>> {
    let (definition, places) = Places::of(name, table, environment, definitions).map_err(|error| vec![error])?;
    let assembled = assemble(name, table, &definition, environment, services, wanted);
    let (access, sessions, rules, plain) = assembled.map_err(|mistakes| places.errors(mistakes))?;
    let provider = sessions.map(|compiled| {
        let remember = table.upsert_memory.unwrap_or(compiled.remember);
        let upserts = Upserts::new(remember, name, &services.metrics);
        let configured = Fingerprint::of([name.as_bytes(), definitions.text(&table.preset).as_bytes(), &plain]);
        Arc::new(Provider { access: Arc::clone(&access), compiled, upserts, configured })
    });
    let gateway = rules.map(|rules| Arc::new(Gateway::new(access, rules, places)));
    Ok(Configured { provider, gateway })
}

/// The last is what is configured beside the definition and is not secret, as text.
type Assembled = (Arc<Access>, Option<Compiled>, Option<calls::gateway::Rules>, Vec<u8>);

fn assemble(
    name: &str,
    table: &config::Provider,
    definition: &Definition,
    environment: &Environment,
    services: &Services,
    wanted: Wanted,
) -> Result<Assembled, Mistakes> {
    let mut settings = if wanted.sessions {
        settings::resolve(definition, &table.settings, environment)?
    } else {
        let used = compile::settings_of_calls(definition);
        settings::resolve_some(definition, |name| used.contains(name), &table.settings, environment)?
    };
    let given_twice = std::mem::take(&mut settings.cautions);
    // What makes another user id, token or answer of the same question.
    let plain = (&settings.plain.values, &table.user_prefix, table.user_unfit == config::Unfit::Hash);
    let plain = serde_json::to_vec(&plain).map_err(|error| Mistake::from(error.to_string()))?;
    let parts = compile::compile(name, definition, settings, table, &services.metrics, wanted)?;
    let compile::Parts { mut sessions, mut gateway, limits, needs } = parts;
    match (&mut sessions, &mut gateway) {
        (Some(compiled), _) => compiled.cautions.extend(given_twice),
        (None, Some(rules)) => rules.cautions.extend(definition.caution.iter().cloned().chain(given_twice)),
        (None, None) => {}
    }
    let access = Access::open((name, &definition.name), needs, limits, table, services)?;
    Ok((access, sessions, gateway, plain))
}

impl Provider {
    /// Name in the configuration.
    pub fn name(&self) -> &str {
        &self.access.name
    }

    /// Name of the definition.
    pub fn preset(&self) -> &str {
        &self.access.preset
    }

    /// Address that browsers use.
    pub fn api_url(&self) -> &str {
        &self.compiled.api_url
    }

    /// Longest time that a mint takes: the wait for its turn, and its calls.
    pub fn patience(&self) -> Duration {
        const MARGIN: Duration = Duration::from_secs(1);
        self.access.timeout.saturating_mul(2).saturating_add(MARGIN)
    }

    /// How long tokens live.
    pub fn lifetime(&self) -> &Lifetime {
        &self.compiled.lifetime
    }

    /// Parts of the profile that change what is minted.
    pub fn uses(&self) -> ProfileUse {
        self.compiled.uses
    }

    /// What a request may add.
    pub fn inputs(&self) -> &Arc<Inputs> {
        &self.compiled.inputs
    }

    /// The auth endpoint of the provider's own client library, where the definition describes one.
    pub fn dialect(&self) -> Option<&Arc<Dialect>> {
        self.compiled.dialect.as_ref()
    }

    /// Whether one token may be handed out more than once.
    pub fn may_be_cached(&self) -> bool {
        self.compiled.cache
    }

    /// Whether a new token ends those that the provider made for the user before.
    pub fn is_exclusive(&self) -> bool {
        self.compiled.exclusive
    }

    /// What the operator should know: one sentence each.
    pub fn cautions(&self) -> &[String] {
        &self.compiled.cautions
    }

    /// Whether the operator allows what the request asks for.
    pub fn permits(&self, order: &Order<'_>) -> bool {
        // The mint says so where the subject cannot be a user at all.
        self.compiled.allow_lists.is_empty()
            || self.map_user(order.profile.chat_subject()).is_none_or(|user| {
                let credentials = self.access.vault.current();
                let variables = self.variables(&user, order, &credentials);
                self.compiled.allow_lists.iter().all(|list| list.allows(&variables))
            })
    }

    fn map_user(&self, chat_subject: &str) -> Option<UserId> {
        self.compiled.user.id(chat_subject, self.access.vault.current().user_key.as_ref())
    }

    /// Name of the credentials that sessions belong to: another with each change of credentials that they do not outlive,
    /// or always the same where they outlive them all. Sessions outlive the key that signed them; one that is taken away
    /// ends those that it signed, unless its public half is still published for them.
    pub fn session_credentials(&self) -> Fingerprint {
        if self.compiled.lifetime.drop_on_credential_change {
            self.access.vault.current().sessions
        } else {
            Fingerprint::default()
        }
    }

    /// Name of the account for other processes: what is configured, and the credentials that sessions end with.
    pub fn account(&self) -> Fingerprint {
        let ends = self.compiled.lifetime.drop_on_credential_change;
        let credentials = if ends { self.access.vault.current().abroad } else { Fingerprint::default() };
        Fingerprint::of([self.configured.0, credentials.0])
    }

    /// Algorithm and key id, where tokens are signed here.
    pub fn signs_with(&self) -> Option<(Alg, Option<String>)> {
        let current = self.access.vault.current();
        current.signer.as_ref().map(|signer| (signer.key.alg(), signer.kid.clone()))
    }

    /// Whether the signing key was made at start and will be gone at the next.
    pub fn has_made_key(&self) -> bool {
        self.access.vault.is_generated()
    }

    /// Where each secret comes from, for people.
    pub fn secret_places(&self) -> impl Iterator<Item = (&str, String)> {
        self.access.vault.places()
    }

    /// Notes that a route has tokens of this lifetime made.
    pub fn note_lifetime(&self, life: Duration) {
        self.access.vault.note_lifetime(life);
    }

    /// The time, as this provider sees it.
    pub fn now(&self) -> Timestamp {
        self.access.clock.now()
    }

    /// How it is doing now. It holds nothing secret and nothing of a user.
    pub fn status(&self) -> ProviderStatus {
        self.access.status()
    }

    /// Public keys as JWKs, overlap included.
    pub fn jwks(&self) -> Vec<Value> {
        self.access.vault.jwks()
    }
}

impl Reload for Provider {
    fn files(&self) -> Vec<PathBuf> {
        self.access.files()
    }

    fn reload(&self) {
        self.access.vault.reload();
    }
}

impl Reload for Gateway {
    fn files(&self) -> Vec<PathBuf> {
        self.access().files()
    }

    fn reload(&self) {
        self.access().vault.reload();
    }
}
