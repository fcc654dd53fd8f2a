//! A failed call to another service: whom it is about, and when to call again.

use std::time::Duration;

/// A failure, as far as it says when to call again.
#[derive(Clone, Copy, Debug)]
pub struct Failure<K> {
    /// What it is about.
    pub fault: Fault,
    /// What kind it is, for refusals that follow from it.
    pub kind: K,
    /// Whether it asks for fewer calls.
    pub is_limit: bool,
    /// When to come back, where it says so.
    pub retry_after: Option<Duration>,
}

/// What a failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The user of the call alone.
    User,
    /// Our account: all calls.
    Account,
    /// Our credential.
    Credential,
    /// The other side or the way there, whichever user it was for.
    Remote,
    /// The user of the call, until it happens to several.
    Unclear,
}
