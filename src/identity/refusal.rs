//! Why a request has no identity.

use strum::{IntoStaticStr, VariantArray};

/// Why a request has no identity. The reason goes to log and metric; outside, all look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Refusal {
    /// No source is configured.
    #[error("no identity source is configured")]
    NoSource,
    /// The peer may not tell identity.
    #[error("the peer may not tell identity")]
    PeerUntrusted,
    /// The shared secret is missing or wrong.
    #[error("the shared secret is missing or wrong")]
    PeerSecret,
    /// The signature over the request is missing or wrong.
    #[error("the signature over the request is missing or wrong")]
    PeerSignature,
    /// The signature over the request is of the form that did not cover the host.
    #[error("the signature over the request is of the older form v1, which does not cover the host; sign v2")]
    PeerSignatureVersion,
    /// The signature over the request is too old, or of the future.
    #[error("the signature over the request is of another time")]
    PeerSignatureTime,
    /// The mesh names no workload that may tell identity.
    #[error("the workload may not tell identity")]
    PeerWorkload,
    /// The caller may tell identity, but not on this route.
    #[error("the caller may not use this route")]
    CallerRoute,
    /// No user is signed in.
    #[error("the subject is absent, empty, or a word that means no user")]
    Absent,
    /// Other identity headers are there, but not the subject.
    #[error("identity headers came without the subject")]
    SubjectMissing,
    /// What a proxy asks about over gRPC is not to the letter of HTTP.
    #[error("the request is malformed")]
    Malformed,
    /// A header came twice, or two values were joined by a comma.
    #[error("an identity header came more than once")]
    Duplicate,
    /// A header came under a name that some hop reads as one of ours.
    #[error("an alias of an identity header is present")]
    Alias,
    /// `Connection` lists one of our headers.
    #[error("an identity header is listed in Connection")]
    ListedInConnection,
    /// A placeholder of the proxy that was never filled in.
    #[error("the subject is an unresolved template")]
    Template,
    /// Not in the declared encoding.
    #[error("the subject is not in the declared encoding")]
    Encoding,
    /// Control, invisible, unassigned or compatibility characters.
    #[error("the subject holds characters that can be mistaken or hide")]
    Character,
    /// A header beside the user's says that the upstream does not vouch for this request.
    #[error("a header that the source asks for is not as it must be")]
    Condition,
    /// Longer than allowed.
    #[error("an identity value is too long")]
    TooLong,
    /// A subject that no provider could have as a user id. Signing in again changes nothing, so this is no 401.
    #[error("the subject is too long")]
    SubjectTooLong,
    /// The body names no user as it should.
    #[error("the member `user` of the body is malformed")]
    Body,
    /// Not three parts of strict base64url with JSON objects in them.
    #[error("the token is malformed")]
    TokenMalformed,
    /// An algorithm that the source does not use.
    #[error("the token names another algorithm")]
    TokenAlgorithm,
    /// A header member that must not be there, or is not as it must be: `crit`, `kid`, the signer of a balancer.
    #[error("the header of the token is not acceptable")]
    TokenHeader,
    /// No key of the set has this id.
    #[error("no key for the token")]
    KeyUnknown,
    /// There are no keys, because their source has not answered yet.
    #[error("the keys are not there")]
    KeysUnavailable,
    /// The signature is wrong.
    #[error("the signature is wrong")]
    Signature,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iat` lies too far back.
    #[error("the token is too old")]
    TooOld,
    /// Another issuer.
    #[error("the token is of another issuer")]
    Issuer,
    /// Another audience.
    #[error("the token is for another audience")]
    Audience,
    /// A claim is missing, or of another type.
    #[error("a claim is missing or of another type")]
    Claim,
    /// A good token of a machine, where a user is wanted.
    #[error("the token is of a machine, not of a user")]
    Machine,
    /// The subject could be taken for one of another source.
    #[error("the subject begins like those of another source")]
    Namespace,
    /// The user is on the deny list.
    #[error("the user is denied")]
    Denied,
    /// There is an allow list, and the user is not on it.
    #[error("the user is not on the allow list")]
    NotAllowed,
}

impl Refusal {
    /// Whether a key that is not here could be why.
    pub const fn may_want_a_key(self) -> bool {
        matches!(self, Self::KeyUnknown | Self::KeysUnavailable | Self::Signature)
    }
}
