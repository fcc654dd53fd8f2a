//! What an attempt says: of the event, and of the target.

use std::time::Duration;

use bytes::Bytes;
use strum::{IntoStaticStr, VariantArray};

use crate::clock::Timestamp;
use crate::outbound::{Answer, SendError};
use crate::provider::retry_after;

/// How an attempt ended, for metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Class {
    /// The application has the event.
    Delivered,
    /// The application does not want the event, and more attempts will hardly change that.
    Refused,
    /// The application failed, or asks for another attempt.
    Failed,
    /// No answer in time.
    Timeout,
    /// No connection, so the application has not seen the event.
    Unreachable,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The kind of it.
    pub class: Class,
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// Why there was none, in words.
    pub problem: Option<&'static str>,
    /// When to come back, where the application says so.
    pub retry_after: Option<Duration>,
    /// The body of the answer, where all of it came in time and within the bound.
    pub answer: Option<Bytes>,
    /// Whether it says that the target is down rather than that the event is bad.
    pub is_down: bool,
}

/// Statuses of 3xx and 4xx after which another attempt may end in another way.
const PASSING: [u16; 5] = [408, 409, 423, 425, 429];
/// Statuses of proxies before an application that is down.
const DOWN: std::ops::RangeInclusive<u16> = 502..=504;

impl Outcome {
    pub(super) fn of(sent: Result<Answer, SendError>, now: Timestamp) -> Self {
        let error = match sent {
            Ok(answer) => {
                let class = match answer.status {
                    200..=299 => Class::Delivered,
                    // W-17: redirects
                    300..=499 if !PASSING.contains(&answer.status) => Class::Refused,
                    _ => Class::Failed,
                };
                return Self {
                    class,
                    status: Some(answer.status),
                    problem: None,
                    retry_after: retry_after(&answer.headers, now),
                    answer: answer.body,
                    is_down: DOWN.contains(&answer.status),
                };
            }
            Err(error) => error,
        };
        let class = match error {
            SendError::Connect(_) => Class::Unreachable,
            SendError::Timeout => Class::Timeout,
            SendError::Broken | SendError::TooLarge => Class::Failed,
        };
        // A port that is forwarded to an application that is down accepts connections and breaks them.
        Self { class, status: None, problem: Some(error.words()), retry_after: None, answer: None, is_down: true }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderMap, RETRY_AFTER};

    use super::*;
    use crate::outbound::ConnectError;

    const NOW: Timestamp = Timestamp::from_seconds(1_780_142_400);

    fn answered(status: u16) -> Outcome {
        Outcome::of(Ok(Answer { status, headers: HeaderMap::new(), body: None }), NOW)
    }

    #[test]
    fn statuses_are_classed() {
        for (class, statuses) in [
            (Class::Delivered, &[200, 201, 202, 204, 299][..]),
            (Class::Refused, &[300, 301, 302, 307, 308, 304, 400, 401, 403, 404, 405, 410, 413, 415, 422, 451, 499]),
            (Class::Failed, &[408, 409, 423, 425, 429, 500, 501, 502, 503, 504, 505, 599, 600, 999, 199]),
        ] {
            for status in statuses {
                let outcome = answered(*status);
                assert_eq!(outcome.class, class, "{status}");
                assert_eq!(outcome.is_down, matches!(status, 502..=504), "{status}");
            }
        }
    }

    #[test]
    fn what_is_no_answer_says_that_the_target_is_down() {
        for (error, class) in [
            (SendError::Connect(ConnectError::Refused), Class::Unreachable),
            (SendError::Connect(ConnectError::Timeout), Class::Unreachable),
            (SendError::Timeout, Class::Timeout),
            (SendError::Broken, Class::Failed),
        ] {
            let outcome = Outcome::of(Err(error), NOW);
            assert_eq!((outcome.class, outcome.is_down, outcome.status), (class, true, None));
            assert_eq!(outcome.problem, Some(error.words()));
        }
    }

    #[test]
    fn the_advice_of_the_application_is_read() {
        for (text, seconds) in
            [("7", Some(7)), ("Sat, 30 May 2026 12:01:00 GMT", Some(60)), ("soon", None), ("-1", None)]
        {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().expect("a value"))]);
            let outcome = Outcome::of(Ok(Answer { status: 503, headers, body: None }), NOW);
            assert_eq!(outcome.retry_after, seconds.map(Duration::from_secs), "{text}");
        }
    }
}
