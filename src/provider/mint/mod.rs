//! One mint, from the user to a token that has passed all checks.
//!
//! Where tokens are made here, [`Provider::mint_here`] does it in place. Where a provider is asked, [`Provider::mint`]
//! makes sure that it knows the user, and asks; the breaker stands before it, and what went wrong once because our
//! knowledge was old (a user that the provider forgot, a credential that was replaced) is tried once more.

pub(super) mod explain;
pub(super) mod lifetime;
pub(super) mod token;
pub(super) mod upserts;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::{Moment, Timestamp};
use crate::pacing::{Admitted, OwnFailures};
use crate::provider::Provider;
use crate::provider::calls::error::ProviderError;
use crate::provider::calls::step::Run;
use crate::provider::credentials::Credentials;
use crate::provider::definition::Class;
use crate::provider::template::json::MissingValue;
use crate::provider::template::{Profile, Variables};
use crate::provider::user::UserId;
use crate::trace::Origin;
use token::{Let, Mint};

/// Bytes of a token at most.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// What a mint needs beside the definition.
#[derive(Clone)]
pub struct Order<'a> {
    /// The user.
    pub profile: Profile<'a>,
    /// What the request added, in the order of the definition's inputs.
    pub inputs: Vec<Option<&'a str>>,
    /// Lifetime to ask for.
    pub ttl: Duration,
    /// Whether another process has sent this profile to the provider, and not too long ago.
    pub is_known: bool,
    /// The request that wants the token.
    pub origin: Origin,
}

impl std::fmt::Debug for Order<'_> {
    /// The values of a request stay out of panics and logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Order").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

/// A fresh token and what belongs to it. It can travel to where another process takes it over; `Debug` does not show the
/// token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    #[serde(with = "texts")]
    pub extra: Vec<(String, Vec<u8>)>,
    /// Whether the user was sent to the provider for it.
    #[serde(skip)]
    pub upserted: bool,
}

/// JSON is text: as a list of numbers it would travel at four times its size.
mod texts {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(extra: &[(String, Vec<u8>)], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(extra.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Vec<u8>)>, D::Error> {
        let extra = Vec::<(String, String)>::deserialize(deserializer)?;
        Ok(extra.into_iter().map(|(name, value)| (name, value.into_bytes())).collect())
    }
}

impl std::fmt::Debug for Minted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // T-33: Debug of a mint
        f.debug_struct("Minted").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Provider {
    /// Whether minting needs no call: it is then quick enough to be done in place.
    pub fn is_local(&self) -> bool {
        self.compiled.mint.is_local() && self.compiled.upsert.is_empty()
    }

    /// Mints a token that is made here.
    pub fn mint_here(&self, order: &Order<'_>) -> Result<Minted, ProviderError> {
        let user = self.user_of(order)?;
        let credentials = self.access.vault.current();
        let variables = self.variables(&user, order, &credentials);
        let lets = self.work_out(&credentials, &variables)?;
        self.make(&credentials, &Variables { lets: &lets, ..variables })
    }

    /// Makes sure that the provider knows the user, then gets a token.
    pub async fn mint(self: &Arc<Self>, order: &Order<'_>) -> Result<Minted, ProviderError> {
        if self.is_local() {
            return self.mint_here(order);
        }
        // A subject that cannot be a user is refused, whatever the state of the provider.
        self.user_of(order)?;
        let call = self.admit(order, OwnFailures::Count).await?;
        let deadline = self.access.clock.moment().plus(self.access.timeout);
        let credentials = self.access.vault.current().clone();
        let mut outcome = self.mint_remotely(&credentials, order, deadline).await;
        // The credential may have been replaced a moment ago. One look, one try: with an old one it would fail for ever.
        if matches!(&outcome, Err(error) if error.class == Class::CredentialRejected)
            && self.access.is_newer(credentials.generation).await
        {
            let credentials = self.access.vault.current().clone();
            outcome = self.mint_remotely(&credentials, order, deadline).await;
        }
        self.report(call, order, &outcome);
        outcome
    }

    /// Lets a call for the user of `order` pass the gate.
    async fn admit(&self, order: &Order<'_>, own: OwnFailures) -> Result<Admitted<'_, Class>, ProviderError> {
        let until = self.access.clock.moment().plus(self.access.timeout);
        Ok(self.access.gate.admit(order.profile.chat_subject(), own, &self.access.clock, until).await?)
    }

    /// Reports how a call ended, to the breaker and to the log.
    fn report<T>(&self, call: Admitted<'_, Class>, order: &Order<'_>, outcome: &Result<T, ProviderError>) {
        let now = self.access.clock.moment();
        if outcome.as_ref().is_err_and(ProviderError::is_ours) {
            return;
        }
        let ended = outcome.as_ref().map(|_| ()).map_err(ProviderError::failure);
        let change = call.report(ended, now);
        self.access.journal.note(&self.access.name, outcome, change, order.origin.request_id.as_deref(), now);
    }

    async fn mint_remotely(
        &self,
        credentials: &Credentials,
        order: &Order<'_>,
        deadline: Moment,
    ) -> Result<Minted, ProviderError> {
        let user = self.user_of(order)?;
        let run = self.access.run(credentials, order.origin.trace.as_ref(), deadline);
        let variables = self.variables(&user, order, credentials);
        // Once: a password that an upsert sets is the one that a token step logs in with.
        let lets = self.work_out(credentials, &variables)?;
        let variables = Variables { lets: &lets, ..variables };
        // Where this request leaves the name open, the upsert sends the user as before.
        let known_as = self.upserts.known_as(&user.id, order);
        let filled = known_as.as_deref().map(|known| known.fill(order));
        let as_sent = filled.as_ref().unwrap_or(order);
        let sent = Variables { lets: &lets, ..self.variables(&user, as_sent, credentials) };
        let known = self.upserts.remembers(&user.id, self.session_credentials(), as_sent, self.access.clock.moment());
        let mut upserted = !known;
        if !known {
            self.upsert(&run, &sent, as_sent).await?;
        }
        let outcome = match self.ask(&run, &variables).await {
            Err(error) if error.class == Class::UserMissing && known => {
                self.upserts.forget(&user.id);
                upserted = true;
                self.upsert(&run, &sent, as_sent).await?;
                self.ask(&run, &variables).await
            }
            outcome => outcome,
        };
        outcome.map(|minted| Minted { upserted, ..minted })
    }

    /// How long the provider is taken to know a user who was sent to it; `None` where users are not sent.
    pub fn remembers_users(&self) -> Option<Duration> {
        (!self.compiled.upsert.is_empty()).then(|| self.upserts.remembered())
    }

    /// Whether the provider has a call that takes all tokens of a user back.
    pub fn can_revoke(&self) -> bool {
        !self.compiled.revoke.is_empty()
    }

    /// Takes all tokens of a user back, where the provider has a call for that.
    pub async fn revoke(&self, order: &Order<'_>) -> Result<(), ProviderError> {
        if self.compiled.revoke.is_empty() {
            return Ok(());
        }
        let user = self.user_of(order)?;
        // Failures of its own are no way for a user to keep tokens.
        let call = self.admit(order, OwnFailures::Ignored).await?;
        let credentials = self.access.vault.current().clone();
        let run = self.access.run(
            &credentials,
            order.origin.trace.as_ref(),
            self.access.clock.moment().plus(self.access.timeout),
        );
        let variables = self.variables(&user, order, &credentials);
        let lets = Let::work_out_known(&self.compiled.lets, &credentials, &variables);
        let outcome = self.compiled.revoke.run(&run, &Variables { lets: &lets, ..variables }).await.map(|_harvest| ());
        self.report(call, order, &outcome);
        outcome
    }

    async fn upsert(&self, run: &Run<'_>, variables: &Variables<'_>, order: &Order<'_>) -> Result<(), ProviderError> {
        if self.compiled.upsert.is_empty() {
            return Ok(());
        }
        self.compiled.upsert.run(run, variables).await?;
        self.upserts.remember(&variables.user.id, self.session_credentials(), order, self.access.clock.moment());
        Ok(())
    }

    async fn ask(&self, run: &Run<'_>, variables: &Variables<'_>) -> Result<Minted, ProviderError> {
        let Mint::Steps(steps) = &self.compiled.mint else {
            return self.make(run.credentials, variables);
        };
        let harvest = steps.run(run, variables).await?;
        let wrong = || ProviderError::new(Class::BadResponse, "token", "no token");
        let (token, expires) = harvest.token.ok_or_else(wrong)?;
        self.finish(token, expires, &Variables { taken: &harvest.taken, ..*variables })
    }

    pub(in crate::provider) fn user_of(&self, order: &Order<'_>) -> Result<UserId, ProviderError> {
        self.map_user(order.profile.chat_subject()).ok_or_else(ProviderError::unfit)
    }

    pub(in crate::provider) fn variables<'v>(
        &self,
        user: &'v UserId,
        order: &'v Order<'_>,
        credentials: &'v Credentials,
    ) -> Variables<'v> {
        Variables {
            inputs: &order.inputs,
            now: self.access.clock.now(),
            ttl: order.ttl,
            parts: &credentials.parts,
            ..Variables::of(user, &order.profile)
        }
    }

    /// The values of `let`; most definitions have none.
    fn work_out(&self, credentials: &Credentials, variables: &Variables<'_>) -> Result<Vec<Value>, ProviderError> {
        Let::work_out(&self.compiled.lets, credentials, variables)
            .map_err(|missing| self.missing_value("let", &missing))
    }

    /// A token that needs no call.
    fn make(&self, credentials: &Credentials, variables: &Variables<'_>) -> Result<Minted, ProviderError> {
        let token =
            self.compiled.mint.here(credentials, variables).map_err(|missing| self.missing_value("token", &missing))?;
        let expires = (!self.compiled.mint.is_endless()).then(|| variables.expires());
        self.finish(token, expires, variables)
    }

    fn missing_value(&self, step: &str, missing: &MissingValue) -> ProviderError {
        tracing::warn!(provider = %self.access.name, member = missing.0, "a required value of the definition is missing");
        ProviderError::missing(step)
    }

    /// The last checks of a token: a client must be able to use it, and it must live longer than its margin.
    fn finish(
        &self,
        token: String,
        expires: Option<Timestamp>,
        variables: &Variables<'_>,
    ) -> Result<Minted, ProviderError> {
        let wrong = |detail| ProviderError::new(Class::BadResponse, "token", detail);
        // T-46: visible token
        let visible = !token.is_empty() && token.bytes().all(|b| (0x21..0x7f).contains(&b));
        if !visible || token.len() > MAX_TOKEN_BYTES {
            return Err(wrong("token is empty, too long, or not visible ASCII"));
        }
        // A provider whose clock is ahead, or one that sets lifetimes itself, does not give a longer life than requested.
        let wanted = variables.now.plus(variables.ttl);
        let expires = match expires {
            Some(end) => Some(end.min(wanted)), // T-65: shorter lifetime
            None => self.compiled.lifetime.shorten.then_some(wanted),
        };
        if expires.is_some_and(|end| end <= self.access.clock.now().plus(self.compiled.lifetime.margin)) {
            return Err(wrong("token ends within the client's refresh margin"));
        }
        let user_id = match &self.compiled.user_id {
            None => variables.user.id.clone(),
            Some(template) => {
                let id = template.render(variables).map_err(|missing| self.missing_value("response", &missing))?;
                id.filter(|id| !id.is_empty()).ok_or_else(|| wrong("no user id in the answer"))?
            }
        };
        Ok(Minted { token, expires, minted: variables.now, user_id, extra: self.extra(variables)?, upserted: false })
    }

    /// Further members of the session. An optional one without value is left out.
    fn extra(&self, variables: &Variables<'_>) -> Result<Vec<(String, Vec<u8>)>, ProviderError> {
        let mut extra = Vec::with_capacity(self.compiled.extra.len());
        for (name, template) in &self.compiled.extra {
            let mut value = Vec::with_capacity(template.size_hint());
            match template.render_optional(variables, &mut value) {
                Ok(true) => extra.push((name.clone(), value)),
                Ok(false) => {}
                Err(missing) => return Err(self.missing_value("response", &missing)),
            }
        }
        Ok(extra)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_minted_is_the_same_after_a_journey_and_shown_to_nobody() {
        let minted = Minted {
            token: "a.b.c".to_owned(),
            expires: Some(Timestamp::from_millis(1_780_142_400_001)),
            minted: Timestamp::from_millis(1_780_138_800_999),
            user_id: "alice".to_owned(),
            extra: vec![("room".to_owned(), br#"{"a":"\u00e4"}"#.to_vec())],
            upserted: false,
        };
        for minted in [Minted { expires: None, ..minted.clone() }, minted] {
            let text = serde_json::to_string(&minted).expect("JSON");
            assert!(serde_json::from_str::<Minted>(&text).expect("the same") == minted, "{text}");
            let shown = format!("{minted:?}");
            assert!(!shown.contains("a.b.c") && !shown.contains("alice") && !shown.contains("room"), "{shown}");
        }
    }
}
