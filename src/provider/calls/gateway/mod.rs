//! The provider's half of the gateway: what is added to a call that was matched, the credential last of all, and what its
//! answer says about the provider.

mod shown;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use parking_lot::Mutex;
use url::Url;

use super::access::Access;
use super::advice::advice;
use super::auth::{Proof, StepAuth};
use super::error::{Cause, ProviderError};
use crate::clock::Moment;
use crate::config::{ConfigError, Listen};
use crate::definition::{Key, Mistake, named_in};
use crate::outbound::{Call, SendError};
use crate::pacing::{Backoff, Limiter, Refusal, Secondary, SecondaryOutcome};
use crate::provider::ProviderStatus;
use crate::provider::compile::places::Places;
use crate::provider::credentials::Credentials;
use crate::provider::definition::{Class, gateway};
use crate::provider::template::json::{JsonTemplate, MissingValue};
use crate::provider::template::text::{TextTemplate, append_query, header_value};
use crate::provider::template::{FailureView, Profile, RequestText, Variables};
use crate::provider::user::{UserId, UserRule};
use crate::secrets::Secret;

use super::virtual_key::VirtualScheme;

/// The step of gateway calls, in log lines and errors.
const STEP: &str = "gateway";
/// Pauses after the provider asked the gateway for fewer calls.
const PAUSES: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_mins(1), jitter: false };

/// One account at a chat system, as the gateway calls it for an application.
#[derive(Debug)]
pub struct Gateway {
    access: Arc<Access>,
    rules: Rules,
    places: Places,
    pause: Mutex<Pause>,
}

/// `[gateway]`, compiled.
#[derive(Debug)]
pub(in crate::provider) struct Rules {
    pub(in crate::provider) section: gateway::Gateway,
    pub(in crate::provider) base: Url,
    pub(in crate::provider) set: Set,
    /// In the order of the section.
    pub(in crate::provider) groups: Vec<Group>,
    pub(in crate::provider) error: Option<JsonTemplate>,
    /// Where the provider counts these calls apart.
    pub(in crate::provider) limiter: Option<Limiter>,
    /// How an id of the application becomes one of the provider.
    pub(in crate::provider) user: Option<UserRule>,
    /// Where an SDK puts its key.
    pub(in crate::provider) virtual_key: VirtualScheme,
    /// Whether something that is added depends on the body.
    pub(in crate::provider) needs_body: bool,
    /// Whether no mint calls the provider, so that the breaker is the gateway's alone.
    pub(in crate::provider) calls_alone: bool,
    pub(in crate::provider) cautions: Vec<String>,
}

/// What every call carries, whatever was sent under the same name.
#[derive(Debug, Default)]
pub(in crate::provider) struct Set {
    pub(in crate::provider) query: Vec<(String, TextTemplate)>,
    pub(in crate::provider) headers: Vec<(HeaderName, TextTemplate)>,
}

/// What is added to the calls of one group.
#[derive(Debug)]
pub(in crate::provider) struct Group {
    pub(in crate::provider) auth: Vec<StepAuth>,
    /// Parameters that claims name, by index.
    pub(in crate::provider) params: Vec<String>,
}

/// How long the provider wants no calls of the gateway.
#[derive(Debug, Default)]
struct Pause {
    until: Option<Moment>,
    /// How often it asked for a pause in a row.
    before: u32,
}

/// What one call carries that no answer may show.
pub struct Carried {
    generation: u32,
    fixed: Vec<Arc<[Secret]>>,
    made: Vec<Secret>,
}

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Carried(…)") // G-13: Debug of what is carried
    }
}

impl Carried {
    /// Which credentials they are. Those of the same generation carry the same, [what is made](Self::is_made) aside.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether something in it was made for this call alone.
    pub fn is_made(&self) -> bool {
        !self.made.is_empty()
    }

    /// Each secret, as it is before it is written into the call.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.fixed.iter().flat_map(|own| own.iter()).chain(&self.made)
    }
}

/// Why a call is not made now, and when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The pace, or the provider itself, leaves no room.
    RateLimited(Duration),
    /// The provider fails.
    Unavailable(Duration),
}

/// A call that may be made. How it ended is to be reported.
#[derive(Debug)]
pub struct Admitted<'g> {
    gateway: &'g Gateway,
    permit: Secondary<'g, Class>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub enum Ended<'e> {
    /// The provider answered.
    Answered {
        /// With this status.
        status: u16,
        /// With these headers.
        headers: &'e HeaderMap,
    },
    /// There was no answer.
    Failed(SendError),
}

impl Gateway {
    pub(in crate::provider) fn new(access: Arc<Access>, rules: Rules, places: Places) -> Self {
        Self { access, rules, places, pause: Mutex::default() }
    }

    /// Name of the provider in the configuration.
    pub fn name(&self) -> &str {
        &self.access.name
    }

    /// How it is doing now. It holds nothing secret and nothing of a user.
    pub fn status(&self) -> ProviderStatus {
        self.access.status()
    }

    /// Name of the definition.
    pub fn preset(&self) -> &str {
        &self.access.preset
    }

    /// `[gateway]` with the operator's settings and calls in it: groups in order, the operator's last. Its `auth` is there in
    /// any case, with the names of headers; what is a template otherwise was compiled, and is for [`Self::seal`].
    pub fn section(&self) -> &gateway::Gateway {
        &self.rules.section
    }

    /// Where calls go: paths are added to its path, which ends in no slash.
    pub fn base(&self) -> &Url {
        &self.rules.base
    }

    /// Whether what is added to a call depends on its body, so that it must be read whole.
    pub fn needs_body(&self) -> bool {
        self.rules.needs_body
    }

    /// What the operator should know: one sentence each.
    pub fn cautions(&self) -> &[String] {
        &self.rules.cautions
    }

    /// Where each secret comes from, for people.
    pub fn secret_places(&self) -> impl Iterator<Item = (&str, String)> {
        self.access.vault.places()
    }

    /// A mistake in the section at the place where its author finds it; its key stands below `gateway`.
    pub fn error(&self, mistake: Mistake) -> ConfigError {
        self.places.error(mistake.within("gateway"))
    }

    /// Refuses an address that leads to one of `listeners`, our own ones, each with its key: calls would go round.
    pub fn check_circle(&self, listeners: &[(String, &Listen)]) -> Result<(), ConfigError> {
        // G-26: own listener
        let circle = listeners.iter().find(|(_, listen)| listen.is_reached_by(&self.rules.base));
        let Some((key, listen)) = circle else { return Ok(()) };
        let setting = named_in("config.", &self.rules.section.base).into_iter().next();
        let place = setting.map_or_else(|| Key::from("gateway.base"), Key::of);
        let problem = format!("leads to {key} ({listen}), which is sidemint itself; write the provider's address");
        Err(self.places.error(Mistake::new(place, problem)))
    }

    /// The provider's id of a user of the application, as tokens have it; `None` where it can have none.
    pub fn user_id(&self, subject: &str) -> Option<String> {
        let id = self.rules.user.as_ref()?.id(subject, self.access.vault.current().user_key.as_ref())?;
        Some(id.id)
    }

    /// The body of a refusal, where the definition says what its SDKs understand.
    pub fn error_body(&self, failure: &FailureView<'_>) -> Option<Bytes> {
        let template = self.rules.error.as_ref()?;
        let mut body = Vec::with_capacity(template.size_hint());
        let (user, profile) = (UserId::default(), Profile::default());
        template.render(&Variables { failure: Some(failure), ..Variables::of(&user, &profile) }, &mut body).ok()?;
        Some(Bytes::from(body))
    }

    /// Adds to a call of group `group` what the section sets, and then the credential. Nothing may be changed behind it.
    /// `parameters` are the values that were checked, by name.
    pub fn seal(&self, group: usize, call: &mut Call, parameters: &[(&str, &str)]) -> Result<Carried, ProviderError> {
        let credentials = self.access.vault.current();
        let sealed = self.prepare(group, parameters, &credentials, |group, variables| {
            self.rules.set.apply(call, variables)?;
            let is_proof = |own: &str| group.auth.iter().any(|auth| auth.query_name() == Some(own));
            // G-09: proofs in the query
            take_query(&mut call.url, is_proof);
            let mut carried = Carried { generation: credentials.generation, fixed: Vec::new(), made: Vec::new() };
            for auth in &group.auth {
                match auth.apply(call, &credentials, variables)? {
                    Proof::Kept(secrets) => carried.fixed.push(secrets),
                    Proof::Made(text) => carried.made.push(Secret::new(text.into_bytes())),
                }
            }
            Ok(carried)
        });
        sealed.map_err(|missing| self.missing(&missing))
    }

    /// The same with `***` in place of whatever proves who is calling, for people.
    pub fn mask(&self, group: usize, call: &mut Call, parameters: &[(&str, &str)]) -> Result<(), ProviderError> {
        let credentials = self.access.vault.current();
        let masked = self.prepare(group, parameters, &credentials, |group, variables| {
            self.rules.set.apply(call, variables)?;
            group.auth.iter().try_for_each(|auth| auth.mask(call, variables))
        });
        masked.map_err(|missing| self.missing(&missing))
    }

    fn prepare<T>(
        &self,
        group: usize,
        parameters: &[(&str, &str)],
        credentials: &Credentials,
        add: impl FnOnce(&Group, &Variables<'_>) -> Result<T, MissingValue>,
    ) -> Result<T, MissingValue> {
        let group = self.rules.groups.get(group).ok_or_else(|| MissingValue("a group of calls".to_owned()))?;
        let params: Vec<Option<&str>> = group.params.iter().map(|name| only(name, parameters)).collect();
        let (user, profile) = (UserId::default(), Profile::default());
        let (now, parts) = (self.access.clock.now(), &credentials.parts);
        add(group, &Variables { params: &params, now, parts, ..Variables::of(&user, &profile) })
    }

    fn missing(&self, missing: &MissingValue) -> ProviderError {
        tracing::warn!(provider = %self.access.name, member = missing.0, "a required value of the definition is missing");
        ProviderError::missing(STEP)
    }

    /// Whether there are other credentials than those that `carried` shows and the provider refused. The secrets are read
    /// again for that, by one of those who ask at the same time, and not again for a second.
    pub async fn reread(&self, carried: &Carried) -> bool {
        self.access.is_newer(carried.generation).await
    }

    /// Whether `key` is one of the provider's secrets.
    pub fn has_secret(&self, key: &Secret) -> bool {
        self.access.vault.current().has_secret(key)
    }

    /// Lets a call pass, now or within `wait`. Calls that mint tokens go before.
    pub async fn admit(&self, wait: Duration) -> Result<Admitted<'_>, Refused> {
        let access = &self.access;
        let now = access.clock.moment();
        self.check_pause(now)?;
        access.gate.check_secondary(now)?;
        let until = now.plus(wait);
        let passed = match (&self.rules.limiter, &access.limits.limiter) {
            // At its deadline a call is no longer sent.
            (Some(own), _) => own.pass(&access.clock, until.plus(Duration::from_millis(1))).await,
            (None, Some(alone)) if self.rules.calls_alone => {
                alone.pass(&access.clock, until.plus(Duration::from_millis(1))).await
            }
            (None, Some(shared)) => shared.pass_secondary(&access.clock, until).await,
            (None, None) => Ok(()),
        };
        passed.map_err(Refused::RateLimited)?;
        let permit = access.gate.admit_secondary(self.rules.calls_alone, access.clock.moment())?;
        Ok(Admitted { gateway: self, permit })
    }

    fn check_pause(&self, now: Moment) -> Result<(), Refused> {
        let until = self.pause.lock().until;
        match until {
            Some(until) if now < until => Err(Refused::RateLimited(until.since(now).max(PAUSES.first))),
            _ => Ok(()),
        }
    }

    /// Notes what an answer says of further calls. Those that were under way when a pause began prolong it by advice alone,
    /// and do not end it: a crowd of them would make it the longest of all at once.
    fn note_answer(&self, status: u16, headers: &HeaderMap, now: Moment) {
        let mut pause = self.pause.lock();
        let under_way = pause.until.is_some_and(|until| now < until);
        match (status == 429, under_way) {
            (true, _) => {
                let advice = advice(headers, None, &self.access.limits.retry_headers, self.access.clock.now());
                if advice.is_some() || !under_way {
                    let until = now.plus(PAUSES.after(pause.before, advice));
                    pause.until = Some(pause.until.map_or(until, |before| before.max(until)));
                }
                pause.before = pause.before.saturating_add(u32::from(!under_way));
            }
            (false, false) => *pause = Pause::default(),
            (false, true) => {}
        }
    }
}

impl Admitted<'_> {
    /// Reports how the call ended, to the breaker and to the log. A caller may bring about time-outs, refusals and errors of
    /// all kinds, so no more is held against the provider than that it cannot be reached, or that its own front says so.
    pub fn report(self, ended: Ended<'_>, request: Option<&str>) {
        let Self { gateway, permit } = self;
        let (access, now) = (&gateway.access, gateway.access.clock.moment());
        let error = ProviderError::new(Class::Unavailable, STEP, "answered").at(&gateway.host());
        let (outcome, failure) = match ended {
            // G-23: counted statuses
            Ended::Answered { status: status @ 502..=504, .. } => {
                (SecondaryOutcome::Failed, Some(error.status(status)))
            }
            Ended::Answered { status, headers } => {
                gateway.note_answer(status, headers, now);
                (SecondaryOutcome::Answered, None)
            }
            Ended::Failed(SendError::Connect(cause)) => {
                (SecondaryOutcome::Unconnected, Some(error.cause(Cause::from(cause))))
            }
            Ended::Failed(SendError::Timeout) => (SecondaryOutcome::Unknown, Some(error.cause(Cause::Timeout))),
            Ended::Failed(SendError::Broken) => (SecondaryOutcome::Unknown, Some(error.cause(Cause::Broken))),
            Ended::Failed(SendError::TooLarge) => (SecondaryOutcome::Answered, None),
        };
        let change = permit.report(outcome, now);
        access.journal.note(&access.name, &failure.map_or(Ok(()), Err), change, request, now);
    }
}

impl Gateway {
    pub(in crate::provider) fn access(&self) -> &Access {
        &self.access
    }

    fn host(&self) -> String {
        let host = self.rules.base.host_str().unwrap_or_default();
        self.rules.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

impl From<Refusal<Class>> for Refused {
    fn from(refusal: Refusal<Class>) -> Self {
        match refusal {
            Refusal::Limited(wait) | Refusal::User(Class::RateLimited, wait) => Self::RateLimited(wait),
            Refusal::Open(wait) | Refusal::User(_, wait) => Self::Unavailable(wait),
            Refusal::Busy => Self::Unavailable(PAUSES.first),
        }
    }
}

impl Set {
    fn apply(&self, call: &mut Call, variables: &Variables<'_>) -> Result<(), MissingValue> {
        if self.query.is_empty() && self.headers.is_empty() {
            return Ok(());
        }
        let (query, headers) = {
            let request = RequestText::of(&call.method, &call.url, call.body.as_deref());
            let variables = Variables { request: Some(&request), ..*variables };
            let query = rendered(&self.query, &variables)?;
            (query, rendered(&self.headers, &variables)?)
        };
        if !query.is_empty() {
            take_query(&mut call.url, |own| query.iter().any(|(name, _)| *name == own));
            append_query(&mut call.url, query.iter().map(|(name, text)| (*name, text)));
        }
        for (name, text) in headers {
            let value = header_value(&text).ok_or_else(|| MissingValue(format!("set.headers.{name}")))?;
            call.headers.insert(name, value);
        }
        Ok(())
    }
}

/// The texts that have a value.
fn rendered<'t, N>(
    templates: &'t [(N, TextTemplate)],
    variables: &Variables<'_>,
) -> Result<Vec<(&'t N, String)>, MissingValue> {
    let texts = templates.iter().map(|(name, template)| Ok(template.render(variables)?.map(|text| (name, text))));
    texts.filter_map(Result::transpose).collect()
}

/// Takes query parameters out, however they are written.
fn take_query(url: &mut Url, is_taken: impl Fn(&str) -> bool) {
    if !url.query_pairs().any(|(own, _)| is_taken(&own)) {
        return;
    }
    let kept: Vec<_> = url.query_pairs().into_owned().filter(|(own, _)| !is_taken(own)).collect();
    url.set_query(None);
    append_query(url, kept);
}

/// The value of a parameter. One that has several stands for none: it would be chance which of them a claim says.
fn only<'v>(name: &str, parameters: &[(&str, &'v str)]) -> Option<&'v str> {
    let mut values = parameters.iter().filter(|(own, _)| *own == name).map(|(_, value)| *value);
    let first = values.next()?;
    values.all(|other| other == first).then_some(first)
}
