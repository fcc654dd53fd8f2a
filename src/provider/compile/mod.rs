//! From a definition and the operator's settings to a provider that can run. Everything that cannot work or is not safe
//! is refused here, with the place in the definition or the key in the configuration.

mod keys;
mod steps;
mod token;

use std::collections::BTreeSet;
use std::time::Duration;

use http::HeaderName;
use serde_json::{Map, Value};

use super::credentials::{Needs, PartKind, PartRule};
use super::definition::{Definition, Input, OnCredentialChange, SettingKind};
use super::inputs::Inputs;
use super::lifetime::Lifetime;
use super::limiter::{Limiter, Rate};
use super::permit::Permit;
use super::sequence::Sequence;
use super::settings::{Settings, USER_KEY};
use super::template::json::JsonTemplate;
use super::template::text::TextTemplate;
use super::template::{Place, ProfileUse, Scope, TemplateError, settings_in};
use super::token::{Let, Mint};
use super::user::UserRule;
use crate::config;
use crate::metrics::Metrics;

/// Calls that wait for their turn, where a definition with a rate does not say.
const QUEUE: usize = 64;
/// Longest wait for a turn: what a person waits for a page. The request's own deadline may be shorter.
const LONGEST_TURN: Duration = Duration::from_secs(5);

/// Longest lifetime where a definition does not say: a token for a browser is short-lived.
const LONGEST: Duration = Duration::from_hours(24);

/// A definition, compiled.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) user: UserRule,
    pub(super) lifetime: Lifetime,
    pub(super) limiter: Option<Limiter>,
    pub(super) retry_headers: Vec<HeaderName>,
    pub(super) lets: Vec<(String, Let)>,
    pub(super) mint: Mint,
    pub(super) cache: bool,
    pub(super) upsert: Sequence,
    pub(super) remember: Duration,
    pub(super) revoke: Sequence,
    pub(super) registration: Option<Registration>,
    pub(super) api_url: String,
    pub(super) user_id: Option<TextTemplate>,
    pub(super) extra: Vec<(String, JsonTemplate)>,
    pub(super) needs: Needs,
    pub(super) inputs: Inputs,
    pub(super) permits: Vec<Permit>,
    pub(super) uses: ProfileUse,
    /// What the operator should be told at start.
    pub(super) cautions: Vec<String>,
}

/// Steps that register and retire public keys.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) register: Sequence,
    pub(super) verify: Sequence,
    pub(super) retire: Sequence,
}

/// Mistakes: a key of the provider's table or a place in the definition, and what is wrong there.
pub(super) type Mistakes = Vec<(String, String)>;

/// Compiles `definition` with `settings` for the provider called `name`.
pub(super) fn compile(
    name: &str,
    definition: &Definition,
    settings: Settings,
    table: &config::Provider,
    metrics: &Metrics,
) -> Result<Compiled, Mistakes> {
    let named = |wanted: fn(&super::definition::Setting) -> bool| {
        definition.settings.iter().filter(move |(_, setting)| wanted(setting)).map(|(name, _)| name.clone())
    };
    let scope = Scope {
        settings: settings.values,
        unset: settings.unset,
        templates: settings.templates,
        secrets: named(|setting| setting.secret).chain([USER_KEY.to_owned()]).collect(),
        parts: named(|setting| setting.part_of.is_some()).collect(),
        inputs: definition.inputs.keys().cloned().collect(),
        ..Scope::default()
    };
    let needs = Needs { sources: settings.secrets, patterns: settings.secret_patterns, ..Needs::default() };
    let (unencrypted, mistakes) = (BTreeSet::new(), Mistakes::new());
    let mut compiler = Compiler { name, definition, table, metrics, scope, needs, unencrypted, mistakes };
    let compiled = compiler.compile();
    match compiled {
        Some(compiled) if compiler.mistakes.is_empty() => Ok(compiled),
        _ => Err(compiler.mistakes),
    }
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
    fn refuse(&mut self, place: impl Into<String>, problem: impl Into<String>) {
        self.mistakes.push((place.into(), problem.into()));
    }

    /// Notes a mistake of a template, whose text begins with its place.
    fn note<T>(&mut self, outcome: Result<T, TemplateError>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                let (place, problem) = error.0.split_once(": ").unwrap_or(("definition", &error.0));
                self.refuse(place, problem);
                None
            }
        }
    }

    fn compile(&mut self) -> Option<Compiled> {
        let definition = self.definition;
        self.parts();
        let lifetime = self.lifetime();
        let user = self.user();
        let (limiter, retry_headers) = self.limits();
        let permits = self.permits();
        let lets = self.lets();
        let upsert = self.sequence("upsert", definition.upsert.as_ref().map_or(&[], |upsert| &upsert.steps));
        // What an upsert takes is gone when the token is made: the user may be remembered, and no upsert run.
        self.scope.taken.clear();
        // Signing out takes no input.
        let inputs = std::mem::take(&mut self.scope.inputs);
        let revoke = self.sequence("revoke", definition.revoke.as_ref().map_or(&[], |revoke| &revoke.steps));
        self.scope.inputs = inputs;
        self.scope.taken.clear();
        let mint = self.mint(&lifetime);
        let user_id = definition.response.user_id.as_ref().and_then(|text| self.text("response.user_id", text));
        let extra = self.extra();
        self.scope.taken.clear();
        let registration = self.registration();
        let api_url = self.constant("response.api_url", &definition.response.api_url);
        let inputs = self.inputs();
        self.unused_settings(registration.is_some() || definition.keys.is_none());
        let endless = mint.as_ref().is_some_and(Mint::is_endless);
        let lifetime = Lifetime {
            unit: Duration::from_secs(self.scope.ttl_unit),
            maximum: lifetime.maximum.or((!endless).then_some(LONGEST)),
            ..lifetime
        };
        Some(Compiled {
            user,
            lifetime,
            limiter,
            retry_headers,
            lets,
            cautions: self.cautions(mint.as_ref()),
            mint: mint?,
            cache: definition.token.cache,
            upsert,
            remember: definition.upsert.as_ref().map_or(Duration::ZERO, |upsert| upsert.remember),
            revoke,
            registration,
            api_url: api_url??,
            user_id,
            extra,
            needs: std::mem::take(&mut self.needs),
            inputs: inputs?,
            permits,
            uses: self.scope.uses,
        })
    }

    /// Settings that are public parts of secrets.
    fn parts(&mut self) {
        for (name, setting) in &self.definition.settings {
            if name == USER_KEY {
                self.refuse(format!("settings.{name}"), "is the key of user ids, which every provider may have");
            }
            let Some(part) = &setting.part_of else { continue };
            let place = format!("settings.{name}.part_of");
            if setting.secret {
                self.refuse(&place, "makes a part of a secret public, so it cannot be secret itself");
            }
            self.secret(&place, &part.secret);
            let kind = match (part.public, self.cut(&place, part)) {
                (Some(form), _) => PartKind::Public(form),
                (None, Some(super::keys::material::Cut::Whole)) => {
                    self.refuse(&place, "would make the whole secret public; write before, after, json or field");
                    continue;
                }
                (None, Some(cut)) => PartKind::Cut(cut),
                (None, None) => continue,
            };
            self.needs.parts.push(PartRule { name: name.clone(), secret: part.secret.clone(), kind });
        }
    }

    fn lifetime(&mut self) -> Lifetime {
        let raw = &self.definition.lifetime;
        Lifetime {
            default: raw.default,
            minimum: raw.minimum,
            maximum: raw.maximum,
            margin: self.table.client_margin.unwrap_or(raw.margin),
            drop_on_credential_change: raw.on_credential_change == OnCredentialChange::Drop,
            shorten: raw.shorten,
            unit: Duration::from_secs(1),
        }
    }

    fn user(&mut self) -> UserRule {
        let raw = &self.definition.user;
        let mut affix = |place: &str, text: &str| self.constant(place, text).flatten().unwrap_or_default();
        let (prefix, suffix) = (affix("user.prefix", &raw.prefix), affix("user.suffix", &raw.suffix));
        let pattern = UserRule::pattern(raw.pattern.as_deref());
        let pattern = pattern.map_err(|problem| self.refuse("user.pattern", problem)).ok().flatten();
        UserRule {
            prefix: prefix + &self.table.user_prefix,
            suffix,
            pattern,
            max_bytes: raw.max_bytes,
            unfit: self.table.user_unfit,
        }
    }

    fn limits(&mut self) -> (Option<Limiter>, Vec<HeaderName>) {
        let raw = &self.definition.limits;
        let mut headers = Vec::new();
        for name in &raw.retry_headers {
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => headers.push(name),
                Err(_) => self.refuse("limits.retry_headers", format!("\"{name}\" is not a header name")),
            }
        }
        let (place, text) = match (&self.table.rate, &raw.rate) {
            (Some(own), _) => ("rate", own),
            (None, Some(text)) => ("limits.rate", text),
            (None, None) => return (None, headers),
        };
        let limiter = match text.parse::<Rate>() {
            Ok(rate) => {
                let (waiting, refused) =
                    (self.metrics.limiter_waiting(self.name), self.metrics.limiter_refused(self.name));
                let limiter = Limiter::new(rate, raw.burst, raw.queue.unwrap_or(QUEUE), LONGEST_TURN);
                Some(limiter.counted(waiting, refused))
            }
            Err(problem) => {
                self.refuse(place, problem);
                None
            }
        };
        (limiter, headers)
    }

    fn registration(&mut self) -> Option<Registration> {
        let keys = self.definition.keys.as_ref()?;
        let is_given =
            |name: &&String| self.scope.settings.contains_key(*name) || self.needs.sources.contains_key(name.as_str());
        let (given, missing): (Vec<_>, Vec<_>) = keys.needs.iter().partition(is_given);
        if !missing.is_empty() {
            if let Some(present) = given.first() {
                for name in missing {
                    self.refuse(name, format!("is missing; {present} is given, and registering keys needs both"));
                }
            }
            return None;
        }
        let mut sequence = |room: &str, steps: &[super::definition::Step]| {
            let before = std::mem::replace(&mut self.scope.place, Place::Keys);
            let sequence = self.sequence(room, steps);
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

    fn extra(&mut self) -> Vec<(String, JsonTemplate)> {
        let mut compiled: Vec<(String, JsonTemplate)> = Vec::new();
        for (written, value) in &self.definition.response.extra {
            let place = format!("response.extra.{written}");
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

    /// The inputs that templates use. An input that reaches nothing is not taken from requests.
    fn inputs(&mut self) -> Option<Inputs> {
        match Inputs::compile(&self.definition.inputs, &self.scope.used_inputs) {
            Ok(inputs) => Some(inputs),
            Err(mistakes) => {
                self.mistakes.extend(mistakes);
                None
            }
        }
    }

    /// Which values of inputs the operator allows.
    fn permits(&mut self) -> Vec<Permit> {
        let mut permits = Vec::new();
        for (index, (name, input)) in self.definition.inputs.iter().enumerate() {
            let Some(setting) = &input.allow else { continue };
            if !self.definition.settings.get(setting).is_some_and(|setting| setting.kind == SettingKind::List) {
                self.refuse(format!("inputs.{name}.allow"), format!("\"{setting}\" is not a setting of kind list"));
                continue;
            }
            self.scope.used_settings.insert(setting.clone());
            let list = self.scope.settings.get(setting).cloned();
            let outcome = Permit::compile(index, list.as_ref(), setting, &mut self.scope);
            permits.extend(self.note(outcome));
        }
        permits
    }

    /// Whether a value of the input with this number may hold `separator`.
    fn input_allows(&self, index: usize, separator: char) -> bool {
        let input: Option<&Input> = self.definition.inputs.values().nth(index);
        input.is_none_or(|input| super::pattern::may_hold(&input.pattern, separator))
    }

    fn cautions(&self, mint: Option<&Mint>) -> Vec<String> {
        let mut cautions: Vec<String> = self.definition.caution.iter().cloned().collect();
        let unencrypted = self.unencrypted.iter();
        cautions.extend(unencrypted.map(|host| format!("secrets go to {host} without encryption; write https://")));
        // What is handed out once only is bound to something that ends: a socket, a nonce.
        if mint.is_some_and(Mint::is_endless) && self.definition.token.cache {
            cautions.push("its tokens never expire: whoever gets hold of one keeps it".to_owned());
        }
        cautions
    }

    fn json(&mut self, place: &str, value: &Value) -> Option<JsonTemplate> {
        let outcome = JsonTemplate::compile(value, place, &mut self.scope);
        self.note(outcome)
    }

    fn object(&mut self, place: &str, members: &Map<String, Value>) -> Option<JsonTemplate> {
        let outcome = JsonTemplate::compile_object(members, place, &mut self.scope);
        self.note(outcome)
    }

    fn text(&mut self, place: &str, text: &str) -> Option<TextTemplate> {
        let outcome = TextTemplate::compile(text, place, &mut self.scope);
        self.note(outcome)
    }

    /// A text that is fixed at load. The outer `None` is a mistake, the inner one an optional setting without value.
    fn constant(&mut self, place: &str, text: &str) -> Option<Option<String>> {
        let outcome = self.scope.at(Place::Load, |scope| TextTemplate::compile(text, place, scope));
        let template = self.note(outcome)?;
        match template.constant() {
            Some(text) => Some(text.map(str::to_owned)),
            None => {
                self.refuse(place, "has no value");
                None
            }
        }
    }

    /// Whether `name` is a secret setting; a mistake if not.
    fn secret(&mut self, place: &str, name: &str) -> bool {
        // Those that the definition declares: the key of user ids is the operator's own, and goes nowhere.
        let known = self.definition.settings.get(name).is_some_and(|setting| setting.secret);
        if !known {
            self.refuse(place, format!("\"{name}\" is not a secret setting"));
        }
        known
    }

    /// A setting that nothing uses is a mistake in the definition: the operator would look after it for nothing.
    /// Where keys are not registered, the settings for that are not looked at.
    fn unused_settings(&mut self, registers: bool) {
        if !self.mistakes.is_empty() {
            return;
        }
        let optional: BTreeSet<&str> =
            self.definition.keys.iter().flat_map(|keys| &keys.needs).map(String::as_str).collect();
        let secrets: BTreeSet<&str> = self.needs.used().chain(optional.iter().copied()).collect();
        let defaults = self.definition.settings.values().filter_map(|setting| setting.default.as_deref());
        let by_defaults: BTreeSet<String> = defaults.flat_map(settings_in).collect();
        let parts = self.definition.settings.values().filter_map(|setting| setting.part_of.as_ref());
        let by_parts: BTreeSet<&str> = parts.map(|part| part.secret.as_str()).collect();
        let mut unused = Vec::new();
        for (name, setting) in &self.definition.settings {
            if setting.secret && !secrets.contains(name.as_str()) {
                let hint = if by_parts.contains(name.as_str()) { ", only parts of it" } else { "" };
                unused.push((name, format!("is a secret that no auth and no key uses{hint}")));
            }
            let used = self.scope.used_settings.contains(name) || by_defaults.contains(name);
            if registers && !setting.secret && !used {
                unused.push((name, "is a setting that nothing uses".to_owned()));
            }
        }
        for (name, problem) in unused {
            self.mistakes.push((format!("settings.{name}"), problem));
        }
    }
}
