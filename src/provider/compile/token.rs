//! Compiles how a token is made: the three kinds, and the values that are worked out before it.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Compiler, Lifetime};
use crate::definition::Key;
use crate::provider::credentials::KeyRule;
use crate::provider::definition::{self, LocalExpiry};
use crate::provider::mint::token::{Let, Mint};
use crate::provider::template::Expression;
use crate::provider::template::json::JsonTemplate;

impl Compiler<'_> {
    /// Values with a name; each may use those before it.
    pub(super) fn lets(&mut self) -> Vec<(String, Let)> {
        let mut compiled = Vec::new();
        for (name, rule) in &self.definition.lets {
            let place = Key::of("let").below(name);
            let own = match rule {
                definition::Let::Hmac(mac) => self.mac(&place, mac).map(Let::Mac),
                definition::Let::Jwt(jwt) => {
                    self.side_jwt(&place.below("jwt"), &jwt.jwt).map(|(signer, claims)| Let::Jwt { signer, claims })
                }
                definition::Let::Value(Value::Object(members))
                    if members.contains_key("hmac") || members.contains_key("jwt") =>
                {
                    let problem = "is neither a MAC (hmac, key, text, encode) nor a JWT (jwt = { alg, key, claims })";
                    self.refuse(&place, problem);
                    None
                }
                definition::Let::Value(value) => self.json(&place, value).map(Let::Value),
            };
            // Known from here on even if it is mistaken, so that one mistake is told once.
            self.scope.lets.push(name.clone());
            compiled.extend(own.map(|own| (name.clone(), own)));
        }
        compiled
    }

    pub(super) fn mint(&mut self, token: &definition::Token, lifetime: &Lifetime) -> Option<Mint> {
        if token.exclusive && (token.steps.is_empty() || !token.cache) {
            let problem = "is about tokens that a provider makes and that are kept; remove it, or cache = false";
            self.refuse("token.exclusive", problem);
        }
        match (&token.jwt, &token.render, token.steps.is_empty()) {
            (Some(jwt), None, true) => self.jwt(jwt, lifetime),
            (None, Some(render), true) => {
                let template = self.text(&"token.render.token".into(), &render.token)?;
                Some(Mint::Render { token: template, endless: render.expires == LocalExpiry::None })
            }
            (None, None, false) => self.token_steps(&token.steps),
            _ => {
                self.refuse("token", "must have exactly one of jwt, render and steps");
                None
            }
        }
    }

    fn token_steps(&mut self, steps: &[definition::Step]) -> Option<Mint> {
        let sequence = self.sequence(&"token".into(), steps);
        let tells = |step: &&definition::Step| step.only.is_none() && step.when.is_none() && step.token.is_some();
        if !steps.iter().any(|step| tells(&step)) {
            self.refuse(
                "token.steps",
                "one step that always runs must say where the token is, and how its end is told",
            );
            return None;
        }
        Some(Mint::Steps(sequence))
    }

    fn jwt(&mut self, jwt: &definition::Jwt, lifetime: &Lifetime) -> Option<Mint> {
        let mut signer = self.signer(&"token.jwt".into(), &jwt.alg, &jwt.key, jwt.kid.as_deref(), &jwt.header)?;
        if jwt.label.as_ref().is_some_and(|label| label.eq_ignore_ascii_case("none")) {
            self.refuse("token.jwt.label", "says that tokens are not signed");
        }
        signer.label.clone_from(&jwt.label);
        // Providers that know a secret by its owner want no id; public keys are looked up by one.
        signer.named = !signer.alg.is_hmac() && jwt.label.is_none() && jwt.kid.is_some() || jwt.generate;
        let mut claims = jwt.claims.clone();
        let endless = jwt.expires == LocalExpiry::None;
        self.check_expiry(&claims, endless);
        if let Some(extra) = &jwt.extra {
            self.merge_claims(extra, &mut claims);
        }
        let outcome = JsonTemplate::compile_object(&claims, &"claims".into(), &mut self.scope);
        // What the definition says itself is reported by its place there.
        let own = |key: &Key| key.names().nth(1).is_some_and(|name| jwt.claims.contains_key(name));
        let claims = self
            .mistakes
            .note(outcome.map_err(|mistake| if own(&mistake.key) { mistake.within("token.jwt") } else { mistake }))?;
        let longest = if endless { Duration::MAX } else { lifetime.maximum.unwrap_or(lifetime.default) };
        let registered = self.definition.keys.is_some();
        self.needs.key = Some(KeyRule { signer, generate: jwt.generate, longest, registered });
        Some(Mint::Jwt { claims, endless })
    }

    /// What the session says of a token's end must be what the token says.
    fn check_expiry(&mut self, claims: &Map<String, Value>, endless: bool) {
        let text = claims.get("exp").and_then(Value::as_str).unwrap_or_default();
        let inner = text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).map(str::trim);
        let is_expiry = inner
            .and_then(|inner| Expression::compile(inner, &mut self.scope).ok())
            .is_some_and(|expression| expression.is_expiry());
        if endless == claims.contains_key("exp") || !endless && !is_expiry {
            self.refuse(
                "token.jwt.claims.exp",
                "must be \"{{ exp.s }}\"; a token without end has no exp, and says token.jwt.expires = \"none\"",
            );
        }
    }

    /// Claims of the operator's own. Those that say who and how long are not for overriding; what else a definition keeps
    /// to itself is in the setting's `reserved`.
    fn merge_claims(&mut self, setting: &str, claims: &mut Map<String, Value>) {
        self.scope.used_settings.insert(setting.to_owned());
        let Some(Value::Object(own)) = self.scope.settings.get(setting).cloned() else { return };
        for (name, value) in own {
            if name.contains("{{") {
                self.refuse(
                    Key::of(setting).below(&name),
                    "is a name that varies, and could be one that is not for overriding",
                );
            } else if matches!(name.as_str(), "sub" | "exp" | "iat" | "nbf" | "iss" | "aud") {
                self.refuse(
                    Key::of(setting).below(&name),
                    "is set by the definition; use its settings, the route's ttl, or the user",
                );
            } else {
                claims.insert(name, value);
            }
        }
    }
}
