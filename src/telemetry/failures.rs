//! The last requests that failed, for whoever looks at the status page.

use std::collections::VecDeque;

use parking_lot::Mutex;
use serde::Serialize;

use crate::clock::Timestamp;

/// Failures that are kept.
const KEPT: usize = 50;

/// A request that failed because of us or of a provider. It holds nothing of its user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// When it was answered.
    pub at: Timestamp,
    /// The team whose request it was, if it was one's.
    pub team: Option<String>,
    /// Configured path of the route.
    pub route: String,
    /// Outcome code.
    pub outcome: &'static str,
    /// Which class of failure it was.
    pub reason: Option<String>,
    /// Request id, as in the answer and in the log.
    pub request_id: String,
}

/// The last of them, the newest first.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<VecDeque<Failure>>);

impl Failures {
    pub(super) fn note(&self, failure: Failure) {
        let mut all = self.0.lock();
        all.truncate(KEPT - 1);
        all.push_front(failure);
    }

    pub(super) fn last(&self) -> Vec<Failure> {
        self.0.lock().iter().cloned().collect()
    }
}
