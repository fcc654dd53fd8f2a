//! The one table of outcomes: how requests end, over HTTP and gRPC, and the only place that says with which status.

#![warn(clippy::wildcard_enum_match_arm)]

use http::StatusCode;
use strum::VariantArray;

use crate::identity::Refusal;
use crate::inbound::connection::HeadFault;
use crate::provider::Class;
use crate::session::SessionError;

/// How a request on a front route ends. The first column of the table in `docs/errors.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VariantArray)]
pub enum Outcome {
    /// A session, or a subrequest that passes with one.
    Ok,
    /// A subrequest that passes without one: no user is signed in.
    Anonymous,
    /// The user signed out.
    SignedOut,
    /// The user signed out here, and other replicas do not know it yet.
    SignedOutHere,
    /// An answer to OPTIONS.
    Options,
    /// No identity, or an ambiguous one.
    Unauthorized,
    /// The peer may not tell identity.
    PeerUntrusted,
    /// The user is denied, or not among those who are allowed.
    UserDenied,
    /// A browser request from another site.
    OriginRefused,
    /// The required header is missing.
    HeaderMissing,
    /// A host that is not served.
    HostRefused,
    /// Input that is not declared, or malformed input.
    InputInvalid,
    /// Input that the operator does not allow this user.
    InputRefused,
    /// A body larger than the limit.
    BodyTooLarge,
    /// A body that did not come in time.
    Timeout,
    /// A body of a kind that is not taken.
    Unsupported,
    /// A request that HTTP does not allow, or that two hops could read differently.
    RequestMalformed,
    /// More header lines, or more bytes of them, than the limit.
    HeadTooLarge,
    /// An address longer than the limit.
    TargetTooLong,
    /// No memory for requests that are not complete.
    Overloaded,
    /// The subject cannot be a user id at this provider.
    UserIdInvalid,
    /// Too many requests by one user.
    RateLimited,
    /// The keys that verify identity are not there.
    IdentityUnavailable,
    /// The provider is down, slow or left alone by the breaker.
    ProviderUnavailable,
    /// The provider asks to slow down.
    ProviderRateLimited,
    /// The provider answers nonsense.
    ProviderBadAnswer,
    /// The provider refuses our credential.
    ProviderCredentials,
    /// A webhook cannot take events now.
    WebhookUnavailable,
    /// The fragment of the team has mistakes, so the team is not served.
    TeamUnavailable,
    /// The service is stopping.
    Draining,
    /// Nothing is served there.
    NotFound,
    /// Not with this method.
    MethodNotAllowed,
    /// A defect of ours.
    Internal,
}

/// One row: status, text for people, code for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// HTTP status on a session route.
    pub status: StatusCode,
    /// Member `error`: short text that browser clients show.
    pub error: &'static str,
    /// Member `code`: stable.
    pub code: &'static str,
}

/// How a subrequest is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subrequest {
    /// With this status, whatever the mode.
    Always(StatusCode),
    /// Where chat is optional the request passes with this `X-Chat-Status`; where it is required, with this status.
    ByMode(&'static str, StatusCode),
    /// No subrequest ends so.
    Never,
}

impl Outcome {
    /// The row of the table.
    pub const fn row(self) -> Row {
        let (status, error, code) = match self {
            Self::Ok => (StatusCode::OK, "", "ok"),
            Self::Anonymous => (StatusCode::OK, "", "anonymous"),
            Self::SignedOut => (StatusCode::NO_CONTENT, "", "signed_out"),
            Self::SignedOutHere => (StatusCode::ACCEPTED, "Not yet signed out everywhere", "signed_out_here"),
            Self::Options => (StatusCode::NO_CONTENT, "", "options"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized", "unauthorized"),
            Self::PeerUntrusted => (StatusCode::FORBIDDEN, "Forbidden", "peer_untrusted"),
            Self::UserDenied => (StatusCode::FORBIDDEN, "Forbidden", "user_denied"),
            Self::OriginRefused => (StatusCode::FORBIDDEN, "Forbidden", "origin_refused"),
            Self::HeaderMissing => (StatusCode::FORBIDDEN, "Forbidden", "header_missing"),
            Self::HostRefused => (StatusCode::MISDIRECTED_REQUEST, "Misdirected request", "host_refused"),
            Self::InputInvalid => (StatusCode::BAD_REQUEST, "Bad request", "input_invalid"),
            Self::InputRefused => (StatusCode::FORBIDDEN, "Forbidden", "input_refused"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Body too large", "body_too_large"),
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, "Timeout", "timeout"),
            Self::Unsupported => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported", "unsupported"),
            Self::RequestMalformed => (StatusCode::BAD_REQUEST, "Bad request", "request_malformed"),
            Self::HeadTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Headers too large", "head_too_large"),
            Self::TargetTooLong => (StatusCode::URI_TOO_LONG, "Address too long", "target_too_long"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "overloaded"),
            Self::UserIdInvalid => (StatusCode::UNPROCESSABLE_ENTITY, "User not accepted", "user_id_invalid"),
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "Too many requests", "rate_limited"),
            Self::IdentityUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "identity_unavailable"),
            Self::ProviderUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "provider_unavailable"),
            Self::ProviderRateLimited => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "provider_rate_limited"),
            Self::ProviderBadAnswer => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "provider_bad_answer"),
            Self::ProviderCredentials => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "provider_credentials"),
            Self::WebhookUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "Webhook unavailable", "webhook_unavailable"),
            Self::TeamUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "team_unavailable"),
            Self::Draining => (StatusCode::SERVICE_UNAVAILABLE, "Chat unavailable", "draining"),
            Self::NotFound => (StatusCode::NOT_FOUND, "Not found", "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", "method_not_allowed"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "Internal error", "internal"),
        };
        Row { status, error, code }
    }

    /// The outcome with this code.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::VARIANTS.iter().copied().find(|own| own.row().code == code)
    }

    /// How a subrequest that ends so is answered.
    pub const fn subrequest(self) -> Subrequest {
        match self {
            Self::Ok => Subrequest::ByMode("ok", StatusCode::OK),
            Self::Anonymous => Subrequest::ByMode("anonymous", StatusCode::UNAUTHORIZED),
            Self::Unauthorized => Subrequest::Always(StatusCode::UNAUTHORIZED),
            Self::PeerUntrusted => Subrequest::Always(StatusCode::FORBIDDEN),
            Self::InputInvalid => Subrequest::ByMode("denied", StatusCode::BAD_REQUEST),
            Self::UserDenied | Self::InputRefused | Self::UserIdInvalid => {
                Subrequest::ByMode("denied", StatusCode::FORBIDDEN)
            }
            Self::RateLimited | Self::ProviderRateLimited => Subrequest::ByMode("limited", StatusCode::FORBIDDEN),
            Self::IdentityUnavailable
            | Self::ProviderUnavailable
            | Self::ProviderBadAnswer
            | Self::ProviderCredentials
            | Self::Draining
            | Self::Internal => Subrequest::ByMode("unavailable", StatusCode::SERVICE_UNAVAILABLE),
            // None of these is the end of a subrequest.
            Self::SignedOut
            | Self::SignedOutHere
            | Self::Options
            | Self::OriginRefused
            | Self::HeaderMissing
            | Self::HostRefused
            | Self::BodyTooLarge
            | Self::Timeout
            | Self::Unsupported
            | Self::WebhookUnavailable
            | Self::TeamUnavailable
            | Self::RequestMalformed
            | Self::HeadTooLarge
            | Self::TargetTooLong
            | Self::Overloaded
            | Self::NotFound
            | Self::MethodNotAllowed => Subrequest::Never,
        }
    }

    pub(super) const fn has_retry_advice(self) -> bool {
        matches!(
            self,
            Self::RateLimited
                | Self::Overloaded
                | Self::IdentityUnavailable
                | Self::ProviderUnavailable
                | Self::ProviderRateLimited
                | Self::ProviderBadAnswer
                | Self::WebhookUnavailable
                | Self::TeamUnavailable
        )
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSource
            | Refusal::PeerUntrusted
            | Refusal::PeerSecret
            | Refusal::PeerSignature
            | Refusal::PeerSignatureVersion
            | Refusal::PeerSignatureTime
            | Refusal::PeerWorkload
            | Refusal::CallerRoute => Self::PeerUntrusted,
            Refusal::Denied | Refusal::NotAllowed => Self::UserDenied,
            Refusal::KeysUnavailable => Self::IdentityUnavailable,
            Refusal::SubjectTooLong => Self::UserIdInvalid,
            Refusal::Absent
            | Refusal::SubjectMissing
            | Refusal::Malformed
            | Refusal::Duplicate
            | Refusal::Alias
            | Refusal::ListedInConnection
            | Refusal::Template // T-53: refusals look alike
            | Refusal::Encoding
            | Refusal::Character
            | Refusal::Condition
            | Refusal::TooLong
            | Refusal::Body
            | Refusal::TokenMalformed
            | Refusal::TokenAlgorithm
            | Refusal::TokenHeader
            | Refusal::KeyUnknown
            | Refusal::Signature
            | Refusal::Expired
            | Refusal::NotYetValid
            | Refusal::TooOld
            | Refusal::Issuer
            | Refusal::Audience
            | Refusal::Claim
            | Refusal::Machine
            | Refusal::Namespace => Self::Unauthorized,
        }
    }
}

impl From<HeadFault> for Outcome {
    fn from(fault: HeadFault) -> Self {
        match fault {
            HeadFault::TooLarge | HeadFault::TooManyLines => Self::HeadTooLarge,
            HeadFault::TargetTooLong => Self::TargetTooLong,
            HeadFault::NoRoom => Self::Overloaded,
            HeadFault::Target
            | HeadFault::Version
            | HeadFault::Line
            | HeadFault::Length
            | HeadFault::HostMissing
            | HeadFault::HostTwice
            | HeadFault::HostInvalid
            | HeadFault::HostDiffers
            | HeadFault::Malformed => Self::RequestMalformed,
        }
    }
}

impl From<&SessionError> for Outcome {
    fn from(error: &SessionError) -> Self {
        match error {
            SessionError::SignedOut => Self::Unauthorized,
            SessionError::Denied => Self::UserDenied,
            SessionError::UserId => Self::UserIdInvalid,
            SessionError::Input => Self::InputRefused,
            SessionError::Rate(_) | SessionError::Busy => Self::RateLimited,
            SessionError::Provider(error) => match error.class {
                Class::Unavailable => Self::ProviderUnavailable,
                Class::RateLimited => Self::ProviderRateLimited,
                Class::CredentialRejected => Self::ProviderCredentials,
                Class::BadResponse | Class::Rejected | Class::UserMissing | Class::SessionLost => {
                    Self::ProviderBadAnswer
                }
            },
            SessionError::TooLarge | SessionError::Incomplete => Self::ProviderBadAnswer,
            SessionError::Deadline | SessionError::Gone => Self::ProviderUnavailable,
            SessionError::Draining => Self::Draining,
            SessionError::Internal => Self::Internal,
        }
    }
}
