//! What each question is as a script: its keys, its arguments, and how its answer is read. No answer is trusted: what cannot be
//! one is none (F-06).

use std::time::Duration;

use redis::Value;

use super::scripts::{Script, Scripts};
use crate::shared::names::{LeaseToken, ProfileName, QuestionName, SessionName, UserName};
use crate::shared::tier::{
    Beat, Beaten, CALLS_A_TAKE, EVENTS_A_BEAT, EVENTS_KEPT, End, Enter, Entered, Event, Fence, LEASE, Land, Landed,
    MAX_VALUE, Outcome, RAISED, SEEN, Take, Taken, TierTime, micros,
};

/// One run of a script.
#[derive(Debug)]
pub(super) struct Call<'s> {
    pub(super) script: &'s Script,
    pub(super) keys: Vec<String>,
    pub(super) args: Vec<Vec<u8>>,
}

/// A question that a script answers.
pub(super) trait Question {
    type Answer: Send + 'static;

    fn call<'s>(&self, scripts: &'s Scripts, keys: &Keys) -> Call<'s>;
    fn read(&self, answer: Value) -> Option<Self::Answer>;
}

/// Makes the keys of a fleet. All of one user have one hash tag, and so have all of one budget, and all events.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(fleet: &str) -> Self {
        Self { prefix: format!("sm1:{fleet}:") }
    }

    fn of_user(&self, user: &UserName, rest: &str) -> String {
        format!("{}{{{}}}:{rest}", self.prefix, user.as_str())
    }

    fn session(&self, name: &SessionName) -> String {
        self.of_user(&name.user, &format!("s:{}", name.question.as_str()))
    }

    fn lease(&self, name: &SessionName) -> String {
        self.of_user(&name.user, &format!("l:{}", name.question.as_str()))
    }

    fn mark(&self, user: &UserName) -> String {
        self.of_user(user, "x")
    }

    /// Number, stream, replicas, denied users.
    pub(super) fn event(&self, rest: &str) -> String {
        format!("{}{{e}}:{rest}", self.prefix)
    }
}

fn number(value: u64) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn millis(span: Duration) -> Vec<u8> {
    // Redis refuses a life of nothing.
    span.as_millis().max(1).to_string().into_bytes()
}

fn text(value: impl ToString) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn most() -> Vec<u8> {
    MAX_VALUE.to_string().into_bytes()
}

/// What an answer may consist of.
fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        Value::Int(number) => Some(number.to_string().into_bytes()),
        _ => None,
    }
}

fn parsed(value: Value) -> Option<u64> {
    std::str::from_utf8(&bytes(value)?).ok()?.parse().ok()
}

fn time(value: Value) -> Option<TierTime> {
    parsed(value).map(TierTime::from_micros)
}

fn fence(value: Value) -> Option<Fence> {
    Fence::parse(&bytes(value)?)
}

fn list(value: Value) -> Option<std::vec::IntoIter<Value>> {
    match value {
        Value::Array(list) => Some(list.into_iter()),
        _ => None,
    }
}

impl Question for Enter {
    type Answer = Entered;

    fn call<'s>(&self, scripts: &'s Scripts, keys: &Keys) -> Call<'s> {
        let user = &self.name.user;
        let (interval, tolerance, period) =
            self.rate.map_or((0, 0, 0), |slots| (slots.interval.max(1), slots.tolerance, slots.period));
        Call {
            script: &scripts.enter,
            keys: vec![
                keys.session(&self.name),
                keys.lease(&self.name),
                keys.mark(user),
                keys.of_user(user, &format!("k:{}", self.account.as_str())),
                keys.of_user(user, "q"),
            ],
            args: vec![
                text(self.lease.as_ref().map_or("", LeaseToken::as_str)),
                text(self.known),
                millis(LEASE),
                millis(RAISED),
                most(),
                number(interval),
                number(tolerance),
                number(period),
            ],
        }
    }

    fn read(&self, answer: Value) -> Option<Entered> {
        let mut parts = list(answer)?;
        let outcome = bytes(parts.next()?)?;
        let (time, mark) = (time(parts.next()?)?, fence(parts.next()?)?);
        let sent = ProfileName::parse(&bytes(parts.next()?)?);
        let outcome = match outcome.as_slice() {
            b"hit" => Outcome::Hit { fence: fence(parts.next()?)?, value: bytes(parts.next()?)? },
            b"busy" => Outcome::Busy(Duration::from_millis(parsed(parts.next()?)?)),
            b"limited" => Outcome::Limited(Duration::from_micros(parsed(parts.next()?)?)),
            b"go" => Outcome::Go(fence(parts.next()?)?),
            b"alone" => Outcome::Alone(fence(parts.next()?)?),
            b"nothing" => Outcome::Nothing,
            _ => return None,
        };
        Some(Entered { time, mark, sent, outcome })
    }
}

impl Question for Land {
    type Answer = Landed;

    fn call<'s>(&self, scripts: &'s Scripts, keys: &Keys) -> Call<'s> {
        let user = &self.name.user;
        let (account, profile, memory) = match &self.sent {
            Some((account, profile, memory)) => (account.as_str(), profile.as_str(), *memory),
            None => ("", "", Duration::ZERO),
        };
        Call {
            script: &scripts.land,
            keys: vec![
                keys.session(&self.name),
                keys.lease(&self.name),
                keys.mark(user),
                keys.of_user(user, &format!("k:{account}")),
            ],
            args: vec![
                text(self.lease.as_str()),
                text(self.fence),
                self.value.clone(),
                number(self.ends.as_micros()),
                most(),
                text(profile),
                millis(memory),
            ],
        }
    }

    fn read(&self, answer: Value) -> Option<Landed> {
        match bytes(answer)?.as_slice() {
            b"kept" => Some(Landed::Kept),
            b"signed_out" => Some(Landed::SignedOut),
            b"older" => Some(Landed::Older),
            b"full" => Some(Landed::Full),
            _ => None,
        }
    }
}

/// Keeps a lease.
pub(super) struct Keep<'a>(pub(super) &'a SessionName, pub(super) &'a LeaseToken);

impl Question for Keep<'_> {
    type Answer = bool;

    fn call<'s>(&self, scripts: &'s Scripts, keys: &Keys) -> Call<'s> {
        let args = vec![text(self.1.as_str()), millis(LEASE)];
        Call { script: &scripts.keep, keys: vec![keys.lease(self.0)], args }
    }

    fn read(&self, answer: Value) -> Option<bool> {
        parsed(answer).map(|kept| kept == 1)
    }
}

impl Question for End {
    type Answer = Fence;

    fn call<'s>(&self, scripts: &'s Scripts, keys: &Keys) -> Call<'s> {
        let own = self.sessions.iter().filter(|name| name.user == self.user);
        let sessions = own.map(|name| keys.session(name));
        Call {
            script: &scripts.end,
            keys: [keys.mark(&self.user)].into_iter().chain(sessions).collect(),
            args: vec![text(self.mark.unwrap_or(Fence::NONE)), millis(self.hold), most()],
        }
    }

    fn read(&self, answer: Value) -> Option<Fence> {
        fence(answer)
    }
}

/// An event as it stands in the stream: what happened, and to which user.
fn write_event(event: &Event) -> String {
    match event {
        Event::SignedOut(user, mark) => format!("out {} {mark}", user.as_str()),
        Event::Replaced(name, fence) => format!("new {} {} {fence}", name.user.as_str(), name.question.as_str()),
        Event::Denied(user, until) => format!("deny {} {}", user.as_str(), until.as_micros()),
    }
}

fn read_event(text: &[u8]) -> Option<Event> {
    let parts: Vec<&str> = std::str::from_utf8(text).ok()?.split(' ').collect();
    let user = |text: &str| UserName::parse(text.as_bytes());
    match parts.as_slice() {
        ["out", name, mark] => Some(Event::SignedOut(user(name)?, Fence::parse(mark.as_bytes())?)),
        ["new", name, question, fence] => {
            let question = QuestionName::parse(question.as_bytes())?;
            Some(Event::Replaced(SessionName { user: user(name)?, question }, Fence::parse(fence.as_bytes())?))
        }
        ["deny", name, until] => Some(Event::Denied(user(name)?, TierTime::from_micros(until.parse().ok()?))),
        _ => None,
    }
}

impl Question for Event {
    type Answer = u64;

    fn call<'s>(&self, scripts: &'s Scripts, keys: &Keys) -> Call<'s> {
        let (denied, until) = match self {
            Self::Denied(user, until) => (user.as_str(), until.as_micros()),
            _ => ("", 0),
        };
        Call {
            script: &scripts.tell,
            keys: vec![keys.event("c"), keys.event("s"), keys.event("d")],
            args: vec![text(write_event(self)), number(EVENTS_KEPT), text(denied), number(until)],
        }
    }

    fn read(&self, answer: Value) -> Option<u64> {
        parsed(answer)
    }
}

impl Question for Take {
    type Answer = Taken;

    fn call<'s>(&self, scripts: &'s Scripts, keys: &Keys) -> Call<'s> {
        let key = |rest: &str| format!("{}{{{}}}:{rest}", keys.prefix, self.budget.as_str());
        Call {
            script: &scripts.take,
            keys: vec![key("r"), key("z")],
            args: vec![
                number(self.calls.into()),
                number(CALLS_A_TAKE.into()),
                number(self.slots.interval.max(1)),
                number(self.slots.tolerance),
                number(self.slots.period),
                text(self.pause.as_millis()),
            ],
        }
    }

    fn read(&self, answer: Value) -> Option<Taken> {
        let mut parts = list(answer)?;
        let calls = u32::try_from(parsed(parts.next()?)?).ok()?.min(self.calls);
        let wait = Duration::from_micros(parsed(parts.next()?)?);
        let pause = Duration::from_millis(parsed(parts.next()?)?);
        Some(Taken { calls, wait, pause })
    }
}

impl Question for Beat {
    type Answer = Beaten;

    fn call<'s>(&self, scripts: &'s Scripts, keys: &Keys) -> Call<'s> {
        Call {
            script: &scripts.beat,
            keys: vec![keys.event("c"), keys.event("s"), keys.event("n")],
            args: vec![
                text(self.replica.as_str()),
                text(self.seen.map(|seen| seen.to_string()).unwrap_or_default()),
                number(EVENTS_A_BEAT),
                number(micros(SEEN)),
            ],
        }
    }

    fn read(&self, answer: Value) -> Option<Beaten> {
        let mut parts = list(answer)?;
        let (time, number, replicas) = (time(parts.next()?)?, parsed(parts.next()?)?, parsed(parts.next()?)?);
        let mut events = Vec::new();
        while let Some(number) = parts.next() {
            events.push((parsed(number)?, read_event(&bytes(parts.next()?)?)));
        }
        Some(Beaten { time, number, replicas, events })
    }
}
