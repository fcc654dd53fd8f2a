//! Chat providers: definitions in, tokens out.
//!
//! A [`Provider`] is a [`Definition`] compiled with an operator's settings. It knows nothing of identity: it takes a
//! [`Profile`] and gives back a [`Minted`] token. [`Provider::mint`] tells the story.

mod breaker;
mod compile;
mod credentials;
mod definition;
mod error;
mod expiry;
mod inputs;
mod settings;
mod signing;
mod step;
mod template;
mod upserts;
mod user;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::Value;

pub use compile::Lifetime;
pub use definition::{Definition, Input, PRESETS, Setting};
pub use error::{Class, ProviderError};
pub use inputs::{Given, InputFault, Inputs};
pub use signing::{Alg, KeyError, SigningKey, generate, warm_up_randomness};
pub use template::{Profile, ProfileUse};

use breaker::Breaker;
use compile::{Compiled, Mint};
use credentials::{Credentials, Vault};
use step::{Run, Step};
use template::Variables;
use template::json::JsonTemplate;
use upserts::Upserts;
use user::UserRule;

use crate::clock::{Clock, Timestamp};
use crate::config::{self, ConfigError, Environment};
use crate::metrics::{Counter, Gauge, Metrics};
use crate::outbound::Outbound;
use crate::trace::TraceContext;

/// Bytes of a token at most.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// One configured account at a chat system.
#[derive(Debug)]
pub struct Provider {
    name: Arc<str>,
    preset: String,
    inputs: Inputs,
    user: UserRule,
    lifetime: Lifetime,
    mint: Mint,
    upsert: Vec<Step>,
    api_url: String,
    extra: Vec<(String, JsonTemplate)>,
    uses: ProfileUse,
    taken: usize,
    vault: Vault,
    upserts: Upserts,
    breaker: Breaker,
    timeout: Duration,
    retries: u32,
    generation_gauge: Gauge,
    rejected_counter: Counter,
    outbound: Outbound,
    clock: Arc<dyn Clock>,
}

/// What a mint needs beside the definition.
#[derive(Clone)]
pub struct Order<'a> {
    /// The user.
    pub profile: Profile<'a>,
    /// What the request adds, in the order of the definition's names.
    pub inputs: Vec<Option<&'a str>>,
    /// Lifetime to ask for.
    pub ttl: Duration,
    /// Trace of the request that wants the token.
    pub trace: Option<TraceContext>,
}

/// A fresh token and what belongs to it. `Debug` does not show the token.
#[derive(Clone, PartialEq, Eq)]
pub struct Minted {
    /// The token: visible ASCII.
    pub token: String,
    /// Its end; `None` where the provider has none.
    pub expires: Option<Timestamp>,
    /// When the mint began: life is counted from here.
    pub minted: Timestamp,
    /// The user's id at the provider.
    pub user_id: String,
    /// Further members of the session: name and finished JSON.
    pub extra: Vec<(String, Vec<u8>)>,
}

impl std::fmt::Debug for Minted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minted").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// Shared parts that every provider uses.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The way out.
    pub outbound: Outbound,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

impl Provider {
    /// Compiles the definition that `table` names and reads its secrets. Every mistake that can be found is reported.
    pub fn configure(
        name: &str,
        table: &config::Provider,
        environment: &Environment,
        around: &Surroundings,
    ) -> Result<Self, Vec<ConfigError>> {
        let at = |key: &str, problem: String| {
            ConfigError::new(table.origin.clone(), format!("providers.{name}.{key}"), problem)
        };
        let definition = match Definition::preset(&table.preset) {
            Some(Ok(definition)) => definition,
            Some(Err(problem)) => return Err(vec![at("preset", problem)]),
            None => {
                let known: Vec<_> = PRESETS.iter().map(|(name, _)| *name).collect();
                return Err(vec![at(
                    "preset",
                    format!("no preset \"{}\"; there are {}", table.preset, known.join(", ")),
                )]);
            }
        };
        Self::assemble(name, table, &definition, environment, around)
            .map_err(|mistakes| mistakes.into_iter().map(|(key, problem)| at(&key, problem)).collect())
    }

    fn assemble(
        name: &str,
        table: &config::Provider,
        definition: &Definition,
        environment: &Environment,
        around: &Surroundings,
    ) -> Result<Self, Vec<(String, String)>> {
        let used = definition.inputs.keys().cloned().collect();
        let inputs = Inputs::compile(&definition.inputs, &used)?;
        let settings = settings::resolve(definition, &table.settings, environment)?;
        let compiled = compile::compile(name, definition, settings, table.client_margin, &around.metrics)?;
        let Compiled { user, lifetime, mint, upsert, remember, api_url, extra, needs, uses, taken } = compiled;
        let vault = Vault::open(needs, Arc::clone(&around.clock))?;
        let provider = Self {
            name: Arc::from(name),
            preset: definition.name.clone(),
            inputs,
            user,
            lifetime,
            mint,
            upsert,
            api_url,
            extra,
            uses,
            taken,
            vault,
            upserts: Upserts::new(table.upsert_memory.unwrap_or(remember), name, &around.metrics),
            breaker: Breaker::new(around.metrics.breaker(name)),
            timeout: table.timeout,
            retries: table.retries,
            generation_gauge: around.metrics.credentials_generation(name),
            rejected_counter: around.metrics.credentials_rejected(name),
            outbound: around.outbound.clone(),
            clock: Arc::clone(&around.clock),
        };
        provider.generation_gauge.set(i64::from(provider.generation()));
        Ok(provider)
    }

    /// Name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name of the definition.
    pub fn preset(&self) -> &str {
        &self.preset
    }

    /// Address that browsers use.
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// How long tokens live.
    pub fn lifetime(&self) -> &Lifetime {
        &self.lifetime
    }

    /// What a request may add.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Parts of the profile that change what is minted.
    pub fn uses(&self) -> ProfileUse {
        self.uses
    }

    /// The chat user id of `subject`; `None` when this provider cannot take it.
    pub fn user_id(&self, subject: &str) -> Option<String> {
        self.user.id(subject)
    }

    /// Generation that sessions belong to: grows with each change of credentials, or stays 0 where they outlive it.
    pub fn session_generation(&self) -> u32 {
        if self.lifetime.drop_on_credential_change { self.generation() } else { 0 }
    }

    fn generation(&self) -> u32 {
        self.vault.current().generation
    }

    /// Algorithm and key id, where tokens are signed here.
    pub fn signs_with(&self) -> Option<(Alg, Option<String>)> {
        let current = self.vault.current();
        current.signer.as_ref().map(|signer| (signer.key.alg(), signer.kid.clone()))
    }

    /// Whether the signing key was made at start and will be gone at the next.
    pub fn has_made_key(&self) -> bool {
        self.vault.is_generated()
    }

    /// Files whose change means new credentials.
    pub fn secret_files(&self) -> impl Iterator<Item = PathBuf> {
        self.vault.files()
    }

    /// Public keys as JWKs, overlap included.
    pub fn jwks(&self) -> Vec<Value> {
        self.vault.jwks()
    }

    /// Reads the secrets again; says whether new ones are in service. Unusable ones are logged and counted, and the last
    /// good ones stay.
    pub fn reload(&self) -> bool {
        match self.vault.reload() {
            Ok(changed) => {
                if changed {
                    let generation = self.generation();
                    self.generation_gauge.set(i64::from(generation));
                    tracing::info!(provider = %self.name, generation, "new credentials in service");
                }
                changed
            }
            Err(problems) => {
                self.rejected_counter.inc();
                for (setting, problem) in problems {
                    tracing::error!(provider = %self.name, setting, problem, "new credentials are unusable; the last good ones stay");
                }
                false
            }
        }
    }

    /// Whether minting needs no call: it is then quick enough to be done in place.
    pub fn is_local(&self) -> bool {
        matches!(self.mint, Mint::Jwt(_)) && self.upsert.is_empty()
    }

    /// Mints a token that is signed here.
    pub fn mint_here(&self, order: &Order<'_>) -> Result<Minted, ProviderError> {
        let minted = self.clock.now();
        let user_id = self.map_user(order)?;
        let credentials = self.vault.current();
        let variables = Self::variables(&user_id, order, minted, &[]);
        let token = self.sign(&credentials, &variables)?;
        let expires = Some(variables.expires());
        self.finish(token, expires, minted, user_id.clone(), &variables)
    }

    /// Makes sure that the provider knows the user, then asks for a token. When the provider has forgotten a user that
    /// we remember, the user is sent again, once.
    pub async fn mint(&self, order: &Order<'_>) -> Result<Minted, ProviderError> {
        if self.is_local() {
            return self.mint_here(order);
        }
        let permit = self.breaker.admit(self.clock.now())?;
        let outcome = self.mint_remotely(order).await;
        permit.tell(&outcome, self.clock.now());
        outcome
    }

    async fn mint_remotely(&self, order: &Order<'_>) -> Result<Minted, ProviderError> {
        let user_id = self.map_user(order)?;
        let deadline = self.clock.now().plus(self.timeout);
        let credentials = self.vault.current().clone();
        let run = Run {
            outbound: &self.outbound,
            clock: &self.clock,
            credentials: &credentials,
            trace: order.trace.as_ref(),
            deadline,
            retries: self.retries,
        };
        let known = self.upserts.remembers(&user_id, order, self.clock.now());
        if !known {
            self.upsert(&run, &user_id, order).await?;
        }
        match self.ask(&run, &user_id, order).await {
            Err(error) if error.class == Class::UserMissing && known => {
                self.upserts.forget(&user_id);
                self.upsert(&run, &user_id, order).await?;
                self.ask(&run, &user_id, order).await
            }
            outcome => outcome,
        }
    }

    async fn upsert(&self, run: &Run<'_>, user_id: &str, order: &Order<'_>) -> Result<(), ProviderError> {
        if self.upsert.is_empty() {
            return Ok(());
        }
        let mut taken = vec![None; self.taken];
        for step in &self.upsert {
            let answer = step.run(run, &Self::variables(user_id, order, self.clock.now(), &taken)).await?;
            keep(step, &answer, &mut taken)?;
        }
        self.upserts.remember(user_id, order, self.clock.now());
        Ok(())
    }

    async fn ask(&self, run: &Run<'_>, user_id: &str, order: &Order<'_>) -> Result<Minted, ProviderError> {
        let minted = self.clock.now();
        let mut taken = vec![None; self.taken];
        let mut told = None;
        let Mint::Steps(steps) = &self.mint else {
            let variables = Self::variables(user_id, order, minted, &taken);
            let token = self.sign(run.credentials, &variables)?;
            return self.finish(token, Some(variables.expires()), minted, user_id.to_owned(), &variables);
        };
        for step in steps {
            let variables = Self::variables(user_id, order, minted, &taken);
            let answer = step.run(run, &variables).await?;
            if let (Some(at), Some(rule)) = (&step.token, &step.expires) {
                let wrong = |detail| ProviderError::new(Class::BadResponse, &step.id, detail);
                let token =
                    answer.pointer(at).and_then(Value::as_str).ok_or_else(|| wrong("no token in the answer"))?;
                let requested = variables.expires();
                let expires = expiry::read(rule, &answer, token, self.clock.now(), requested).map_err(wrong)?;
                told = Some((token.to_owned(), expires));
            }
            keep(step, &answer, &mut taken)?;
        }
        let (token, expires) = told.ok_or_else(|| ProviderError::new(Class::BadResponse, "token", "no token"))?;
        let variables = Self::variables(user_id, order, minted, &taken);
        self.finish(token, expires, minted, user_id.to_owned(), &variables)
    }

    fn map_user(&self, order: &Order<'_>) -> Result<String, ProviderError> {
        let refuse = || ProviderError::new(Class::Rejected, "user", "the subject cannot be a user id here");
        self.user.id(order.profile.subject).ok_or_else(refuse)
    }

    fn variables<'v>(
        user_id: &'v str,
        order: &'v Order<'_>,
        now: Timestamp,
        taken: &'v [Option<Value>],
    ) -> Variables<'v> {
        Variables { user_id, profile: &order.profile, now, ttl: order.ttl, taken }
    }

    fn sign(&self, credentials: &Credentials, variables: &Variables<'_>) -> Result<String, ProviderError> {
        let failed = |detail| ProviderError::new(Class::Rejected, "token", detail);
        let (Mint::Jwt(claims), Some(signer)) = (&self.mint, &credentials.signer) else {
            return Err(failed("no signing key"));
        };
        let mut text = Vec::with_capacity(claims.size_hint());
        claims.render(variables, &mut text).map_err(|missing| {
            tracing::warn!(provider = %self.name, claim = missing.0, "a required claim has no value");
            failed("a required claim has no value")
        })?;
        // Header, claims and the longest usual signature (RSA 4096: 683 characters) without growing for smaller ones.
        let mut token = String::with_capacity(signer.header.len() + text.len() * 4 / 3 + 100);
        token.push_str(&signer.header);
        BASE64URL.encode_string(&text, &mut token);
        let signature = signer.key.sign(token.as_bytes()).map_err(|_error| failed("could not sign"))?;
        token.push('.');
        token.push_str(&signature);
        Ok(token)
    }

    /// The last checks before a token is believed: it must be usable by a client, and live longer than its margin.
    fn finish(
        &self,
        token: String,
        expires: Option<Timestamp>,
        minted: Timestamp,
        user_id: String,
        variables: &Variables<'_>,
    ) -> Result<Minted, ProviderError> {
        let wrong = |detail| ProviderError::new(Class::BadResponse, "token", detail);
        let visible = !token.is_empty() && token.bytes().all(|b| (0x21..0x7f).contains(&b));
        if !visible || token.len() > MAX_TOKEN_BYTES {
            return Err(wrong("token is empty, too long, or not visible ASCII"));
        }
        if expires.is_some_and(|end| end <= self.clock.now().plus(self.lifetime.margin)) {
            return Err(wrong("token ends within the client's refresh margin"));
        }
        let mut extra = Vec::with_capacity(self.extra.len());
        for (name, template) in &self.extra {
            let mut value = Vec::with_capacity(template.size_hint());
            // An optional member without value is left out.
            if template.render(variables, &mut value).is_ok() {
                extra.push((name.clone(), value));
            }
        }
        Ok(Minted { token, expires, minted, user_id, extra })
    }

    /// Forgets that the user was sent, so that the next mint sends it again.
    pub fn forget_user(&self, subject: &str) {
        if let Some(id) = self.user.id(subject) {
            self.upserts.forget(&id);
        }
    }
}

fn keep(step: &Step, answer: &Value, taken: &mut [Option<Value>]) -> Result<(), ProviderError> {
    for (index, pointer) in &step.take {
        let value = answer.pointer(pointer).filter(|value| !value.is_null());
        let Some(value) = value else {
            return Err(ProviderError::new(Class::BadResponse, &step.id, "a value for a later step is missing"));
        };
        if let Some(slot) = taken.get_mut(*index) {
            *slot = Some(value.clone());
        }
    }
    Ok(())
}
