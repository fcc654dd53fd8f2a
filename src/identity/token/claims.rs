//! What a payload must say before its subject is trusted (RFC 7519, 4.1).

use std::time::Duration;

use serde_json::Value;

use crate::clock::Timestamp;
use crate::identity::Refusal;
use crate::identity::claims::{Claims, Expiry, Window, text_of, time_of};
use crate::identity::definition::{TokenForm, TokenRules};

/// Names of the party that a token was made for.
const PARTIES: [&str; 2] = ["azp", "client_id"];

impl TokenRules {
    /// Checks the claims that every token must have, and tells when they hold. A claim that is not there never passes for
    /// one that fits (T-21).
    pub(super) fn check_claims(
        &self,
        claims: &Claims,
        header_exp: Option<Timestamp>,
        leeway: Duration,
    ) -> Result<Window, Refusal> {
        let window = self.window(claims, header_exp, leeway)?;
        self.check_issuer(claims)?;
        self.check_audience(claims)?;
        self.check_parties(claims)?;
        self.check_subject(claims)?;
        Ok(window)
    }

    fn window(&self, claims: &Claims, header_exp: Option<Timestamp>, leeway: Duration) -> Result<Window, Refusal> {
        let mut window = Window::until_exp(claims, Expiry::Required, leeway)?;
        if let Some(exp) = header_exp {
            window = window.until(exp.plus(leeway), Refusal::Expired);
        }
        let (nbf, iat) = (time_of(claims, "nbf")?, time_of(claims, "iat")?);
        for begin in [nbf, iat].into_iter().flatten() {
            window = window.from(begin.minus(leeway));
        }
        if let Some(max_age) = self.max_age {
            let iat = iat.ok_or(Refusal::Claim)?;
            window = window.until(iat.plus(max_age).plus(leeway), Refusal::TooOld); // T-29: age
        }
        Ok(window)
    }

    fn check_issuer(&self, claims: &Claims) -> Result<(), Refusal> {
        if self.issuers.is_empty() {
            // The subject names its trust domain, and `check_subject` looks at that.
            return Ok(());
        }
        let issuer = text_of(claims, "iss").ok_or(Refusal::Claim)?;
        // T-22: issuer
        if self.issuers.iter().any(|own| own == issuer) { Ok(()) } else { Err(Refusal::Issuer) }
    }

    fn check_audience(&self, claims: &Claims) -> Result<(), Refusal> {
        let is_ours = |audience: &str| self.audiences.iter().any(|own| own == audience); // T-22: audience
        let fits = match claims.get("aud") {
            _ if self.form == TokenForm::Alb => true,
            Some(Value::String(audience)) => is_ours(audience),
            Some(Value::Array(audiences)) => {
                let texts: Option<Vec<&str>> = audiences.iter().map(Value::as_str).collect();
                texts.ok_or(Refusal::Claim)?.into_iter().any(is_ours)
            }
            _ => return Err(Refusal::Claim),
        };
        if fits { Ok(()) } else { Err(Refusal::Audience) }
    }

    /// Each name of the party that the token was made for must be one of those allowed, and there must be one.
    fn check_parties(&self, claims: &Claims) -> Result<(), Refusal> {
        if self.authorized_parties.is_empty() {
            return Ok(());
        }
        let mut named = false;
        for party in PARTIES.iter().filter_map(|name| claims.get(*name)) {
            let party = party.as_str().ok_or(Refusal::Claim)?;
            if !self.authorized_parties.iter().any(|own| own == party) {
                return Err(Refusal::Audience);
            }
            named = true;
        }
        if named { Ok(()) } else { Err(Refusal::Claim) }
    }

    fn check_subject(&self, claims: &Claims) -> Result<(), Refusal> {
        if text_of(claims, "sub").is_none_or(str::is_empty) {
            let names = |value: &Value| value.as_str().is_some_and(|name| !name.is_empty());
            let machine = self.machine.iter().any(|path| path.find(claims).is_some_and(names));
            return Err(if machine { Refusal::Machine } else { Refusal::Claim });
        }
        // A sign-out notice looks like an id token, except for this (OpenID Connect Back-Channel Logout, 2.4).
        if claims.contains_key("events") {
            return Err(Refusal::Claim);
        }
        let prefixes = &self.subject_prefixes;
        if prefixes.is_empty() {
            return Ok(());
        }
        let user = self.claims.subject(claims)?.and_then(Value::as_str).ok_or(Refusal::Claim)?;
        if prefixes.iter().any(|prefix| user.starts_with(prefix.as_str())) { Ok(()) } else { Err(Refusal::Issuer) }
    }
}
