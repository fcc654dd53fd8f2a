//! Log lines about failures of a provider: which provider, step, host, cause and request. One line for each kind of
//! failure and each change of state, whatever number of users they meet: nothing of a user or an answer is in it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::error::{Cause, ProviderError};
use crate::clock::Moment;
use crate::metrics::Label as _;
use crate::pacing::Change;

/// A kind of failure is not logged again within this time, however often calls succeed in between.
const QUIET: Duration = Duration::from_mins(1);
/// Kinds that are kept at most. The provider chooses its statuses, so it could bring any number of kinds.
const MOST: usize = 64;

/// The log of one provider.
#[derive(Debug, Default)]
pub(in crate::provider) struct Journal {
    /// Whether a failure was logged and no recovery since. A success reads nothing else.
    has_failures: AtomicBool,
    reported: Mutex<HashMap<Kind, Reported>>,
}

/// Failures that look alike: step, cause and status.
type Kind = (Box<str>, Cause, Option<u16>);

/// When a kind was logged, and how often it happened since.
#[derive(Debug)]
struct Reported {
    at: Moment,
    since: u64,
    /// Whether calls have succeeded since.
    over: bool,
}

impl Journal {
    /// Notes how a call ended, and what the breaker made of that.
    pub(in crate::provider) fn note<T>(
        &self,
        provider: &str,
        outcome: &Result<T, ProviderError>,
        change: Option<Change>,
        request: Option<&str>,
        now: Moment,
    ) {
        match outcome {
            Ok(_) => self.succeeded(provider, change == Some(Change::Closed)),
            Err(error) => {
                // T-63: news
                if let Some(before) = self.is_news(error, now) {
                    log_failure(provider, error, before, request);
                }
            }
        }
        match (change, outcome) {
            (Some(Change::Opened(pause)), Err(error)) => tracing::warn!(
                provider,
                step = &*error.step,
                cause = error.cause.label(),
                seconds = pause.as_secs(),
                request_id = request,
                "the provider is left alone: several users in a row have failed, or it asks for that"
            ),
            // A refusal can be the first answer after an outage.
            (Some(Change::Closed), Err(_)) => tracing::info!(provider, "the provider answers again"),
            _ => {}
        }
    }

    /// How often the kind happened without a line, if it is to be logged now.
    fn is_news(&self, error: &ProviderError, now: Moment) -> Option<u64> {
        let mut reported = self.reported.lock();
        let kind = (error.step.clone(), error.cause, error.status);
        let before = match reported.get_mut(&kind) {
            // T-63: quiet
            Some(known) if !known.over || now < known.at.plus(QUIET) => {
                known.since += 1;
                return None;
            }
            Some(known) => known.since,
            None => 0,
        };
        if reported.len() >= MOST && !reported.contains_key(&kind) {
            reported.retain(|_, known| now < known.at.plus(QUIET));
            if reported.len() >= MOST {
                return None;
            }
        }
        reported.insert(kind, Reported { at: now, since: 0, over: false });
        self.has_failures.store(true, Ordering::Relaxed);
        Some(before)
    }

    fn succeeded(&self, provider: &str, closed: bool) {
        if !self.has_failures.load(Ordering::Relaxed) && !closed {
            return;
        }
        self.has_failures.store(false, Ordering::Relaxed);
        let mut reported = self.reported.lock();
        reported.values_mut().for_each(|known| known.over = true);
        drop(reported);
        tracing::info!(provider, "the provider answers again");
    }
}

fn log_failure(provider: &str, error: &ProviderError, before: u64, request: Option<&str>) {
    tracing::warn!(
        provider,
        step = &*error.step,
        host = error.host.as_deref(),
        status = error.status,
        class = error.class.label(),
        cause = error.cause.label(),
        problem = error.detail,
        unseen = (before > 0).then_some(before),
        request_id = request,
        "the provider failed"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::definition::Class;

    const START: Moment = Moment::from_millis(1_000_000);

    fn failure(step: &str, status: u16) -> ProviderError {
        ProviderError::new(Class::Unavailable, step, "answered").status(status)
    }

    #[test]
    fn each_kind_is_told_once_until_it_is_over() {
        let journal = Journal::default();
        for n in 0..1000 {
            assert_eq!(journal.is_news(&failure("mint", 500), START).is_some(), n == 0);
        }
        for (step, status) in [("mint", 502), ("upsert", 500)] {
            assert_eq!(journal.is_news(&failure(step, status), START), Some(0), "another kind");
        }
        let later = START.plus(Duration::from_hours(1));
        assert_eq!(journal.is_news(&failure("mint", 500), later), None, "it has never been over");
        journal.succeeded("chat", false);
        assert!(!journal.has_failures.load(Ordering::Relaxed));
        assert_eq!(journal.is_news(&failure("mint", 500), later), Some(1000));
    }

    /// T-63: one user who fails among many who do not writes no line for each time.
    #[test]
    fn a_failure_that_comes_and_goes_is_told_once_a_minute() {
        let journal = Journal::default();
        let reported = (0..240).filter(|second| {
            let news = journal.is_news(&failure("mint", 500), START.plus(Duration::from_secs(*second)));
            journal.succeeded("chat", false);
            news.is_some()
        });
        assert_eq!(reported.count(), 4);
    }

    #[test]
    fn a_provider_that_thinks_up_statuses_fills_neither_memory_nor_log() {
        let journal = Journal::default();
        let reported = (100..600).filter(|status| journal.is_news(&failure("mint", *status), START).is_some());
        assert_eq!(reported.count(), MOST);
        journal.succeeded("chat", false);
        assert!(journal.is_news(&failure("upsert", 500), START.plus(QUIET)).is_some());
    }
}
