//! What was left out of an identity because it was too long: counted, and logged once a minute.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::Timestamp;
use crate::identity::definition::HeaderUse;
use crate::metrics::{Counter, Label as _, Metrics};

/// Seconds between two lines in the log.
const PAUSE: i64 = 60;
/// Parts that can be left out.
const PARTS: [HeaderUse; 5] =
    [HeaderUse::Name, HeaderUse::Email, HeaderUse::Avatar, HeaderUse::Groups, HeaderUse::Payload];

/// The values that one source left out.
#[derive(Debug)]
pub(in crate::identity) struct LeftOut {
    source: String,
    counters: Vec<(HeaderUse, Counter)>,
    /// When the next line may be written, in seconds.
    quiet_until: AtomicI64,
}

impl LeftOut {
    pub(super) fn new(source: &str, metrics: &Metrics) -> Self {
        let counter = |part: HeaderUse| (part, metrics.identity.values_left_out(source, part.label()));
        let counters = PARTS.map(counter).into();
        Self { source: source.to_owned(), counters, quiet_until: AtomicI64::new(i64::MIN) }
    }

    /// Counts a value that was left out, and warns where that is news.
    pub(super) fn note(&self, part: HeaderUse, now: Timestamp) {
        if let Some((_, counter)) = self.counters.iter().find(|(own, _)| *own == part) {
            counter.inc();
        }
        let (now, quiet_until) = (now.as_seconds(), self.quiet_until.load(Ordering::Relaxed));
        // Far in the future is a clock that was set back.
        if (now.saturating_add(1)..=now.saturating_add(PAUSE)).contains(&quiet_until) {
            return;
        }
        let next = now.saturating_add(PAUSE);
        if self.quiet_until.compare_exchange(quiet_until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::warn!(
                source = self.source,
                value = part.label(),
                "a header is too long to be read; users are signed in without what it holds"
            );
        }
    }
}
