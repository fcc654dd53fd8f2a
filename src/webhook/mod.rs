//! Webhooks: what a provider posts is proven, kept, and delivered to the application until the application has taken it.
//!
//! ```text
//! provider ──► inbound ──► receive: scheme proves it ──► store keeps it ──► 200
//!                                                           └──► delivery: signed anew ──► application
//! ```
//!
//! A [`Webhook`] is a configured one: its [`scheme`], and the [`keys`] that its [`secrets`] hold. [`receive`] is the life of
//! a request. [`refusal`] are the reasons for which an event is refused, [`event`] is one that is proven, [`store`] keeps it
//! until it is taken, and [`delivery`] brings it there.

pub mod delivery;
pub mod event;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod keys;
pub mod receive;
pub mod refusal;
pub mod scheme;
pub mod secrets;
pub mod store;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::{Clock, Timestamp};
use crate::config::{self, ConfigError, Environment, SignKey};
use crate::definition::{Mistake, Mistakes};
use crate::outbound::Services;
use crate::provider::{Definitions, WebhookSettings};
use crate::secrets::{Reload, Reports, SecretSource};
use delivery::Signer;
use refusal::{Reason, Refusal};
use scheme::{Answer, Draft, Envelope, Examined, Head, Proven, Scheme};
use secrets::Secrets;
use store::Memory;

/// One configured webhook.
#[derive(Debug)]
pub struct Webhook {
    config: config::Webhook,
    scheme: Scheme,
    secrets: Arc<Secrets>,
    signer: Arc<Signer>,
    places: Vec<(String, String)>,
    cautions: Vec<String>,
    clock: Arc<dyn Clock>,
}

impl Webhook {
    /// Compiles `[webhook]` of the definition that `table` names, and reads all secrets. Every mistake that can be found is
    /// reported.
    pub fn configure(
        config: &config::Webhook,
        table: &config::Provider,
        environment: &Environment,
        definitions: &Definitions,
        services: &Services,
    ) -> Result<Self, Vec<ConfigError>> {
        let own =
            |mistakes: Mistakes| ConfigError::all(&config.origin, mistakes.within(config.key())).collect::<Vec<_>>();
        let signer = signer(config).map_err(own);
        let settings = WebhookSettings::configure(&config.provider, table, environment, definitions);
        let (settings, signer) = match (settings, signer) {
            (Ok(settings), Ok(signer)) => (settings, signer),
            (settings, signer) => return Err([settings.err(), signer.err()].into_iter().flatten().flatten().collect()),
        };
        let of_provider = |mistakes: Mistakes| mistakes.into_iter().map(|own| settings.error(own)).collect::<Vec<_>>();
        let public_url = config.public_url.as_deref();
        let scheme = Scheme::compile(settings.webhook(), public_url).map_err(of_provider)?;
        if config.handshake && !scheme.has_handshakes() {
            let problem =
                format!("has no effect: \"{}\" has no challenge that nothing proves; remove it", table.preset);
            return Err(own(Mistake::new("handshake", problem).into()));
        }
        if !config.events.is_empty() && !scheme.names_events() {
            let problem = format!("has no effect: \"{}\" does not say what events are called; remove it", table.preset);
            return Err(own(Mistake::new("events", problem).into()));
        }
        let overlap = config.overlap.unwrap_or(scheme.overlap());
        let reports = Reports::new("webhook secrets", crate::definition::Key::of("providers").below(&config.provider));
        let clock = Arc::clone(&services.clock);
        let secrets =
            Secrets::open(&settings, scheme.keys(), overlap, reports, Arc::clone(&clock)).map_err(of_provider)?;
        let cautions = settings.cautions().iter().chain(scheme.cautions()).cloned().collect();
        let places = settings.sources().iter().map(|(name, source)| (name.clone(), source.to_string())).collect();
        let (secrets, signer) = (Arc::new(secrets), Arc::new(signer));
        Ok(Self { config: config.clone(), scheme, secrets, signer, places, cautions, clock })
    }

    /// What the operator wrote.
    pub fn config(&self) -> &config::Webhook {
        &self.config
    }

    /// How events are proven.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// What events are signed with on their way to the application.
    pub fn signer(&self) -> &Arc<Signer> {
        &self.signer
    }

    /// What the operator should know: one sentence each.
    pub fn cautions(&self) -> &[String] {
        &self.cautions
    }

    /// Where each secret comes from, for people.
    pub fn secret_places(&self) -> impl Iterator<Item = (&str, &str)> {
        self.places.iter().map(|(name, place)| (name.as_str(), place.as_str()))
    }

    /// Bytes of a body at most, also when it is unpacked.
    pub fn most_bytes(&self) -> usize {
        self.config.max_body_bytes.unwrap_or(self.scheme.max_bytes())
    }

    /// Bytes of memory that a body of `bytes` takes: a packed one stands there twice for a moment.
    pub fn bytes_of(&self, bytes: usize) -> usize {
        bytes.saturating_add(if self.scheme.unpacks() { self.most_bytes() } else { 0 })
    }

    /// Whether a body of the largest size fits into `room`, the bytes of all bodies at once. Where not, none could be read.
    pub fn check_room(&self, room: usize) -> Result<(), ConfigError> {
        let needed = self.bytes_of(self.most_bytes());
        if needed <= room {
            return Ok(());
        }
        let problem = format!(
            "leaves no room for a body: the largest takes {needed} bytes, and webhook_server.max_buffered_bytes is {room}; \
             write less here, or more there"
        );
        Err(ConfigError::new(self.config.origin.clone(), self.config.key().below("max_body_bytes"), problem))
    }

    /// How long repeats are known.
    pub fn memory(&self) -> Memory {
        let memory = self.scheme.memory();
        Memory { key: memory.key, proof: memory.proof }
    }

    /// The answer to a question that nothing proves, where the operator allows it.
    pub fn handshake(&self, head: &Head<'_>) -> Option<Result<Answer, Reason>> {
        // W-15: unsigned while off
        if !self.config.handshake {
            return None;
        }
        self.scheme.handshake(head, &self.secrets.ring())
    }

    /// Judges a request as if it had come `at` this time, with the secrets as they are.
    pub fn judge(&self, head: &Head<'_>, body: Bytes, at: Timestamp) -> Result<Proven, Refusal> {
        let examined = self.scheme.examine(head, at)?;
        self.scheme.prove(&examined, body, self.most_bytes(), &self.secrets.ring(), at)
    }

    /// Signs `draft` as the provider does, with the first secret. `Err` says what only the provider could do.
    pub fn sign(&self, draft: &Draft<'_>) -> Result<Envelope, String> {
        let ring = self.secrets.ring();
        let (_, key) = ring.iter().next().ok_or("there is no secret to sign with")?;
        self.scheme.sign(draft, key)
    }

    /// Proves a request whose head is good. Where no secret fits, the files are looked at once more.
    pub async fn prove(&self, examined: &Examined, body: Bytes) -> Result<Proven, Refusal> {
        let ring = self.secrets.ring();
        let prove = |ring| self.scheme.prove(examined, body.clone(), self.most_bytes(), ring, self.clock.now());
        match prove(&ring) {
            Err(Refusal::Unproven(reason)) if reason.may_be_a_new_secret() && self.secrets.is_newer(&ring).await => {
                prove(&self.secrets.ring())
            }
            proven => proven,
        }
    }
}

fn signer(config: &config::Webhook) -> Result<Signer, Mistakes> {
    let (name, source) = match &config.sign_key {
        SignKey::File(path) => ("sign_key_file", SecretSource::File(path.clone())),
        SignKey::Folder(path) => ("sign_key_dir", SecretSource::Folder(path.clone())),
    };
    Signer::open(name, source, Reports::new("signing keys", config.key()))
}

impl Reload for Webhook {
    fn files(&self) -> Vec<PathBuf> {
        self.secrets.files().into_iter().chain(self.signer.files()).collect()
    }

    fn reload(&self) {
        self.secrets.reload();
        self.signer.reload();
    }
}
