//! When an event comes again after an attempt, and when it does not.

use std::time::Duration;

use super::outcome::{Class, Outcome};
use crate::pacing::jitter;
use crate::webhook::store::Settled;

/// The waits after the first attempts; later ones are as long as the last.
const LADDER: [Duration; 8] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_mins(30),
    Duration::from_hours(1),
    Duration::from_hours(2),
];
/// By so much waits are shorter or longer, so that events that failed together do not come again together.
const SPREAD: f64 = 0.2;
/// Bounds of the wait that an application asks for.
const ADVICE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(1));
/// Attempts after which an answer that will hardly change is believed.
const REFUSALS: u32 = 3;
/// Age after which a failed attempt is the last, for an event that has been through the ladder. One that grew old because
/// the target was down, or because a clock was set, goes through it first.
const LONGEST_LIFE: Duration = Duration::from_hours(72);
/// The wait after a connection that could not be made while the target counts as up.
const UNREACHED: Duration = Duration::from_secs(1);

/// What becomes of an event. `before` attempts were used up before this one, and `age` is the time since its acceptance.
/// `closed` says how long no event can be sent, if the target is closed by now.
pub(super) fn settle(outcome: &Outcome, before: u32, age: Duration, closed: Option<Duration>) -> Settled {
    let attempts = before.saturating_add(1);
    match (outcome.class, closed) {
        (Class::Delivered, _) => Settled::Delivered,
        // W-21: attempts unused
        (Class::Unreachable, closed) => Settled::Returned(closed.unwrap_or(UNREACHED)),
        // W-20, W-21: attempts at a target that is down
        (_, Some(wait)) if outcome.is_down => Settled::Returned(wait),
        // W-20: refused for good
        (Class::Refused, _) if attempts >= REFUSALS => Settled::Dead("refused"),
        // W-20: old for good
        _ if age >= LONGEST_LIFE && rung(attempts) >= LADDER.len() => Settled::Dead("expired"),
        _ => Settled::Again(wait(attempts, outcome.retry_after)),
    }
}

/// The wait after so many attempts.
fn wait(attempts: u32, advice: Option<Duration>) -> Duration {
    if let Some(advice) = advice {
        return advice.clamp(ADVICE.0, ADVICE.1);
    }
    let whole = LADDER.get(rung(attempts)).or(LADDER.last()).copied().unwrap_or_default();
    whole.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * jitter::fraction())
}

/// Waits before that after so many attempts.
fn rung(attempts: u32) -> usize {
    usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::{ConnectError, SendError};

    const NOW: crate::clock::Timestamp = crate::clock::Timestamp::from_seconds(1_780_142_400);
    const YOUNG: Duration = Duration::from_secs(1);
    const OLD: Duration = Duration::from_hours(72);
    const CLOSED: Option<Duration> = Some(Duration::from_secs(16));

    fn error(error: SendError) -> Outcome {
        Outcome::of(Err(error), NOW)
    }

    fn answered(status: u16, advice: Option<u64>) -> Outcome {
        let class = match status {
            200 => Class::Delivered,
            400 => Class::Refused,
            _ => Class::Failed,
        };
        let retry_after = advice.map(Duration::from_secs);
        Outcome { class, status: Some(status), problem: None, retry_after, answer: None, is_down: status == 503 }
    }

    #[test]
    fn waits_grow_by_the_ladder_and_are_spread() {
        for (before, seconds) in
            [1.0, 5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 7200.0, 7200.0].into_iter().enumerate()
        {
            let before = u32::try_from(before).expect("small");
            let waits = (0..200).map(|_| match settle(&answered(500, None), before, YOUNG, None) {
                Settled::Again(wait) => wait.as_secs_f64() / seconds,
                other => panic!("{other:?}"),
            });
            let waits: Vec<f64> = waits.collect();
            assert!(waits.iter().all(|wait| (0.799..=1.201).contains(wait)), "{before}: {waits:?}");
            assert!(waits.iter().any(|wait| *wait < 0.95) && waits.iter().any(|wait| *wait > 1.05), "{before}");
        }
        assert!(matches!(settle(&answered(500, None), u32::MAX, YOUNG, None), Settled::Again(_)));
    }

    #[test]
    fn advice_is_followed_within_its_bounds() {
        for (advice, seconds) in [(0, 1), (7, 7), (86_400, 3600)] {
            let settled = settle(&answered(429, Some(advice)), 5, YOUNG, None);
            assert_eq!(settled, Settled::Again(Duration::from_secs(seconds)));
        }
    }

    /// W-20: a bad event ends.
    #[test]
    fn refused_events_end_after_three_attempts_and_others_after_three_days() {
        for (status, before, age, dead) in [
            (400, 0, YOUNG, None),
            (400, 1, YOUNG, None),
            (400, 2, YOUNG, Some("refused")),
            (400, 9, OLD, Some("refused")),
            (400, 0, OLD, None),
            (500, 40, Duration::from_hours(71), None),
            (500, 0, OLD, None),
            (500, 7, OLD, None),
            (500, 8, OLD, Some("expired")),
            (503, 40, OLD, Some("expired")),
        ] {
            let settled = settle(&answered(status, None), before, age, None);
            match dead {
                Some(why) => assert_eq!(settled, Settled::Dead(why), "{status} {before}"),
                None => assert!(matches!(settled, Settled::Again(_)), "{status} {before}"),
            }
        }
        assert_eq!(settle(&answered(200, None), 2, OLD, None), Settled::Delivered);
    }

    /// W-21: while the target is down no event loses an attempt, and none ends.
    #[test]
    fn a_target_that_is_down_uses_up_no_attempt() {
        let refused = error(SendError::Connect(ConnectError::Refused));
        assert_eq!(settle(&refused, 2, OLD, None), Settled::Returned(Duration::from_secs(1)));
        for outcome in [refused, error(SendError::Timeout), error(SendError::Broken), answered(503, Some(9))] {
            assert_eq!(settle(&outcome, 2, OLD, CLOSED), Settled::Returned(Duration::from_secs(16)));
        }
        // An answer of the application itself is about the event, also where others say that the target is down.
        assert_eq!(settle(&answered(400, None), 2, YOUNG, CLOSED), Settled::Dead("refused"));
        for outcome in [error(SendError::Timeout), answered(503, None)] {
            assert!(matches!(settle(&outcome, 0, YOUNG, None), Settled::Again(_)), "one event may be the cause");
        }
    }
}
