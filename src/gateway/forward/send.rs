//! The attempts of a call: one, and another where that is safe and there is time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;

use super::known::KnownNeedles;
use super::upload::{End, Upload};
use crate::clock::{Clock, Moment, Stopwatch};
use crate::gateway::answer::{Needles, Verdict, judge};
use crate::gateway::refusal::Refusal;
use crate::outbound::{Call, Outbound, SendError, Streamed};
use crate::pacing::jitter;
use crate::provider::{Carried, Ended, Gateway, Refused};

/// How long the head of an answer is waited for, where the operation does not say.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a call may take in all, where the operation does not say: an answer that drips would hold its place for hours.
const MAX_DURATION: Duration = Duration::from_mins(5);
/// Before the second attempt: a half to the whole of it.
const PAUSE: Duration = Duration::from_millis(200);

/// A call, as yet without a credential.
#[derive(Debug)]
pub struct Sending<'s, B> {
    /// The provider.
    pub provider: &'s Gateway,
    /// The call. It has no body where `upload` is one.
    pub call: &'s Call,
    /// The group of its operation.
    pub group: usize,
    /// What answers of the provider are searched for.
    pub needles: &'s KnownNeedles,
    /// Values that were checked, by name: its credential may say them.
    pub parameters: &'s [(&'s str, &'s str)],
    /// Id of the request, for the log.
    pub request: &'s str,
    /// The body, where it passes as it comes.
    pub upload: Option<&'s Upload<B>>,
    /// Whether a repeat does nothing twice.
    pub is_idempotent: bool,
    /// Whether the answer may be a stream of events.
    pub streams: bool,
    /// How long the head of the answer is waited for.
    pub timeout: Option<Duration>,
    /// How long all of it may take, to the last byte of the answer.
    pub max_duration: Option<Duration>,
    /// How long it may wait for its turn.
    pub wait: Duration,
}

/// An answer that passes.
#[derive(Debug)]
pub struct Sent {
    /// It.
    pub answer: Streamed,
    /// What it must not repeat.
    pub needles: Arc<Needles>,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsent {
    /// What the caller is told.
    pub refusal: Refusal,
    /// What the operator is told beside that.
    pub reason: Option<&'static str>,
    /// When to come back.
    pub retry_after: Option<Duration>,
    /// Whether the provider was called.
    pub was_sent: bool,
}

/// Where the time went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// In attempts.
    pub provider: Duration,
    /// In waiting for a turn.
    pub waited: Duration,
}

/// What follows from an attempt.
enum Next {
    Done(Box<Sent>),
    /// Another one, after a pause, if that is possible; otherwise what there is.
    Again(Box<Result<Sent, Unsent>>),
    /// Another one if there are other secrets than these.
    Reread(Carried),
    Failed(Unsent),
}

/// What calls are made with.
#[derive(Clone, Debug)]
pub struct Sender {
    /// The way out.
    pub outbound: Outbound,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Sender {
    /// Makes a call: twice at most where the first attempt came to nothing, and once more with new secrets. `times` is told where
    /// the time went, also where this is dropped.
    pub async fn send<B>(&self, sending: &Sending<'_, B>, times: &mut Times) -> Result<Sent, Unsent>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
    {
        let now = self.clock.moment();
        let end = now.plus(sending.max_duration.unwrap_or(MAX_DURATION));
        let deadline = now.plus(sending.timeout.unwrap_or(TIMEOUT)).min(end);
        let (mut is_repeat, mut has_reread) = (false, false);
        loop {
            match self.attempt(sending, (deadline, end), times).await {
                Next::Done(sent) => return Ok(*sent),
                Next::Failed(unsent) => return Err(unsent),
                Next::Again(otherwise) => {
                    let resumes = self.clock.moment().plus(jitter::spread(PAUSE));
                    // G-24: once, and in time
                    if is_repeat || resumes >= deadline || !sending.has_body_at_hand() {
                        return *otherwise;
                    }
                    is_repeat = true;
                    self.clock.sleep_until(resumes).await;
                }
                Next::Reread(carried) => {
                    let has_changed = !has_reread && sending.provider.reread(&carried).await;
                    // G-24: refused once
                    if !has_changed || !sending.has_body_at_hand() {
                        return Err(Unsent::of(Refusal::ProviderCredentials, "refused"));
                    }
                    has_reread = true;
                }
            }
        }
    }

    async fn attempt<B>(&self, sending: &Sending<'_, B>, (deadline, end): (Moment, Moment), times: &mut Times) -> Next
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
    {
        let waits = Stopwatch::start();
        let wait = sending.wait.min(deadline.since(self.clock.moment()));
        let admitted = sending.provider.admit(wait).await;
        times.waited += waits.elapsed();
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(refused) => return Next::Failed(refused.into()),
        };
        let mut call = sending.call.clone();
        // Last of all: nothing removes it, and it is as young as it can be.
        let Ok(carried) = sending.provider.seal(sending.group, &mut call, sending.parameters) else {
            let unsent = Unsent::of(Refusal::ProviderCredentials, "not_made");
            return Next::Failed(Unsent { was_sent: false, ..unsent });
        };
        let upload = sending.upload.and_then(Upload::read);
        let watch = Stopwatch::start();
        let sent = self.outbound.stream(call, upload, (deadline, end)).await;
        times.provider += watch.elapsed();
        let is_callers = sending.upload.and_then(Upload::end).is_some_and(|end| end != End::Whole);
        match &sent {
            Ok(answer) => {
                let ended = Ended::Answered { status: answer.status, headers: &answer.headers };
                admitted.report(ended, Some(sending.request));
            }
            // A body that breaks off breaks the connection, and says nothing about the provider.
            Err(_) if is_callers => {}
            Err(error) => admitted.report(Ended::Failed(*error), Some(sending.request)),
        }
        sending.judge(sent, carried)
    }
}

impl<B> Sending<'_, B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
{
    fn has_body_at_hand(&self) -> bool {
        self.upload.is_none_or(Upload::is_at_hand)
    }

    fn judge(&self, sent: Result<Streamed, SendError>, carried: Carried) -> Next {
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => return self.failed(error),
        };
        let status = answer.status;
        let needles = || self.needles.of(self.group, &carried);
        match judge(status, &answer.headers, self.streams) {
            Verdict::CredentialRefused => Next::Reread(carried),
            Verdict::Bad(reason) => Next::Failed(Unsent::of(Refusal::ProviderBadAnswer, reason)),
            // G-24: answers that a repeat may better
            Verdict::Passes if self.is_idempotent && (502..=504).contains(&status) => {
                Next::Again(Box::new(Ok(Sent { needles: needles(), answer })))
            }
            Verdict::Passes => Next::Done(Box::new(Sent { needles: needles(), answer })),
        }
    }

    fn failed(&self, error: SendError) -> Next {
        let unsent = match (error, self.upload.and_then(Upload::end)) {
            (_, Some(End::TooLarge)) => return Next::Failed(Unsent::of(Refusal::BodyTooLarge, "streamed")),
            (_, Some(End::Broken)) => return Next::Failed(Unsent::of(Refusal::BodyInvalid, "incomplete")),
            // Nothing was sent.
            (SendError::Connect(_), _) => {
                let unsent = Unsent { was_sent: false, ..Unsent::of(Refusal::ProviderUnavailable, "no_connection") };
                return Next::Again(Box::new(Err(unsent)));
            }
            (SendError::Timeout, _) => return Next::Failed(Unsent::of(Refusal::ProviderTimeout, "timeout")),
            (SendError::Broken | SendError::TooLarge, _) => Unsent::of(Refusal::ProviderBadAnswer, "broken"),
        };
        // G-24: broken calls
        if self.is_idempotent { Next::Again(Box::new(Err(unsent))) } else { Next::Failed(unsent) }
    }
}

impl From<Refusal> for Unsent {
    /// The provider was not called.
    fn from(refusal: Refusal) -> Self {
        Self { refusal, reason: None, retry_after: None, was_sent: false }
    }
}

impl From<Refused> for Unsent {
    fn from(refused: Refused) -> Self {
        let (refusal, wait) = match refused {
            Refused::RateLimited(wait) => (Refusal::ProviderRateLimited, wait),
            Refused::Unavailable(wait) => (Refusal::ProviderUnavailable, wait),
        };
        Self { retry_after: Some(wait), reason: Some("held_back"), ..refusal.into() }
    }
}

impl Unsent {
    fn of(refusal: Refusal, reason: &'static str) -> Self {
        Self { refusal, reason: Some(reason), retry_after: None, was_sent: true }
    }
}
