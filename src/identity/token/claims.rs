//! What a payload must say before anybody is believed to be in it (RFC 7519, 4.1).

use std::time::Duration;

use crate::clock::Timestamp;
use crate::identity::Refusal;
use crate::identity::claims::reader::{Said, Slot, Values, Wanted};
use crate::identity::definition::{Form, TokenRules};

/// 9999-12-31T23:59:59Z: later times are mistakes, or milliseconds.
const LAST_SECOND: u64 = 253_402_300_799;

/// Reads the claims that every token must have.
#[derive(Debug)]
pub(super) struct ClaimsReader {
    exp: Slot,
    nbf: Slot,
    iat: Slot,
    iss: Slot,
    aud: Slot,
    sub: Slot,
    /// The claim that is the subject, mostly `sub` again.
    user: Slot,
    parties: [Slot; 2],
    events: Slot,
    machine: Vec<Slot>,
}

/// When a token is good: from the first moment, and before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    /// What it is past `until`.
    late: Refusal,
}

impl Window {
    /// The time between two moments, for tests of what keeps it.
    #[cfg(test)]
    pub(super) fn new(from: Timestamp, until: Timestamp) -> Self {
        Self { from, until, late: Refusal::Expired }
    }

    /// Whether `now` lies in it, and if not, how.
    pub(super) fn check(self, now: Timestamp) -> Result<(), Refusal> {
        if now < self.from {
            Err(Refusal::NotYetValid)
        } else if now < self.until {
            Ok(())
        } else {
            Err(self.late)
        }
    }

    fn ends(&mut self, until: Timestamp, late: Refusal) {
        if until < self.until {
            (self.until, self.late) = (until, late);
        }
    }
}

impl ClaimsReader {
    pub(super) fn new(rules: &TokenRules, wanted: &mut Wanted) -> Self {
        Self {
            exp: wanted.want(["exp"]),
            nbf: wanted.want(["nbf"]),
            iat: wanted.want(["iat"]),
            iss: wanted.want(["iss"]),
            aud: wanted.want(["aud"]),
            sub: wanted.want(["sub"]),
            user: wanted.want(&rules.claims.subject),
            parties: ["azp", "client_id"].map(|name| wanted.want([name])),
            events: wanted.want(["events"]),
            machine: rules.claims.machine.iter().map(|path| wanted.want(path)).collect(),
        }
    }

    /// Checks the claims, and tells when they hold. A claim that is not there never passes for one that fits (T-21).
    pub(super) fn check(
        &self,
        claims: &Values<'_>,
        rules: &TokenRules,
        header_exp: Option<Timestamp>,
    ) -> Result<Window, Refusal> {
        let window = self.window(claims, rules, header_exp)?;
        self.issuer(claims, rules)?;
        self.audience(claims, rules)?;
        self.parties(claims, rules)?;
        self.subject(claims, rules)?;
        Ok(window)
    }

    fn window(
        &self,
        claims: &Values<'_>,
        rules: &TokenRules,
        header_exp: Option<Timestamp>,
    ) -> Result<Window, Refusal> {
        let exp = time(claims.at(self.exp)).ok_or(Refusal::Claim)?; // T-21: exp
        let mut window =
            Window { from: Timestamp::from_seconds(0), until: exp.plus(rules.leeway), late: Refusal::Expired };
        if let Some(exp) = header_exp {
            window.ends(exp.plus(rules.leeway), Refusal::Expired);
        }
        for slot in [self.nbf, self.iat] {
            if claims.has(slot) {
                let begin = time(claims.at(slot)).ok_or(Refusal::Claim)?;
                window.from = window.from.max(begin.minus(rules.leeway));
            }
        }
        if let Some(max_age) = rules.max_age {
            let iat = time(claims.at(self.iat)).ok_or(Refusal::Claim)?;
            window.ends(iat.plus(max_age).plus(rules.leeway), Refusal::TooOld); // T-29: age
        }
        Ok(window)
    }

    fn issuer(&self, claims: &Values<'_>, rules: &TokenRules) -> Result<(), Refusal> {
        if rules.issuers.is_empty() {
            // The subject names its trust domain, and `subject` checks that.
            return Ok(());
        }
        let issuer = claims.text(self.iss).ok_or(Refusal::Claim)?;
        // T-22: issuer
        if rules.issuers.iter().any(|own| own == issuer) { Ok(()) } else { Err(Refusal::Issuer) }
    }

    fn audience(&self, claims: &Values<'_>, rules: &TokenRules) -> Result<(), Refusal> {
        let is_ours = |audience: &str| rules.audiences.iter().any(|own| own == audience); // T-22: audience
        let fits = match claims.at(self.aud) {
            _ if rules.form == Form::Alb => true,
            Some(Said::Text(audience)) => is_ours(audience),
            Some(Said::Texts(audiences)) => audiences.iter().any(|audience| is_ours(audience)),
            _ => return Err(Refusal::Claim),
        };
        if fits { Ok(()) } else { Err(Refusal::Audience) }
    }

    /// Each name of the party that the token was made for must be one of those allowed, and there must be one.
    fn parties(&self, claims: &Values<'_>, rules: &TokenRules) -> Result<(), Refusal> {
        if rules.authorized_parties.is_empty() {
            return Ok(());
        }
        let mut named = false;
        for slot in self.parties.iter().filter(|slot| claims.has(**slot)) {
            let party = claims.text(*slot).ok_or(Refusal::Claim)?;
            if !rules.authorized_parties.iter().any(|own| own == party) {
                return Err(Refusal::Audience);
            }
            named = true;
        }
        if named { Ok(()) } else { Err(Refusal::Claim) }
    }

    fn subject(&self, claims: &Values<'_>, rules: &TokenRules) -> Result<(), Refusal> {
        if claims.text(self.sub).is_none_or(str::is_empty) {
            let machine = self.machine.iter().any(|slot| claims.text(*slot).is_some_and(|name| !name.is_empty()));
            return Err(if machine { Refusal::Machine } else { Refusal::Claim });
        }
        // A sign-out notice looks like an id token, except for this (OpenID Connect Back-Channel Logout, 2.4).
        if claims.has(self.events) {
            return Err(Refusal::Claim);
        }
        let prefixes = &rules.subject_prefixes;
        if prefixes.is_empty() {
            return Ok(());
        }
        let user = claims.text(self.user).ok_or(Refusal::Claim)?;
        if prefixes.iter().any(|prefix| user.starts_with(prefix.as_str())) { Ok(()) } else { Err(Refusal::Issuer) }
    }

    /// The issuer that the token names.
    pub(super) fn issuer_of(&self, claims: &Values<'_>) -> Option<String> {
        claims.text(self.iss).map(str::to_owned)
    }
}

/// A `NumericDate`: seconds since 1970, perhaps with a fraction. Text, negative and boundless numbers are none.
pub(super) fn time(said: Option<&Said<'_>>) -> Option<Timestamp> {
    let since = match said? {
        Said::Whole(seconds) => Duration::from_secs(u64::try_from(*seconds).ok()?),
        Said::Real(seconds) => Duration::try_from_secs_f64(*seconds).ok()?,
        _ => return None,
    };
    (since.as_secs() <= LAST_SECOND).then(|| Timestamp::from_seconds(0).plus(since))
}
