//! What templates of `[client]` see: a session that was minted, and a failure.

use http::StatusCode;

use super::Profile;
use crate::clock::Timestamp;

/// A session. It holds the token, so there is no `Debug`.
#[derive(Clone, Copy)]
pub(in crate::provider) struct SessionView<'s> {
    pub(in crate::provider) token: &'s str,
    pub(in crate::provider) expires: Option<Timestamp>,
    /// Address that the client uses.
    pub(in crate::provider) api_url: &'s str,
    /// The user's id at the provider.
    pub(in crate::provider) user_id: &'s str,
    pub(in crate::provider) profile: &'s Profile<'s>,
    /// Further members: name and finished JSON.
    pub(in crate::provider) extra: &'s [(String, Vec<u8>)],
    /// Names of all that the definition knows, in its order; some may have no value.
    pub(in crate::provider) members: &'s [String],
}

/// A failure. It holds nothing that a request said.
#[derive(Clone, Copy, Debug)]
pub struct FailureView<'p> {
    /// Short text for people.
    pub message: &'p str,
    /// Stable code.
    pub code: &'p str,
    /// Status that the library sees.
    pub status: StatusCode,
    /// Id of the request.
    pub request_id: &'p str,
}
