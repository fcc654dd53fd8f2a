//! Calls that give way to all others, and what they may say to the breaker.
//!
//! Such a call is made for an application that chooses what to ask. It could bring about failures at will, and the others
//! would pay for them; so it says less than theirs. Connections that cannot be made count, whoever wanted them. An answer
//! of the other side's own front that it fails counts once in a row, however many such calls there are. Anything else says
//! nothing. After a pause one of them goes ahead as well, but it keeps no other call from being the probe, and the pause is
//! over only where it succeeds.

use super::blamed::PAUSES;
use super::breaker::{Breaker, Change, Refusal, State};
use crate::clock::Moment;

/// What all of them are called in a row of failures.
const ALL: u64 = 0;

/// How one of them ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondaryOutcome {
    /// The other side works.
    Answered,
    /// There was no connection.
    Unconnected,
    /// The other side says that it fails.
    Failed,
    /// It says nothing about the other side.
    Unknown,
}

/// Permission for one of them. One that is dropped without a report says nothing.
#[derive(Debug)]
pub struct Secondary<'b, K: Copy> {
    breaker: &'b Breaker<K>,
    /// Whether no others call, so that nothing has to be kept from them.
    alone: bool,
    /// Whether it goes ahead after a pause.
    probes: bool,
    epoch: u64,
    reported: bool,
}

impl<K: Copy> Breaker<K> {
    /// Says when to come back, where a call that gives way to all others would not be let through.
    pub(super) fn check_secondary(&self, now: Moment) -> Result<(), Refusal<K>> {
        self.state.lock().check_secondary(now)
    }

    /// Lets one through, or says when to come back.
    pub(super) fn admit_secondary(&self, alone: bool, now: Moment) -> Result<Secondary<'_, K>, Refusal<K>> {
        let mut state = self.state.lock();
        state.check_secondary(now)?;
        let probes = state.pause.is_some();
        state.secondary_probing |= probes; // G-23: no probe of users
        Ok(Secondary { breaker: self, alone, probes, epoch: state.epoch, reported: false })
    }
}

impl<K: Copy> State<K> {
    fn check_secondary(&self, now: Moment) -> Result<(), Refusal<K>> {
        let Some((until, is_limit)) = self.pause else { return Ok(()) };
        let until = self.secondary_rests.map_or(until, |rests| rests.max(until));
        let wait = if now < until {
            until.since(now).max(PAUSES.first)
        } else if self.probing || self.trying || self.secondary_probing {
            PAUSES.first
        } else {
            return Ok(());
        };
        Err(if is_limit { Refusal::Limited(wait) } else { Refusal::Open(wait) })
    }
}

impl<K: Copy> Secondary<'_, K> {
    /// Reports how the call ended.
    pub fn report(mut self, outcome: SecondaryOutcome, now: Moment) -> Option<Change> {
        self.reported = true;
        let mut state = self.breaker.state.lock();
        if self.epoch != state.epoch {
            return None;
        }
        // Another call may have been the probe meanwhile.
        let probes = self.probes && state.pause.is_some();
        state.secondary_probing &= !self.probes;
        match outcome {
            SecondaryOutcome::Answered if probes => {
                let pauses = state.pauses;
                let change = Breaker::close(&mut state);
                // What the others call may fail still; their next pause is no shorter.
                state.pauses = if self.alone { 0 } else { pauses };
                change
            }
            SecondaryOutcome::Answered => {
                state.unconnected = 0;
                state.failed_for.retain(|user| *user != ALL);
                None
            }
            // G-23: failed answers
            SecondaryOutcome::Failed if !self.alone => {
                if probes {
                    state.secondary_rests = Some(now.plus(PAUSES.first));
                } else if !state.failed_for.contains(&ALL) {
                    state.failed_for.push(ALL);
                }
                let opens = !probes && state.is_row();
                opens.then(|| self.breaker.open(&mut state, None, false, now)).flatten()
            }
            SecondaryOutcome::Unconnected | SecondaryOutcome::Failed => {
                state.unconnected += 1;
                let opens = probes || state.is_row();
                opens.then(|| self.breaker.open(&mut state, None, false, now)).flatten()
            }
            SecondaryOutcome::Unknown => {
                if probes {
                    state.secondary_rests = Some(now.plus(PAUSES.first));
                }
                None
            }
        }
    }
}

impl<K: Copy> Drop for Secondary<'_, K> {
    fn drop(&mut self) {
        if !self.reported && self.probes {
            let mut state = self.breaker.state.lock();
            state.secondary_probing &= self.epoch != state.epoch;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use SecondaryOutcome::{Answered, Failed, Unconnected, Unknown};

    use super::super::breaker::{BreakerState, OwnFailures};
    use super::super::{Failure, Fault};
    use super::*;

    const START: Moment = Moment::from_millis(1_000_000);
    const SECOND: Duration = Duration::from_secs(1);
    const DOWN: Failure<u32> = Failure { fault: Fault::Unclear, kind: 500, is_limit: false, retry_after: None };

    fn breaker() -> Breaker<u32> {
        Breaker::new(PAUSES)
    }

    fn calls(breaker: &Breaker<u32>, number: usize, outcome: SecondaryOutcome) {
        for _ in 0..number {
            if let Ok(permit) = breaker.admit_secondary(false, START) {
                permit.report(outcome, START);
            }
        }
    }

    fn user_fails(breaker: &Breaker<u32>, user: &str, now: Moment) -> Option<Change> {
        breaker.admit(user, OwnFailures::Count, now).expect("let through").report(Err(DOWN), now)
    }

    fn opened() -> Breaker<u32> {
        let breaker = breaker();
        for user in ["a", "b", "c", "d", "e"] {
            user_fails(&breaker, user, START);
        }
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker
    }

    /// G-23: whatever a caller brings about, calls for users are made.
    #[test]
    fn callers_alone_stop_no_other_call_with_what_they_bring_about() {
        for outcome in [Failed, Unknown, Answered] {
            let breaker = breaker();
            calls(&breaker, 1000, outcome);
            assert_eq!(breaker.state(), BreakerState::Closed, "{outcome:?}");
        }
        let breaker = breaker();
        calls(&breaker, 5, Unconnected);
        assert_eq!(breaker.state(), BreakerState::Open, "connections that cannot be made count");
    }

    #[test]
    fn where_no_other_calls_are_made_each_failed_answer_counts() {
        let breaker = breaker();
        for n in 0..5 {
            assert_eq!(breaker.state(), BreakerState::Closed, "{n}");
            breaker.admit_secondary(true, START).expect("let through").report(Failed, START);
        }
        assert_eq!(breaker.check_secondary(START), Err(Refusal::Open(SECOND)));
        let later = START.plus(SECOND);
        breaker.admit_secondary(true, later).expect("the probe").report(Failed, later);
        assert_eq!(breaker.check_secondary(later), Err(Refusal::Open(2 * SECOND)));
    }

    #[test]
    fn failed_answers_of_all_callers_are_one_of_a_row() {
        let breaker = breaker();
        calls(&breaker, 3, Failed);
        for user in ["a", "b", "c"] {
            assert_eq!(user_fails(&breaker, user, START), None);
        }
        assert!(matches!(user_fails(&breaker, "d", START), Some(Change::Opened(_))), "four users and the callers");
        let breaker = self::breaker();
        calls(&breaker, 1, Failed);
        calls(&breaker, 1, Answered);
        for user in ["a", "b", "c", "d"] {
            assert_eq!(user_fails(&breaker, user, START), None, "an answer ended the callers' part of the row");
        }
    }

    /// G-23: a slow call of a caller keeps no user from the provider.
    #[test]
    fn a_caller_may_go_ahead_after_a_pause_and_keeps_no_user_waiting() {
        let breaker = opened();
        assert_eq!(breaker.check_secondary(START), Err(Refusal::Open(SECOND)));
        let later = START.plus(SECOND);
        let ahead = breaker.admit_secondary(false, later).expect("the pause is over");
        assert_eq!(breaker.check_secondary(later), Err(Refusal::Open(SECOND)), "one at a time");
        let probe = breaker.admit("x", OwnFailures::Count, later).expect("a user does not wait for it");
        assert_eq!(ahead.report(Failed, later), None);
        assert_eq!(breaker.check("y", OwnFailures::Count, later), Err(Refusal::Open(SECOND)), "the user probes");
        assert_eq!(probe.report(Ok(()), later), Some(Change::Closed));
        assert_eq!(breaker.check_secondary(later), Ok(()));
    }

    #[test]
    fn what_goes_ahead_rests_ends_or_prolongs_the_pause() {
        let later = START.plus(SECOND);
        for outcome in [Failed, Unknown] {
            let breaker = opened();
            breaker.admit_secondary(false, later).expect("the pause is over").report(outcome, later);
            assert_eq!(breaker.check_secondary(later), Err(Refusal::Open(SECOND)), "it rests");
            assert_eq!(breaker.check("x", OwnFailures::Count, later), Ok(()), "users do not");
        }
        let breaker = opened();
        drop(breaker.admit_secondary(false, later).expect("the pause is over"));
        assert_eq!(breaker.check_secondary(later), Ok(()), "one that was given up");
        let ahead = breaker.admit_secondary(false, later).expect("the pause is over");
        assert_eq!(ahead.report(Answered, later), Some(Change::Closed));
        for user in ["a", "b", "c", "d", "e"] {
            let permit = breaker.admit(user, OwnFailures::Ignored, later).expect("let through");
            permit.report(Err(DOWN), later);
        }
        assert_eq!(
            breaker.check_secondary(later),
            Err(Refusal::Open(2 * SECOND)),
            "the users' next pause is no shorter"
        );
        let breaker = opened();
        breaker.admit_secondary(false, later).expect("the pause is over").report(Unconnected, later);
        assert_eq!(breaker.check("x", OwnFailures::Count, later), Err(Refusal::Open(2 * SECOND)));
    }
}
