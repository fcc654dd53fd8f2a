//! A limiter on a clock that is moved by hand.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;
use crate::clock::{ManualClock, Timestamp};

const FAR: Moment = Moment::from_millis(i64::MAX);
const SECOND: Duration = Duration::from_secs(1);

type Pass = Pin<Box<dyn Future<Output = Result<(), Duration>>>>;

/// Calls on a clock that stands still; they are polled by hand, so nothing depends on a scheduler.
struct Calls {
    limiter: Arc<Limiter>,
    manual: Arc<ManualClock>,
    pending: Vec<(usize, Pass)>,
    came: usize,
    /// Who passed when.
    passed: Vec<(usize, Moment)>,
    refused: Vec<Duration>,
}

impl Calls {
    fn of(rate: &str, burst: Option<u32>, queue: usize, longest_wait: Duration) -> Self {
        Self {
            limiter: Arc::new(Limiter::new(rate.parse().expect("a rate"), burst, queue, longest_wait)),
            manual: Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_123))),
            pending: Vec::new(),
            came: 0,
            passed: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn come(&mut self, deadline: Moment) {
        let limiter = Arc::clone(&self.limiter);
        let manual = Arc::clone(&self.manual);
        let clock: Arc<dyn Clock> = manual;
        self.pending.push((self.came, Box::pin(async move { limiter.pass(&clock, deadline).await })));
        self.came += 1;
        self.settle();
    }

    fn settle(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let now = self.manual.moment();
        let mut moved = true;
        while std::mem::take(&mut moved) {
            let (passed, refused) = (&mut self.passed, &mut self.refused);
            self.pending.retain_mut(|(number, pass)| match pass.as_mut().poll(&mut context) {
                Poll::Pending => true,
                Poll::Ready(outcome) => {
                    moved = true;
                    match outcome {
                        Ok(()) => passed.push((*number, now)),
                        Err(wait) => refused.push(wait),
                    }
                    false
                }
            });
        }
    }

    fn advance(&mut self, span: Duration) {
        self.manual.advance(span);
        self.settle();
    }

    /// Moves on in steps so small that no call is late.
    fn run(&mut self, span: Duration) {
        for _ in 0..span.as_millis() {
            self.advance(TICK);
        }
    }

    /// Milliseconds from the first pass.
    fn times(&self) -> Vec<u128> {
        let first = self.passed[0].1;
        self.passed.iter().map(|(_, at)| at.since(first).as_millis()).collect()
    }
}

#[test]
fn a_burst_passes_and_the_rest_follows_evenly() {
    let mut calls = Calls::of("10/s", Some(3), 100, SECOND);
    (0..8).for_each(|_| calls.come(FAR));
    calls.run(SECOND);
    // Eight slots a second come free, and three are there at once: ten in any second.
    assert_eq!(calls.times(), [0, 0, 0, 125, 250, 375, 500, 625]);
    assert_eq!(calls.passed.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn parts_of_a_millisecond_do_not_add_up() {
    let mut calls = Calls::of("4/s", Some(2), 100, Duration::from_mins(1));
    (0..9).for_each(|_| calls.come(FAR));
    calls.run(Duration::from_secs(4));
    assert_eq!(calls.times(), [0, 0, 334, 667, 1000, 1334, 1667, 2000, 2334]);
}

#[test]
fn who_cannot_pass_in_time_is_refused_with_advice() {
    let mut calls = Calls::of("1/s", None, 2, Duration::from_millis(1500));
    (0..3).for_each(|_| calls.come(FAR));
    // The second waits for one second; the third would have to for two.
    assert_eq!((calls.passed.len(), calls.pending.len()), (1, 1));
    assert_eq!(calls.refused, [Duration::from_secs(2)]);
    calls.run(Duration::from_millis(600));
    calls.come(FAR);
    calls.come(FAR);
    assert_eq!(calls.refused[1..], [Duration::from_millis(2400)], "two wait, and no more may");
    calls.run(Duration::from_millis(1400));
    assert_eq!(calls.times(), [0, 1000, 2000]);
    calls.come(calls.manual.moment().plus(SECOND));
    assert_eq!(calls.refused[2..], [SECOND], "the slot is at the deadline, when no call is sent");
    calls.come(calls.manual.moment().plus(Duration::from_millis(1001)));
    assert_eq!(calls.pending.len(), 1);
}

#[test]
fn without_a_queue_no_call_waits() {
    let mut calls = Calls::of("10/s", Some(2), 0, SECOND);
    (0..3).for_each(|_| calls.come(FAR));
    assert_eq!((calls.passed.len(), calls.pending.len()), (2, 0));
    assert_eq!(calls.refused, [Duration::from_millis(112)], "nine a second, rounded up");
    calls.advance(Duration::from_millis(112));
    calls.come(FAR);
    assert_eq!(calls.passed.len(), 3);
}

#[test]
fn a_caller_who_leaves_costs_no_other_anything() {
    let mut calls = Calls::of("1/s", None, 10, Duration::from_mins(1));
    (0..4).for_each(|_| calls.come(FAR));
    // The head of the line and one behind it leave.
    calls.pending.drain(..2);
    calls.run(SECOND);
    assert_eq!(calls.passed.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 3]);
    assert_eq!(calls.limiter.state.lock().waiting, 0);
}

#[test]
fn a_clock_that_jumps_lets_no_crowd_through() {
    let mut calls = Calls::of("2/s", Some(1), 10, Duration::from_mins(1));
    (0..5).for_each(|_| calls.come(FAR));
    calls.advance(Duration::from_secs(30));
    assert_eq!(calls.times(), [0, 30_000], "one slot, however late");
    calls.advance(Duration::from_mins(1));
    assert_eq!((calls.passed.len(), calls.pending.len(), calls.refused.len()), (3, 0, 2));
}

/// T-65: neither does it stand still, nor do all pass at once.
#[test]
fn a_wall_clock_that_is_set_changes_nothing() {
    let mut calls = Calls::of("2/s", Some(1), 10, Duration::from_mins(1));
    (0..3).for_each(|_| calls.come(FAR));
    for seconds in [1_000_000, 2_000_000_000] {
        calls.manual.set_wall(Timestamp::from_seconds(seconds));
        calls.settle();
        calls.run(Duration::from_millis(500));
    }
    assert_eq!(calls.times(), [0, 500, 1000]);
}

#[test]
fn those_who_wait_and_those_who_may_not_are_counted() {
    let refused = Counter::new("refused", "refused").expect("a counter");
    let mut calls = Calls::of("1/s", None, 1, SECOND);
    let limiter = Limiter::new("1/s".parse().expect("a rate"), None, 1, SECOND);
    calls.limiter = Arc::new(limiter.counted(refused.clone()));
    (0..4).for_each(|_| calls.come(FAR));
    assert_eq!((calls.limiter.waiting(), refused.get()), (1, 2));
    calls.advance(SECOND);
    assert_eq!((calls.limiter.waiting(), refused.get(), calls.passed.len()), (0, 2, 2));
}

/// Calls of both kinds on one clock.
struct Both {
    calls: Calls,
    secondary: Vec<(Moment, Pass)>,
    /// When they passed, and how many were refused.
    secondary_passed: Vec<Moment>,
    secondary_refused: usize,
}

impl Both {
    fn of(rate: &str, burst: Option<u32>) -> Self {
        let calls = Calls::of(rate, burst, 1000, Duration::from_hours(1));
        Self { calls, secondary: Vec::new(), secondary_passed: Vec::new(), secondary_refused: 0 }
    }

    fn secondary(&mut self, wait: Duration) {
        let (limiter, manual) = (Arc::clone(&self.calls.limiter), Arc::clone(&self.calls.manual));
        let until = manual.moment().plus(wait);
        let clock: Arc<dyn Clock> = manual;
        self.secondary.push((until, Box::pin(async move { limiter.pass_secondary(&clock, until).await })));
        self.settle();
    }

    fn settle(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let now = self.calls.manual.moment();
        // Whichever wakes first.
        for _ in 0..2 {
            let (passed, refused) = (&mut self.secondary_passed, &mut self.secondary_refused);
            self.secondary.retain_mut(|(_, pass)| match pass.as_mut().poll(&mut context) {
                Poll::Pending => true,
                Poll::Ready(Ok(())) => {
                    passed.push(now);
                    false
                }
                Poll::Ready(Err(_)) => {
                    *refused += 1;
                    false
                }
            });
            self.calls.settle();
        }
    }

    fn run(&mut self, span: Duration) {
        for _ in 0..span.as_millis() {
            self.calls.manual.advance(TICK);
            self.settle();
        }
    }
}

#[test]
fn what_gives_way_leaves_a_quarter_of_the_burst() {
    let mut both = Both::of("60/min", Some(8));
    (0..20).for_each(|_| both.secondary(Duration::ZERO));
    assert_eq!((both.secondary_passed.len(), both.secondary_refused), (6, 14));
    both.calls.come(FAR);
    both.calls.come(FAR);
    assert_eq!(both.calls.passed.len(), 2, "what was left is for the others");
    both.calls.come(FAR);
    both.secondary(Duration::from_mins(1));
    both.run(Duration::from_secs(2));
    assert_eq!((both.calls.passed.len(), both.secondary_passed.len()), (3, 6), "the others first");
    both.run(Duration::from_secs(20));
    assert_eq!((both.secondary_passed.len(), both.secondary.len()), (7, 0));
}

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    Come { calls: usize, patience: u64 },
    Leave(usize),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (1..6_usize, 0..1_500_u64).prop_map(|(calls, patience)| Event::Come { calls, patience }),
        1 => any::<usize>().prop_map(Event::Leave),
        4 => prop_oneof![0..20_u64, 0..200_u64, 0..2_000_u64].prop_map(Event::Wait),
    ]
}

proptest! {
    #[test]
    fn no_span_of_the_period_holds_more_than_the_rate(
        (count, burst) in (1..12_u32).prop_flat_map(|count| (Just(count), proptest::option::of(0..14_u32))),
        period in 1..800_u64,
        queue in 0..12_usize,
        longest_wait in 0..1_000_u64,
        events in proptest::collection::vec(event(), 1..80),
    ) {
        let longest_wait = Duration::from_millis(longest_wait);
        let mut calls = Calls::of(&format!("{count}/{period}ms"), burst, queue, longest_wait);
        for event in events {
            match event {
                Event::Come { calls: number, patience } => for _ in 0..number {
                    let now = calls.manual.moment();
                    let (known, idle) = (calls.refused.len(), calls.pending.is_empty());
                    calls.come(now.plus(Duration::from_millis(patience)));
                    if let Some(wait) = calls.refused.get(known).filter(|_| idle) {
                        // Advice is exact where no other call comes.
                        let state = calls.limiter.state.lock();
                        prop_assert_eq!(calls.limiter.slot(Kind::Ordinary, &state, now, 0), now.plus(*wait));
                    }
                },
                Event::Leave(who) if !calls.pending.is_empty() => {
                    let who = who % calls.pending.len();
                    drop(calls.pending.remove(who));
                    calls.settle();
                }
                Event::Leave(_) => {}
                Event::Wait(span) => calls.advance(Duration::from_millis(span)),
            }
            prop_assert!(calls.pending.len() <= queue);
            prop_assert_eq!(calls.limiter.state.lock().waiting, calls.pending.len());
        }
        calls.run(longest_wait + TICK);
        prop_assert!(calls.pending.is_empty(), "no call waits longer than told");
        prop_assert!(calls.passed.is_sorted(), "in the order they came");
        for (index, (_, from)) in calls.passed.iter().enumerate() {
            let end = from.plus(Duration::from_millis(period));
            let held = calls.passed[index..].iter().take_while(|(_, at)| *at < end).count();
            prop_assert!(held <= usize::try_from(count).expect("small"), "{held} of {count}");
        }
    }

    /// G-23: however many calls give way, a call that comes when `k` others wait passes within `k + 1` slots; and the
    /// rate holds for all of them.
    #[test]
    fn what_gives_way_costs_the_others_one_slot(
        (count, burst) in (1..12_u32).prop_flat_map(|count| (Just(count), proptest::option::of(1..=count))),
        period in 20..300_u32,
        events in proptest::collection::vec((0..4_usize, 0..12_usize, 0..200_u64, 1..60_u64), 1..25),
    ) {
        let mut both = Both::of(&format!("{count}/{period}ms"), burst);
        let burst = burst.unwrap_or_else(|| count.div_ceil(10)).clamp(1, count);
        let slot = u64::from(period.div_ceil(count - burst + 1));
        let mut latest = Vec::new();
        for (calls, secondary, wait, span) in events {
            for _ in 0..secondary {
                both.secondary(Duration::from_millis(wait));
            }
            for _ in 0..calls {
                let waiting = u64::try_from(both.calls.pending.len()).expect("few");
                latest.push(both.calls.manual.moment().plus(Duration::from_millis((waiting + 1) * slot)));
                both.calls.come(FAR);
            }
            both.run(Duration::from_millis(span));
        }
        both.run(Duration::from_millis(slot * u64::try_from(latest.len() + 1).expect("few")));
        prop_assert!(both.calls.pending.is_empty());
        for (number, at) in &both.calls.passed {
            prop_assert!(*at <= latest[*number], "call {number} at {at:?}, and {:?} at the latest", latest[*number]);
        }
        let mut all: Vec<Moment> = both.calls.passed.iter().map(|(_, at)| *at).collect();
        all.extend(&both.secondary_passed);
        all.sort();
        for (index, from) in all.iter().enumerate() {
            let end = from.plus(Duration::from_millis(u64::from(period)));
            let held = all[index..].iter().take_while(|at| **at < end).count();
            prop_assert!(held <= usize::try_from(count).expect("small"), "{held} of {count}");
        }
    }

    #[test]
    fn a_crowd_gets_all_that_the_rate_allows(count in 1..40_u32, burst in 2..40_u32, period in 40..200_u32) {
        let burst = burst.min(count);
        let text = format!("{count}/{period}ms");
        let mut calls = Calls::of(&text, Some(burst), 1_000, Duration::from_mins(1));
        (0..100).for_each(|_| calls.come(FAR));
        calls.run(Duration::from_millis(2 * u64::from(period)));
        // With a burst of one, each call is rounded up to the clock's next millisecond and the next counts from it.
        let refilled = if burst > 1 { 2 * (count - burst + 1) } else { 2 * period / (period.div_ceil(count)) };
        let expected = usize::try_from((burst + refilled).min(100)).expect("small");
        prop_assert_eq!(calls.passed.len(), expected);
    }
}
