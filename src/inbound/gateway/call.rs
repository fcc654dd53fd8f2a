//! One call from its head to the head of its answer, in the order of the gateway's rules: form, mount, caller, operation, user,
//! body, limits, and then the provider.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::request::Parts;
use http::uri::PathAndQuery;
use hyper::body::Incoming as Body;

use super::Mounts;
use super::record::Record;
use crate::gateway::Mount;
use crate::gateway::answer::{AnswerBody, Scrubber};
use crate::gateway::as_user::Asked;
use crate::gateway::caller::{Limited, Seen, Unproven};
use crate::gateway::forward::{Place, Sending, Sent, Unsent, Upload};
use crate::gateway::gate::{self, Head, Reading, Target};
use crate::gateway::refusal::Refusal;
use crate::identity::ConnectionProof;
use crate::inbound::reply::X_REQUEST_ID;
use crate::inbound::request::body::{self, BodyLimits, Unread};
use crate::outbound::Download;
use crate::pacing::jitter;

/// A call as it comes in.
pub(super) struct Incoming<'c> {
    pub(super) mounts: &'c Mounts,
    pub(super) parts: &'c Parts,
    pub(super) connection: ConnectionProof,
    /// Its body, if there is one.
    pub(super) unread: Option<&'c Unread>,
    /// Bytes of it, where that is said.
    pub(super) length: Option<u64>,
    /// The body, once it passes as it comes.
    pub(super) upload: Option<Upload<Body>>,
    /// What the path takes, where it does not take the method.
    pub(super) allow: Option<String>,
}

/// A call whose answer passes.
pub(super) struct Passing {
    sent: Sent,
    mount: Arc<Mount>,
    place: Place,
    is_head: bool,
}

impl Incoming<'_> {
    /// Makes the call, or says why it is not made. `record` is told of every step.
    pub(super) async fn run(&mut self, record: &mut Record) -> Result<Passing, Unsent> {
        let gateway = &*self.mounts.shared.gateway;
        let parts = self.parts;
        let target = gate::read(parts, gateway.hosts())?;
        let (mount, target) = self.mount(target)?;
        record.mount = Some(Arc::clone(&mount));
        // Where the proof can be judged with the body alone, that comes first; from others no body is taken before the caller
        // is known.
        let mut whole = None;
        if gateway.callers().reads_body(&parts.headers, mount.name()) {
            whole = Some(self.whole(gate::MOST_READ).await?);
        }
        let seen = Seen {
            connection: self.connection,
            method: &parts.method,
            target: parts.uri.path_and_query().map_or("", PathAndQuery::as_str),
            path: if self.mounts.only.is_some() { parts.uri.path() } else { path_below(parts.uri.path(), &mount) },
            query: target.query(),
            headers: &parts.headers,
            body: None,
        };
        // Before anything is said of what there is.
        // G-28: caller first
        let with_body = Seen { body: whole.as_ref(), ..seen };
        let caller = gateway.callers().identify(&with_body, mount.name()).map_err(unproven)?;
        record.caller = Some(caller.name().to_owned());
        record.proof = Some(caller.proof());
        let place = gateway.place(caller.name())?;
        let grants = caller.grants(mount.name());
        let body = self.unread.map(|_| self.length);
        let head = Head { method: &parts.method, target: &target, headers: &parts.headers, body };
        let matched = mount.gate().head(&head, grants).inspect_err(|refusal| {
            let operations = mount.gate().operations();
            let is_method = *refusal == Refusal::MethodDenied;
            self.allow = is_method.then(|| operations.methods(target.segments()));
            let meant = operations.find(&parts.method, target.segments()).ok();
            record.operation = meant.map(|operation| operation.name().to_owned());
        })?;
        let operation = matched.operation();
        record.operation = Some(operation.name().to_owned());
        let asked = Asked {
            rule: operation.as_user(),
            acts_as: caller.acts_as(),
            query: target.query(),
            headers: &parts.headers,
        };
        let user = mount.as_user().user(&asked, mount.provider(), gateway.assertions()).await?;
        record.as_user = user.as_ref().and_then(|user| self.mounts.shared.log.tag(&user.named));
        let sent = match matched.reading(mount.provider().needs_body()) {
            Reading::Nothing => gate::Sent::Apart,
            Reading::Whole(most) => gate::Sent::Whole(match whole {
                Some(whole) => whole,
                None => self.whole(most).await?,
            }),
            Reading::Streamed(most) => match whole {
                Some(whole) => gate::Sent::Whole(whole),
                None => {
                    self.upload = self.streamed(most)?;
                    gate::Sent::Apart
                }
            },
        };
        let read = if let gate::Sent::Whole(body) = &sent { Some(body) } else { None };
        record.bytes_in = read.map_or(0, |body| u64::try_from(body.len()).unwrap_or(u64::MAX));
        let seen = Seen { body: read, ..seen };
        gateway.callers().check_body(caller, &seen, mount.name()).map_err(unproven)?;
        let written = user.as_ref().map(|user| user.written.as_str());
        let mut outgoing = matched.body(sent, written, grants)?;
        if let Some(user) = &user {
            mount.as_user().put(&mut outgoing.call, user)?;
        }
        // G-13: parameters in the line
        if self.mounts.shared.shows_parameters {
            let own = outgoing.parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
            record.parameters = own.collect();
        }
        let now = gateway.sender().clock.moment();
        grants.pass(operation, &outgoing.parameters, now).map_err(limited)?;
        if let Some(trace) = &record.trace {
            trace.write(jitter::number(), &mut outgoing.call.headers);
        }
        let parameters: Vec<(&str, &str)> = outgoing.parameters.iter().collect();
        let sending = Sending {
            provider: mount.provider(),
            group: operation.group(),
            needles: mount.needles(),
            parameters: &parameters,
            request: record.id.as_str(),
            upload: self.upload.as_ref(),
            is_idempotent: operation.is_idempotent() || mount.is_repeatable(&outgoing.call),
            streams: operation.is_stream(),
            timeout: operation.timeout(),
            max_duration: operation.max_duration(),
            wait: gateway.wait(),
            call: &outgoing.call,
        };
        let sent = gateway.sender().send(&sending, &mut record.times).await?;
        Ok(Passing { sent, is_head: parts.method == Method::HEAD, mount, place })
    }

    /// The mount that a target is below, and the target below it.
    fn mount<'t>(&self, target: Target<'t>) -> Result<(Arc<Mount>, Target<'t>), Refusal> {
        if let Some(only) = &self.mounts.only {
            return Ok((Arc::clone(only), target));
        }
        // No caller is known by what no mount can prove.
        let found = match target.segments() {
            [first, name, ..] if first == "gateway" => self.mounts.shared.gateway.mount(name),
            _ => None,
        };
        let mount = found.ok_or(Refusal::CallerUnauthorized)?;
        let below = target.below(&["gateway", mount.name()])?;
        Ok((Arc::clone(mount), below))
    }

    /// The body, read to its end.
    async fn whole(&self, bytes: usize) -> Result<Bytes, Unsent> {
        let Some(unread) = self.unread else { return Ok(Bytes::new()) };
        // G-22: slow bodies
        let limits = BodyLimits { bytes, patience: self.mounts.shared.patience };
        match unread.read(limits).await {
            body::Body::Empty => Ok(Bytes::new()),
            body::Body::Whole(body) => Ok(body),
            body::Body::TooLarge => Err(Refusal::BodyTooLarge.into()),
            body::Body::Broken => Err(Unsent { reason: Some("incomplete"), ..Refusal::BodyInvalid.into() }),
            body::Body::NoRoom => Err(Unsent { reason: Some("memory"), ..Refusal::GatewayBusy.into() }),
        }
    }

    /// The body, as it will come.
    fn streamed(&self, most: usize) -> Result<Option<Upload<Body>>, Refusal> {
        let Some(body) = self.unread.and_then(Unread::take) else { return Ok(None) };
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        Upload::new(body, most).map(Some).ok_or(Refusal::BodyTooLarge)
    }
}

/// The path as sent, without that of the mount.
fn path_below<'p>(path: &'p str, mount: &Mount) -> &'p str {
    let below = path.strip_prefix("/gateway/").and_then(|rest| rest.strip_prefix(mount.name()));
    below.unwrap_or(path)
}

fn unproven(Unproven(reason): Unproven) -> Unsent {
    Unsent { reason: Some(reason), ..Refusal::CallerUnauthorized.into() }
}

fn limited(Limited { after }: Limited) -> Unsent {
    Unsent { retry_after: Some(after), ..Refusal::CallerRateLimited.into() }
}

impl Passing {
    /// The answer as it goes out, with what of its head was masked told to `record`.
    pub(super) fn into_parts(self, record: &mut Record) -> (http::Response<AnswerBody<Download>>, Place) {
        let Sent { answer, needles } = self.sent;
        let (headers, scrubbed) = self.mount.headers().pass(&answer.headers, &needles);
        record.scrubbed = scrubbed;
        record.passes(answer.status);
        let length = answer.headers.get(CONTENT_LENGTH).filter(|_| self.is_head).cloned();
        let mut response = http::Response::new(AnswerBody::new(answer.body, Scrubber::new(needles)));
        *response.status_mut() = http::StatusCode::from_u16(answer.status).unwrap_or(http::StatusCode::BAD_GATEWAY);
        *response.headers_mut() = headers;
        let headers: &mut HeaderMap = response.headers_mut();
        // Of what HEAD asks about there is no body whose length could be seen.
        headers.extend(length.map(|length| (CONTENT_LENGTH, length)));
        if !self.mount.headers().adds(&X_REQUEST_ID) {
            headers.insert(X_REQUEST_ID, record.id.header());
        }
        (response, self.place)
    }
}
