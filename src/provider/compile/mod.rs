//! From a definition and the operator's settings to a provider that can run. Everything that cannot work or is not safe
//! is refused here, with the place in the definition or the key in the configuration.

mod account;
mod client;
mod gateway;
mod keys;
pub(super) mod places;
mod steps;
mod token;
pub(super) mod webhook;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Wanted;
use super::calls::access::CallLimits;
use super::calls::gateway::Rules;
use super::calls::sequence::Sequence;
use super::client::allow_list::AllowList;
use super::client::dialect::Dialect;
use super::client::inputs::Inputs;
use super::credentials::Needs;
use super::definition::settings::{Settings, USER_KEY};
use super::definition::{Definition, Input, Sessions, WebhookSection};
use super::mint::lifetime::Lifetime;
use super::mint::token::{Let, Mint};
use super::template::json::JsonTemplate;
use super::template::text::TextTemplate;
use super::template::{ProfileUse, Scope, TemplatePlace};
use super::user::UserRule;
use super::user::account::Account;
use crate::config;
use crate::definition::{Key, Mistake, Mistakes, SettingKind, may_hold};
use crate::metrics::Metrics;

/// Longest lifetime where a definition does not say: a token for a browser is short-lived.
const LONGEST: Duration = Duration::from_hours(24);

/// A definition, compiled for what it is wanted for.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) sessions: Option<Compiled>,
    pub(super) gateway: Option<Rules>,
    pub(super) limits: CallLimits,
    /// Which secrets it needs.
    pub(super) needs: Needs,
}

/// What a definition says of tokens, compiled.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) account: Account,
    pub(super) user: UserRule,
    pub(super) lifetime: Lifetime,
    pub(super) lets: Vec<(String, Let)>,
    pub(super) mint: Mint,
    pub(super) cache: bool,
    /// Whether a new token ends the user's others.
    pub(super) exclusive: bool,
    pub(super) upsert: Sequence,
    pub(super) remember: Duration,
    pub(super) revoke: Sequence,
    /// Whether the provider verifies with public keys that were registered there.
    pub(super) registers_keys: bool,
    pub(super) registration: Option<Registration>,
    pub(super) api_url: String,
    pub(super) user_id: Option<TextTemplate>,
    pub(super) extra: Vec<(String, JsonTemplate)>,
    pub(super) inputs: Arc<Inputs>,
    pub(super) dialect: Option<Arc<Dialect>>,
    pub(super) allow_lists: Vec<AllowList>,
    pub(super) uses: ProfileUse,
    /// What the operator should be told at start.
    pub(super) cautions: Vec<String>,
}

impl Compiled {
    /// Whether it calls the provider for no user.
    fn is_silent(&self) -> bool {
        self.mint.is_local() && self.upsert.is_empty() && self.revoke.is_empty()
    }
}

/// Steps that register and retire public keys.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) register: Sequence,
    pub(super) verify: Sequence,
    pub(super) retire: Sequence,
}

/// Settings that `definition` needs where nothing but calls for applications is wanted.
pub(super) fn settings_of_calls(definition: &Definition) -> BTreeSet<String> {
    gateway::settings_of(definition)
}

/// Compiles `definition` with `settings` for the provider called `name`, as far as it is `wanted`.
pub(super) fn compile(
    name: &str,
    definition: &Definition,
    settings: Settings,
    table: &config::Provider,
    metrics: &Metrics,
    wanted: Wanted,
) -> Result<Parts, Mistakes> {
    let named = |wanted: fn(&super::definition::Setting) -> bool| {
        definition.settings.iter().filter(move |(_, setting)| wanted(setting)).map(|(name, _)| name.clone())
    };
    // Where only calls are wanted, secrets that they do not need are not read, nor are parts of them.
    let has_part = |setting: &super::definition::Setting| {
        setting.part_of.as_ref().is_some_and(|part| wanted.sessions || settings.secrets.contains_key(&part.secret))
    };
    let parts = definition.settings.iter().filter(|(_, setting)| has_part(setting)).map(|(name, _)| name.clone());
    let parts = parts.collect();
    let scope = Scope {
        settings: settings.plain.values,
        unset: settings.plain.unset,
        templates: named(|setting| setting.kind == SettingKind::Template).collect(),
        secrets: named(|setting| setting.secret).chain([USER_KEY.to_owned()]).collect(),
        parts,
        inputs: definition.inputs.keys().cloned().collect(),
        ..Scope::default()
    };
    let needs = Needs { sources: settings.secrets, patterns: settings.secret_patterns, ..Needs::default() };
    let sessions = definition.sessions().filter(|_| wanted.sessions);
    if wanted.sessions && sessions.is_none() {
        let problem = format!("\"{}\" makes no tokens, so no route can name this provider", definition.name);
        return Err(Mistake::new("preset", problem).into());
    }
    let (unencrypted, mistakes) = (BTreeSet::new(), Mistakes::default());
    let mut compiler = Compiler { name, definition, table, metrics, scope, needs, unencrypted, mistakes };
    compiler.parts();
    let limits = compiler.limits();
    let sessions = sessions.and_then(|sessions| compiler.sessions(sessions));
    let of_sessions: BTreeSet<String> = compiler.needs.used().map(str::to_owned).collect();
    let gateway = if wanted.gateway {
        let user = sessions.as_ref().map(|sessions| &sessions.user);
        compiler
            .gateway(user)
            .map(|rules| Rules { calls_alone: sessions.as_ref().is_none_or(Compiled::is_silent), ..rules })
    } else {
        None
    };
    if !compiler.mistakes.is_empty() {
        return Err(compiler.mistakes.once());
    }
    compiler.keep_secrets_apart(&of_sessions);
    Ok(Parts { sessions, gateway, limits, needs: compiler.needs })
}

struct Compiler<'c> {
    name: &'c str,
    definition: &'c Definition,
    table: &'c config::Provider,
    metrics: &'c Metrics,
    scope: Scope,
    needs: Needs,
    /// Hosts that secrets are sent to without encryption.
    unencrypted: BTreeSet<String>,
    mistakes: Mistakes,
}

impl Compiler<'_> {
    fn refuse(&mut self, place: impl Into<Key>, problem: impl Into<String>) {
        self.mistakes.refuse(place, problem);
    }

    fn sessions(&mut self, sessions: Sessions<'_>) -> Option<Compiled> {
        let definition = self.definition;
        let lifetime = self.lifetime(sessions);
        let user = self.user();
        let allow_lists = self.allow_lists();
        let lets = self.lets();
        let upsert = self.sequence(&"upsert".into(), definition.upsert.as_ref().map_or(&[], |upsert| &upsert.steps));
        // What an upsert takes is gone when the token is made: the user may be remembered, and no upsert run.
        self.scope.taken.clear();
        // Signing out takes no input.
        let inputs = std::mem::take(&mut self.scope.inputs);
        let revoke = self.sequence(&"revoke".into(), definition.revoke.as_ref().map_or(&[], |revoke| &revoke.steps));
        self.scope.inputs = inputs;
        self.scope.taken.clear();
        let mint = self.mint(sessions.token, &lifetime);
        let account = self.account();
        let response = sessions.response;
        let user_id = response.user_id.as_ref().and_then(|text| self.text(&"response.user_id".into(), text));
        let extra = self.extra(sessions);
        self.scope.members = extra.iter().map(|(name, _)| name.clone()).collect();
        let dialect = self.client();
        self.scope.taken.clear();
        let registration = self.registration();
        let api_url = self.constant(&"response.api_url".into(), &response.api_url);
        let inputs = Arc::new(self.inputs().unwrap_or_default());
        let dialect = dialect.map(|dialect| Arc::new(Dialect { inputs: self.client_inputs(&inputs), ..dialect }));
        self.unused_settings(registration.is_some() || definition.keys.is_none());
        let endless = mint.as_ref().is_some_and(Mint::is_endless);
        let lifetime = Lifetime {
            unit: Duration::from_secs(self.scope.ttl_unit),
            maximum: lifetime.maximum.or((!endless).then_some(LONGEST)),
            ..lifetime
        };
        Some(Compiled {
            account,
            user: UserRule { in_path: self.scope.segment_users, ..user },
            lifetime,
            lets,
            cautions: self.cautions(mint.as_ref(), sessions.token.cache),
            mint: mint?,
            cache: sessions.token.cache,
            exclusive: sessions.token.exclusive,
            upsert,
            remember: definition.upsert.as_ref().map_or(Duration::ZERO, |upsert| upsert.remember.0),
            revoke,
            registers_keys: definition.keys.is_some(),
            registration,
            api_url: api_url??,
            user_id,
            extra,
            inputs,
            dialect,
            allow_lists,
            uses: self.scope.uses,
        })
    }

    fn registration(&mut self) -> Option<Registration> {
        let keys = self.definition.keys.as_ref()?;
        let is_given =
            |name: &&String| self.scope.settings.contains_key(*name) || self.needs.sources.contains_key(name.as_str());
        let (given, missing): (Vec<_>, Vec<_>) = keys.needs.iter().partition(is_given);
        if !missing.is_empty() {
            if let Some(present) = given.first() {
                for name in missing {
                    self.refuse(
                        Key::of(name),
                        format!("is missing; {present} is given, and registering keys needs both"),
                    );
                }
            }
            return None;
        }
        let mut sequence = |room: &str, steps: &[super::definition::Step]| {
            let before = std::mem::replace(&mut self.scope.place, TemplatePlace::Keys);
            let sequence = self.sequence(&room.into(), steps);
            self.scope.place = before;
            self.scope.taken.clear();
            sequence
        };
        Some(Registration {
            register: sequence("keys.register", &keys.register),
            verify: sequence("keys.verify", &keys.verify),
            retire: sequence("keys.retire", &keys.retire),
        })
    }

    fn extra(&mut self, sessions: Sessions<'_>) -> Vec<(String, JsonTemplate)> {
        let mut compiled: Vec<(String, JsonTemplate)> = Vec::new();
        for (written, value) in &sessions.response.extra {
            let place = Key::from("response.extra").below(written);
            // The operator may choose a name, or leave a member out by leaving its name out.
            let Some(Some(name)) = self.constant(&place, written) else { continue };
            if matches!(name.as_str(), "token" | "expiresAt" | "apiUrl" | "chatUserId" | "displayName") {
                self.refuse(place, format!("\"{name}\" is a member of every session"));
            } else if compiled.iter().any(|(own, _)| *own == name) {
                self.refuse(place, format!("there are two members \"{name}\""));
            } else {
                compiled.extend(self.json(&place, value).map(|value| (name, value)));
            }
        }
        compiled
    }

    /// Whether a value of the input with this number may hold `separator`.
    fn input_allows(&self, index: usize, separator: char) -> bool {
        let input: Option<&Input> = self.definition.inputs.values().nth(index);
        input.is_none_or(|input| may_hold(&input.pattern, separator))
    }

    /// Settings that webhooks and calls for applications use.
    fn named_elsewhere(&self) -> BTreeSet<String> {
        let by_webhook = self.definition.webhook.as_ref().map(WebhookSection::names).unwrap_or_default();
        let by_calls = self.definition.gateway.as_ref().map(|own| own.names(self.definition.auth.as_ref()));
        by_webhook.into_iter().chain(by_calls.unwrap_or_default()).collect()
    }

    /// What only webhooks use is read by them. What no session uses ends none when it changes.
    fn keep_secrets_apart(&mut self, of_sessions: &BTreeSet<String>) {
        let used: BTreeSet<String> = self.needs.used().map(str::to_owned).collect();
        let parts: BTreeSet<&str> = self.needs.parts.iter().map(|part| part.secret.as_str()).collect();
        for name in self.named_elsewhere() {
            if parts.contains(name.as_str()) || of_sessions.contains(&name) {
                continue;
            }
            if used.contains(&name) {
                self.needs.apart.insert(name);
            } else {
                self.needs.sources.remove(&name);
                self.needs.patterns.remove(&name);
            }
        }
    }

    fn cautions(&self, mint: Option<&Mint>, cached: bool) -> Vec<String> {
        let mut cautions: Vec<String> = self.definition.caution.iter().cloned().collect();
        let unencrypted = self.unencrypted.iter();
        cautions.extend(unencrypted.map(|host| format!("secrets go to {host} without encryption; write https://")));
        // What is handed out once only is bound to something that ends: a socket, a nonce.
        if mint.is_some_and(Mint::is_endless) && cached {
            cautions.push("its tokens never expire: a stolen one stays good".to_owned());
        }
        cautions
    }

    fn json(&mut self, place: &Key, value: &Value) -> Option<JsonTemplate> {
        let outcome = JsonTemplate::compile(value, place, &mut self.scope);
        self.mistakes.note(outcome)
    }

    fn object(&mut self, place: &Key, members: &Map<String, Value>) -> Option<JsonTemplate> {
        let outcome = JsonTemplate::compile_object(members, place, &mut self.scope);
        self.mistakes.note(outcome)
    }

    fn text(&mut self, place: &Key, text: &str) -> Option<TextTemplate> {
        let outcome = TextTemplate::compile(text, place, &mut self.scope);
        self.mistakes.note(outcome)
    }

    /// A text that is fixed at load. The outer `None` is a mistake, the inner one an optional setting without value.
    fn constant(&mut self, place: &Key, text: &str) -> Option<Option<String>> {
        let outcome = self.scope.at(TemplatePlace::Load, |scope| TextTemplate::compile(text, place, scope));
        let template = self.mistakes.note(outcome)?;
        match template.constant() {
            Some(text) => Some(text.map(str::to_owned)),
            None => {
                self.refuse(place, "has no value");
                None
            }
        }
    }

    /// Whether `name` is a secret setting; a mistake if not.
    fn secret(&mut self, place: &Key, name: &str) -> bool {
        // Those that the definition declares: the key of user ids is the operator's own, and goes nowhere.
        let known = self.definition.settings.get(name).is_some_and(|setting| setting.secret);
        if !known {
            self.refuse(place, format!("\"{name}\" is not a secret setting"));
        }
        known
    }
}
