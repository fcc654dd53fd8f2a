//! From a definition and the operator's settings to a provider that can run. Everything that cannot work or is not safe
//! is refused here, with the place in the definition or the key in the configuration.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{HeaderName, Method};
use serde_json::{Map, Value};

use super::credentials::{AuthRule, KeyRule, Needs};
use super::definition::{self, Auth, Definition, OnCredentialChange, SettingKind};
use super::settings::Settings;
use super::signing::Alg;
use super::step::{Step, StepMetrics};
use super::template::json::JsonTemplate;
use super::template::text::{TextTemplate, UrlTemplate};
use super::template::{ProfileUse, Scope, TemplateError};
use super::user::UserRule;
use crate::metrics::Metrics;

/// How long tokens live, and what clients need.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    /// Where the route does not say.
    pub default: Duration,
    /// Shortest that may be asked for.
    pub minimum: Option<Duration>,
    /// Longest that may be asked for.
    pub maximum: Option<Duration>,
    /// Never hand out a token with this much or less left.
    pub margin: Duration,
    /// Whether sessions end with the credential they were minted with.
    pub drop_on_credential_change: bool,
}

impl Lifetime {
    /// Checks a lifetime that a route asks for.
    pub fn check(&self, ttl: Duration) -> Result<(), String> {
        let shown = humantime::format_duration;
        if ttl.subsec_nanos() != 0 {
            return Err(format!("is {}; tokens count whole seconds", shown(ttl)));
        }
        if ttl <= self.margin {
            return Err(format!(
                "is {}, and clients refresh {} before the end, so they would refresh at once and for ever; write more",
                shown(ttl),
                shown(self.margin)
            ));
        }
        if let Some(minimum) = self.minimum.filter(|minimum| ttl < *minimum) {
            return Err(format!("is {}; the provider's minimum is {}", shown(ttl), shown(minimum)));
        }
        if let Some(maximum) = self.maximum.filter(|maximum| ttl > *maximum) {
            return Err(format!("is {}; the provider's maximum is {}", shown(ttl), shown(maximum)));
        }
        Ok(())
    }
}

/// How a token is made.
#[derive(Debug)]
pub(super) enum Mint {
    /// Signed here: the claims.
    Jwt(JsonTemplate),
    /// Asked for.
    Steps(Vec<Step>),
}

/// A definition, compiled.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) user: UserRule,
    pub(super) lifetime: Lifetime,
    pub(super) mint: Mint,
    pub(super) upsert: Vec<Step>,
    pub(super) remember: Duration,
    pub(super) api_url: String,
    pub(super) extra: Vec<(String, JsonTemplate)>,
    pub(super) needs: Needs,
    pub(super) uses: ProfileUse,
    pub(super) taken: usize,
}

/// Mistakes: a key of the provider's table or a place in the definition, and what is wrong there.
pub(super) type Mistakes = Vec<(String, String)>;

/// Compiles `definition` with `settings` for the provider called `name`.
pub(super) fn compile(
    name: &str,
    definition: &Definition,
    settings: Settings,
    client_margin: Option<Duration>,
    metrics: &Metrics,
) -> Result<Compiled, Mistakes> {
    let scope = Scope {
        settings: settings.values,
        unset: settings.unset,
        secrets: definition
            .settings
            .iter()
            .filter(|(_, setting)| setting.secret)
            .map(|(name, _)| name.clone())
            .collect(),
        ..Scope::default()
    };
    let needs = Needs { sources: settings.secrets, patterns: settings.secret_patterns, ..Needs::default() };
    let mut compiler = Compiler { name, definition, metrics, scope, needs, mistakes: Mistakes::new() };
    let compiled = compiler.compile(client_margin);
    match compiled {
        Some(mut compiled) if compiler.mistakes.is_empty() => {
            compiled.needs = compiler.needs;
            compiled.uses = compiler.scope.uses;
            compiled.taken = compiler.scope.taken.len();
            Ok(compiled)
        }
        _ => Err(compiler.mistakes),
    }
}

struct Compiler<'c> {
    name: &'c str,
    definition: &'c Definition,
    metrics: &'c Metrics,
    scope: Scope,
    needs: Needs,
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

    fn compile(&mut self, client_margin: Option<Duration>) -> Option<Compiled> {
        let definition = self.definition;
        let lifetime = self.lifetime(client_margin);
        let user = UserRule::compile(&definition.user).map_err(|problem| self.refuse("user.pattern", problem)).ok();
        let upsert_steps = definition.upsert.as_ref().map_or(&[][..], |upsert| &upsert.steps);
        let upsert = self.steps("upsert", upsert_steps);
        let mint = self.mint(&lifetime);
        let api_url = self.constant("response.api_url", &definition.response.api_url);
        let extra = self.extra();
        self.unused_secrets();
        Some(Compiled {
            user: user?,
            lifetime,
            mint: mint?,
            upsert,
            remember: definition.upsert.as_ref().map_or(Duration::ZERO, |upsert| upsert.remember),
            api_url: api_url??,
            extra,
            needs: Needs::default(),
            uses: ProfileUse::default(),
            taken: 0,
        })
    }

    fn lifetime(&mut self, client_margin: Option<Duration>) -> Lifetime {
        let raw = &self.definition.lifetime;
        Lifetime {
            default: raw.default,
            minimum: raw.minimum,
            maximum: raw.maximum,
            margin: client_margin.unwrap_or(raw.margin),
            drop_on_credential_change: raw.on_credential_change == OnCredentialChange::Drop,
        }
    }

    fn mint(&mut self, lifetime: &Lifetime) -> Option<Mint> {
        let token = &self.definition.token;
        match (&token.jwt, token.steps.is_empty()) {
            (Some(jwt), true) => self.jwt(jwt, lifetime),
            (None, false) => {
                let steps = self.steps("token", &token.steps);
                let last = token.steps.last()?;
                if last.token.is_none() || last.expires.is_none() {
                    self.refuse("token.steps", "the last step must say where the token is and how its end is told");
                }
                Some(Mint::Steps(steps))
            }
            _ => {
                self.refuse("token", "must have either jwt or steps");
                None
            }
        }
    }

    fn jwt(&mut self, jwt: &definition::Jwt, lifetime: &Lifetime) -> Option<Mint> {
        let alg = self.constant("token.jwt.alg", &jwt.alg)??;
        let Some(alg) = Alg::named(&alg) else {
            self.refuse("token.jwt.alg", format!("\"{alg}\" is not EdDSA, ES256, RS256 or HS256"));
            return None;
        };
        if !self.scope.secrets.contains(&jwt.key) {
            self.refuse("token.jwt.key", format!("\"{}\" is not a secret setting", jwt.key));
        }
        let kid = match &jwt.kid {
            Some(text) => self.constant("token.jwt.kid", text)?,
            None => None,
        };
        let header = self.jose_header(&jwt.header);
        let mut claims = jwt.claims.clone();
        if let Some(extra) = &jwt.extra {
            self.merge_claims(extra, &mut claims);
        }
        let outcome = JsonTemplate::compile_object(&claims, "claims", &mut self.scope);
        let template = self.note(outcome)?;
        self.needs.key = Some(KeyRule {
            alg,
            secret: jwt.key.clone(),
            kid,
            generate: jwt.generate,
            header,
            overlap: lifetime.maximum.unwrap_or(lifetime.default),
        });
        Some(Mint::Jwt(template))
    }

    fn jose_header(&mut self, members: &Map<String, Value>) -> Map<String, Value> {
        let mut header = Map::new();
        for (name, value) in members {
            let value = match value {
                Value::String(text) => match self.constant(&format!("token.jwt.header.{name}"), text) {
                    Some(Some(text)) => Value::String(text),
                    _ => continue,
                },
                other => other.clone(),
            };
            header.insert(name.clone(), value);
        }
        header
    }

    /// Claims of the operator's own. Those that say who and how long are not for overriding.
    fn merge_claims(&mut self, setting: &str, claims: &mut Map<String, Value>) {
        let Some(Value::Object(own)) = self.scope.settings.get(setting).cloned() else { return };
        for (name, value) in own {
            if matches!(name.as_str(), "sub" | "exp" | "iat" | "nbf" | "iss" | "aud") {
                self.refuse(
                    format!("{setting}.{name}"),
                    "is set by the definition; use the settings issuer and audience, the route's ttl, or the user",
                );
            } else {
                claims.insert(name, value);
            }
        }
    }

    fn extra(&mut self) -> Vec<(String, JsonTemplate)> {
        let mut compiled = Vec::new();
        for (name, value) in &self.definition.response.extra {
            if matches!(name.as_str(), "token" | "expiresAt" | "apiUrl" | "chatUserId" | "displayName") {
                self.refuse(format!("response.extra.{name}"), "is a member of every session");
                continue;
            }
            let outcome = JsonTemplate::compile(value, &format!("response.extra.{name}"), &mut self.scope);
            compiled.extend(self.note(outcome).map(|template| (name.clone(), template)));
        }
        compiled
    }

    fn steps(&mut self, room: &str, steps: &[definition::Step]) -> Vec<Step> {
        let mut seen = BTreeSet::new();
        let mut compiled = Vec::new();
        for step in steps {
            if !seen.insert(&step.id) {
                self.refuse(format!("{room}.steps"), format!("two steps are called \"{}\"", step.id));
            }
            compiled.extend(self.step(room, step));
        }
        compiled
    }

    fn step(&mut self, room: &str, step: &definition::Step) -> Option<Step> {
        let place = format!("{room}.steps.{}", step.id);
        let addresses = [
            (Method::POST, &step.post),
            (Method::PUT, &step.put),
            (Method::PATCH, &step.patch),
            (Method::GET, &step.get),
        ];
        let mut given = addresses.into_iter().filter_map(|(method, address)| Some((method, address.as_ref()?)));
        let (Some((method, address)), None) = (given.next(), given.next()) else {
            self.refuse(place, "must have exactly one of post, put, patch and get");
            return None;
        };
        let outcome =
            UrlTemplate::compile(address, &format!("{place}.{}", method.as_str().to_lowercase()), &mut self.scope);
        let url = self.note(outcome);
        let query = self.texts(&format!("{place}.query"), &step.query);
        let headers = self.headers(&place, step);
        let json = step.json.as_ref().and_then(|value| {
            let outcome = JsonTemplate::compile(value, &format!("{place}.json"), &mut self.scope);
            self.note(outcome)
        });
        let auth = step.auth.as_ref().or(self.definition.auth.as_ref()).and_then(|auth| self.auth(&place, auth));
        if step.expires.as_ref().is_some_and(|expires| expires.kind.is_read() && expires.at.is_none()) {
            self.refuse(format!("{place}.expires"), "must say where the expiry is: at = \"/member\"");
        }
        self.pointers(&place, step);
        let take = self.take(step);
        Some(Step {
            id: step.id.clone(),
            method,
            url: url?,
            query,
            headers,
            auth,
            json,
            ok: step.ok.clone(),
            take,
            token: step.token.clone(),
            expires: step.expires.clone(),
            errors: step.errors.clone(),
            retry: step.retry,
            metrics: StepMetrics::new(self.metrics, self.name, &step.id),
        })
    }

    fn texts(
        &mut self,
        place: &str,
        texts: &std::collections::BTreeMap<String, String>,
    ) -> Vec<(String, TextTemplate)> {
        let mut compiled = Vec::new();
        for (name, text) in texts {
            let outcome = TextTemplate::compile(text, &format!("{place}.{name}"), &mut self.scope);
            compiled.extend(self.note(outcome).map(|template| (name.clone(), template)));
        }
        compiled
    }

    fn headers(&mut self, place: &str, step: &definition::Step) -> Vec<(HeaderName, TextTemplate)> {
        let mut compiled = Vec::new();
        for (name, template) in self.texts(&format!("{place}.headers"), &step.headers) {
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => compiled.push((name, template)),
                Err(_) => self.refuse(format!("{place}.headers.{name}"), "is not a header name"),
            }
        }
        compiled
    }

    fn auth(&mut self, place: &str, auth: &Auth) -> Option<usize> {
        let (header, secret, bearer) = match auth {
            Auth::Header(auth) => (auth.header.as_str(), &auth.secret, false),
            Auth::Bearer(auth) => ("authorization", &auth.bearer, true),
        };
        if !self.scope.secrets.contains(secret) {
            self.refuse(format!("{place}.auth"), format!("\"{secret}\" is not a secret setting"));
            return None;
        }
        let Ok(header) = HeaderName::from_bytes(header.as_bytes()) else {
            self.refuse(format!("{place}.auth"), format!("\"{header}\" is not a header name"));
            return None;
        };
        let rule = AuthRule { header, secret: secret.clone(), bearer };
        let known = self.needs.auths.iter().position(|own| *own == rule);
        Some(known.unwrap_or_else(|| {
            self.needs.auths.push(rule);
            self.needs.auths.len() - 1
        }))
    }

    fn pointers(&mut self, place: &str, step: &definition::Step) {
        let expiry = step.expires.as_ref().and_then(|expires| expires.at.as_ref());
        let all = step.take.values().chain(&step.token).chain(expiry);
        for pointer in all.filter(|pointer| !pointer.starts_with('/')).cloned().collect::<Vec<_>>() {
            self.refuse(place, format!("\"{pointer}\" is not a JSON Pointer; write \"/member\""));
        }
    }

    fn take(&mut self, step: &definition::Step) -> Vec<(usize, String)> {
        let mut take = Vec::new();
        for (name, pointer) in &step.take {
            self.scope.taken.push(format!("{}.{name}", step.id));
            take.push((self.scope.taken.len() - 1, pointer.clone()));
        }
        take
    }

    /// A text that is fixed at load. The outer `None` is a mistake, the inner one an optional setting without value.
    fn constant(&mut self, place: &str, text: &str) -> Option<Option<String>> {
        self.scope.constants_only = true;
        let outcome = TextTemplate::compile(text, place, &mut self.scope);
        self.scope.constants_only = false;
        let template = self.note(outcome)?;
        match template.constant() {
            Some(text) => Some(text.map(str::to_owned)),
            None => {
                self.refuse(place, "has no value");
                None
            }
        }
    }

    /// A secret that nothing uses is a mistake in the definition: the operator would look after it for nothing.
    fn unused_secrets(&mut self) {
        let unused: Vec<String> = self
            .definition
            .settings
            .iter()
            .filter(|(name, setting)| {
                let used = self.needs.auths.iter().any(|auth| auth.secret == **name)
                    || self.needs.key.as_ref().is_some_and(|key| key.secret == **name);
                setting.secret && setting.kind == SettingKind::Text && !used
            })
            .map(|(name, _)| name.clone())
            .collect();
        if self.mistakes.is_empty() {
            for name in unused {
                self.refuse(format!("settings.{name}"), "is a secret that no auth and no key uses");
            }
        }
    }
}
