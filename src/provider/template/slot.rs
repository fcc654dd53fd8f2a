//! The plain names of templates: what each one stands for, and its value for one mint.

use std::borrow::Cow;

use super::{Datum, SessionView, Variables};
use crate::clock::Timestamp;

/// A plain name that varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    UserId,
    UserLocal,
    Name,
    DisplayName,
    Email,
    Avatar,
    Groups,
    Roles,
    Source,
    Issuer,
    Subject,
    Now(Unit),
    Expires(Unit),
    Lifetime(Unit),
    RandomUuid,
    RandomHex,
    /// The item of an iteration.
    Item,
    /// What an earlier step took.
    Taken(usize),
    /// What the request added.
    Input(usize),
    /// A parameter of a call for an application.
    Param(usize),
    /// A value of `let`.
    Let(usize),
    /// The public part of a secret.
    Part(usize),
    /// The request that is being signed.
    Request(RequestPart),
    /// The public key that is being registered or retired.
    Key(KeyPart),
    /// The session that is put into a client's form.
    Session(SessionPart),
    /// The failure that is put into a client's form.
    Failure(FailurePart),
}

/// Unit of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
    Minutes,
    Days,
    Iso,
}

impl Unit {
    /// Seconds that it holds; 1 for those that are finer.
    pub(super) const fn seconds(self) -> u64 {
        match self {
            Self::Minutes => 60,
            Self::Days => 86_400,
            Self::Seconds | Self::Milliseconds | Self::Iso => 1,
        }
    }
}

/// A part of the request that is being signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestPart {
    Method,
    Path,
    Query,
    QueryPlain,
    Body,
}

/// A part of the public key that is being registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyPart {
    Kid,
    Alg,
    Pem,
    Jwk,
}

/// A member of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionPart {
    Token,
    ExpiresAt,
    ApiUrl,
    ChatUserId,
    DisplayName,
    /// One of `response.extra`.
    Member(usize),
}

/// A part of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailurePart {
    Message,
    Code,
    Status,
    RequestId,
}

/// Names that every template may use.
pub(super) const NAMES: [(&str, Slot); 23] = [
    ("user.id", Slot::UserId),
    ("user.local", Slot::UserLocal),
    ("user.name", Slot::Name),
    ("user.display_name", Slot::DisplayName),
    ("user.email", Slot::Email),
    ("user.avatar", Slot::Avatar),
    ("user.groups", Slot::Groups),
    ("user.roles", Slot::Roles),
    ("identity.source", Slot::Source),
    ("identity.issuer", Slot::Issuer),
    ("identity.subject", Slot::Subject),
    ("now.s", Slot::Now(Unit::Seconds)),
    ("now.ms", Slot::Now(Unit::Milliseconds)),
    ("now.iso", Slot::Now(Unit::Iso)),
    ("exp.s", Slot::Expires(Unit::Seconds)),
    ("exp.ms", Slot::Expires(Unit::Milliseconds)),
    ("exp.iso", Slot::Expires(Unit::Iso)),
    ("ttl.s", Slot::Lifetime(Unit::Seconds)),
    ("ttl.ms", Slot::Lifetime(Unit::Milliseconds)),
    ("ttl.min", Slot::Lifetime(Unit::Minutes)),
    ("ttl.day", Slot::Lifetime(Unit::Days)),
    ("random.uuid", Slot::RandomUuid),
    ("random.hex", Slot::RandomHex),
];

/// Names in the text of a request signature.
pub(super) const REQUEST_NAMES: [(&str, Slot); 5] = [
    ("request.method", Slot::Request(RequestPart::Method)),
    ("request.path", Slot::Request(RequestPart::Path)),
    ("request.query", Slot::Request(RequestPart::Query)),
    ("request.query_plain", Slot::Request(RequestPart::QueryPlain)),
    ("request.body", Slot::Request(RequestPart::Body)),
];

/// Names in the steps that register and retire keys.
pub(super) const KEY_NAMES: [(&str, Slot); 4] = [
    ("key.kid", Slot::Key(KeyPart::Kid)),
    ("key.alg", Slot::Key(KeyPart::Alg)),
    ("key.pem", Slot::Key(KeyPart::Pem)),
    ("key.jwk", Slot::Key(KeyPart::Jwk)),
];

/// What every session says.
pub(super) const SESSION_NAMES: [(&str, Slot); 5] = [
    ("session.token", Slot::Session(SessionPart::Token)),
    ("session.expiresAt", Slot::Session(SessionPart::ExpiresAt)),
    ("session.apiUrl", Slot::Session(SessionPart::ApiUrl)),
    ("session.chatUserId", Slot::Session(SessionPart::ChatUserId)),
    ("session.displayName", Slot::Session(SessionPart::DisplayName)),
];

/// What a failure says.
pub(super) const FAILURE_NAMES: [(&str, Slot); 4] = [
    ("error.message", Slot::Failure(FailurePart::Message)),
    ("error.code", Slot::Failure(FailurePart::Code)),
    ("error.status", Slot::Failure(FailurePart::Status)),
    ("error.requestId", Slot::Failure(FailurePart::RequestId)),
];

/// What a refusal of the gateway says.
pub(super) const REFUSAL_NAMES: [(&str, Slot); 3] = [
    ("error.text", Slot::Failure(FailurePart::Message)),
    ("error.code", Slot::Failure(FailurePart::Code)),
    ("error.status", Slot::Failure(FailurePart::Status)),
];

impl Slot {
    /// The value; `None` where there is none.
    pub(super) fn value<'v>(self, variables: &'v Variables<'_>) -> Option<Datum<'v>> {
        let text = |text: &'v str| Datum::Text(Cow::Borrowed(text));
        let profile = variables.profile;
        match self {
            Self::UserId => Some(text(&variables.user.id)),
            Self::UserLocal => Some(text(variables.user.local())),
            Self::Name => profile.name.map(text),
            Self::DisplayName => Some(text(profile.display_name())),
            Self::Email => profile.email.map(text),
            Self::Avatar => profile.avatar.map(text),
            Self::Groups => Some(Datum::List(&profile.groups)),
            Self::Roles => Some(Datum::List(&profile.roles)),
            Self::Source => Some(text(profile.source)),
            Self::Issuer => profile.issuer.map(text),
            Self::Subject => Some(text(profile.subject)),
            Self::Now(unit) => Some(moment(variables.now, unit)),
            Self::Expires(unit) => Some(moment(variables.expires(), unit)),
            Self::Lifetime(unit) => Some(span(variables, unit)),
            Self::RandomUuid => random().map(|bytes| Datum::Text(Cow::Owned(uuid(bytes)))),
            Self::RandomHex => random().map(|bytes| Datum::Text(Cow::Owned(super::functions::hex(&bytes)))),
            Self::Item => variables.item.map(text),
            Self::Taken(index) => Some(json(variables.taken.get(index)?.as_ref()?)),
            Self::Input(index) => (*variables.inputs.get(index)?).map(text),
            Self::Param(index) => (*variables.params.get(index)?).map(text),
            Self::Let(index) => variables.lets.get(index).filter(|value| !value.is_null()).map(json),
            Self::Part(index) => variables.parts.get(index).map(|part| text(part)),
            Self::Request(part) => variables.request.and_then(|request| match part {
                RequestPart::Method => Some(text(request.method)),
                RequestPart::Path => Some(text(request.url.path())),
                RequestPart::Query => Some(Datum::Text(Cow::Owned(request.query()))),
                RequestPart::QueryPlain => Some(Datum::Text(Cow::Owned(request.query_plain()))),
                RequestPart::Body => request.body.map(text),
            }),
            Self::Session(part) => part.value(variables.session?),
            Self::Failure(part) => variables.failure.map(|failure| match part {
                FailurePart::Message => text(failure.message),
                FailurePart::Code => text(failure.code),
                FailurePart::Status => Datum::Number(i64::from(failure.status.as_u16())),
                FailurePart::RequestId => text(failure.request_id),
            }),
            Self::Key(part) => variables.key.map(|key| match part {
                KeyPart::Kid => text(&key.kid),
                KeyPart::Alg => text(key.alg.name()),
                KeyPart::Pem => text(&key.pem),
                KeyPart::Jwk => Datum::Json(Cow::Borrowed(&key.jwk)),
            }),
        }
    }

    /// Whether it is known of a session that was minted: by its members, the profile, and what the request added.
    pub(super) const fn is_in_session(self) -> bool {
        matches!(
            self,
            Self::Session(_)
                | Self::Input(_)
                | Self::Item
                | Self::Name
                | Self::DisplayName
                | Self::Email
                | Self::Avatar
        ) || matches!(self, Self::Groups | Self::Roles | Self::Source | Self::Issuer | Self::Subject)
    }

    /// Whether it is known of a call that is made for an application.
    pub(super) const fn is_in_call(self) -> bool {
        matches!(self, Self::Request(_) | Self::Param(_) | Self::Now(_) | Self::RandomUuid | Self::RandomHex)
    }

    /// Whether it may be moved by a whole number.
    pub(super) const fn can_move(self) -> bool {
        matches!(self, Self::Now(unit) | Self::Expires(unit) if !matches!(unit, Unit::Iso))
    }
}

impl SessionPart {
    fn value<'v>(self, session: &'v SessionView<'_>) -> Option<Datum<'v>> {
        let text = match self {
            Self::Token => Cow::Borrowed(session.token),
            Self::ExpiresAt => Cow::Owned(session.expires?.to_rfc3339()),
            Self::ApiUrl => Cow::Borrowed(session.api_url),
            Self::ChatUserId => Cow::Borrowed(session.user_id),
            Self::DisplayName => Cow::Borrowed(session.profile.display_name()),
            Self::Member(index) => {
                let name = session.members.get(index)?;
                let (_, value) = session.extra.iter().find(|(own, _)| own == name)?;
                return serde_json::from_slice(value).ok().map(|value| Datum::Json(Cow::Owned(value)));
            }
        };
        Some(Datum::Text(text))
    }
}

fn json(value: &serde_json::Value) -> Datum<'_> {
    Datum::Json(Cow::Borrowed(value))
}

fn moment(point: Timestamp, unit: Unit) -> Datum<'static> {
    match unit {
        Unit::Milliseconds => Datum::Number(point.as_millis()),
        Unit::Iso => Datum::Text(Cow::Owned(point.to_rfc3339())),
        Unit::Seconds | Unit::Minutes | Unit::Days => Datum::Number(point.as_seconds()),
    }
}

fn span(variables: &Variables<'_>, unit: Unit) -> Datum<'static> {
    let seconds = u128::from(variables.ttl.as_secs());
    let number = match unit {
        Unit::Milliseconds => variables.ttl.as_millis(),
        Unit::Minutes => seconds / 60,
        Unit::Days => seconds / 86_400,
        Unit::Seconds | Unit::Iso => seconds,
    };
    Datum::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Unguessable bytes; none when the system has no randomness, and the mint then fails.
fn random() -> Option<[u8; 16]> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// A random UUID (RFC 9562, section 5.4).
fn uuid(bytes: [u8; 16]) -> String {
    let number = u128::from_be_bytes(bytes) & !(0xF << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let digits = format!("{number:032x}");
    let mut text = String::with_capacity(36);
    for (n, digit) in digits.chars().enumerate() {
        if matches!(n, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_their_version_and_variant() {
        assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
