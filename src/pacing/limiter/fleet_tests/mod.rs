//! Many limiters that share a rate, on a clock that is moved by hand.

mod spans;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::*;
use crate::clock::{ManualClock, Timestamp};

const FAR: Moment = Moment::from_millis(i64::MAX);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const LIMIT: Duration = Duration::from_millis(5);

/// Where slots are taken: the algorithm as a server runs it, by a clock of its own.
#[derive(Debug)]
struct Place {
    manual: Arc<ManualClock>,
    /// When the next slot would be due if all were evenly spaced, in microseconds.
    due: Mutex<i64>,
    paused: Mutex<Option<Moment>>,
    answers: AtomicBool,
    asked: AtomicU64,
    /// How long a question is on its way.
    delay: Mutex<Duration>,
    /// Answers of a server that was tampered with.
    hostile: Mutex<Option<SlotAnswer>>,
}

impl Place {
    fn new() -> Arc<Self> {
        let manual = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_123)));
        Arc::new(Self {
            manual,
            due: Mutex::new(0),
            paused: Mutex::default(),
            answers: AtomicBool::new(true),
            asked: AtomicU64::new(0),
            delay: Mutex::default(),
            hostile: Mutex::default(),
        })
    }

    fn give(&self, order: SlotOrder) -> Option<SlotAnswer> {
        if !self.answers.load(Ordering::Relaxed) {
            return None;
        }
        let hostile = *self.hostile.lock();
        if hostile.is_some() {
            return hostile;
        }
        let moment = self.manual.moment();
        if !order.pause.is_zero() {
            *self.paused.lock() = Some(moment.plus(order.pause));
        }
        let rest = self.paused.lock().map(|until| until.since(moment));
        if let Some(rest) = rest.filter(|rest| !rest.is_zero()) {
            return Some(SlotAnswer { taken: 0, next: Duration::ZERO, pause: Some(rest) });
        }
        let [interval, tolerance, period] =
            [order.interval, order.tolerance, order.period].map(|micros| i64::try_from(micros).expect("small"));
        let now = moment.as_millis() * 1000 + 977;
        let mut due = self.due.lock();
        *due = (*due).clamp(now, now + 2 * period);
        let free = if *due > now + tolerance { 0 } else { (now + tolerance - *due) / interval + 1 };
        let taken = free.min(i64::from(order.wanted));
        *due += taken * interval;
        let next = u64::try_from(*due - tolerance - now).unwrap_or(0);
        Some(SlotAnswer { taken: u32::try_from(taken).expect("few"), next: Duration::from_micros(next), pause: None })
    }
}

/// The place as one process sees it.
#[derive(Debug)]
struct Seen {
    place: Arc<Place>,
    standing: Mutex<Standing>,
}

impl FleetPace for Seen {
    fn standing(&self) -> Standing {
        *self.standing.lock()
    }

    fn take(&self, order: SlotOrder) -> Taking {
        self.place.asked.fetch_add(1, Ordering::Relaxed);
        let slots = self.place.give(order);
        if slots.is_none() {
            self.standing.lock().since = None;
        }
        let back = self.place.manual.moment().plus(*self.place.delay.lock());
        let manual = Arc::clone(&self.place.manual);
        Box::pin(async move {
            manual.sleep_until(back).await;
            slots
        })
    }

    fn time_limit(&self) -> Duration {
        LIMIT
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Pass = Pin<Box<dyn Future<Output = Result<(), Duration>>>>;

struct Call {
    replica: usize,
    pass: Pass,
    woken: Arc<Woken>,
}

struct Crowd {
    place: Arc<Place>,
    seen: Vec<Arc<Seen>>,
    limiters: Vec<Arc<Limiter>>,
    pending: Vec<Call>,
    /// Which process made a call, and when.
    passed: Vec<(usize, Moment)>,
    refused: Vec<Duration>,
}

impl Crowd {
    /// So many processes, and slots have been given out for long.
    fn of(replicas: u32, rate: &str, burst: Option<u32>, longest_wait: Duration) -> Self {
        let place = Place::new();
        let standing = Standing { replicas, since: Some(Moment::from_millis(i64::MIN)) };
        let see = |_| Arc::new(Seen { place: Arc::clone(&place), standing: Mutex::new(standing) });
        let seen: Vec<_> = (0..replicas).map(see).collect();
        let limiter = |seen: &Arc<Seen>| {
            let pace: Arc<dyn FleetPace> = Arc::<Seen>::clone(seen);
            let limiter = Limiter::new(rate.parse().expect("a rate"), burst, 1000, longest_wait);
            limiter.share(pace);
            Arc::new(limiter)
        };
        let limiters = seen.iter().map(limiter).collect();
        Self { place, seen, limiters, pending: Vec::new(), passed: Vec::new(), refused: Vec::new() }
    }

    fn now(&self) -> Moment {
        self.place.manual.moment()
    }

    fn come(&mut self, replica: usize, calls: usize) {
        let limiter = Arc::clone(&self.limiters[replica]);
        for _ in 0..calls {
            let (limiter, clock) = (Arc::clone(&limiter), self.clock());
            self.add(replica, Box::pin(async move { limiter.pass(&clock, FAR).await }));
        }
        self.settle();
    }

    fn come_secondary(&mut self, replica: usize, wait: Duration) {
        let (limiter, clock, until) = (Arc::clone(&self.limiters[replica]), self.clock(), self.now().plus(wait));
        self.add(replica, Box::pin(async move { limiter.pass_secondary(&clock, until).await }));
        self.settle();
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::<ManualClock>::clone(&self.place.manual)
    }

    fn add(&mut self, replica: usize, pass: Pass) {
        self.pending.push(Call { replica, pass, woken: Arc::new(Woken(AtomicBool::new(true))) });
    }

    fn settle(&mut self) {
        let now = self.now();
        let mut moved = true;
        while std::mem::take(&mut moved) {
            let (passed, refused) = (&mut self.passed, &mut self.refused);
            self.pending.retain_mut(|call| {
                if !call.woken.0.swap(false, Ordering::Relaxed) {
                    return true;
                }
                moved = true;
                let waker = Waker::from(Arc::clone(&call.woken));
                match call.pass.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Pending => return true,
                    Poll::Ready(Ok(())) => passed.push((call.replica, now)),
                    Poll::Ready(Err(wait)) => refused.push(wait),
                }
                false
            });
        }
    }

    fn run(&mut self, span: Duration, step: Duration) {
        for _ in 0..span.as_millis() / step.as_millis() {
            self.place.manual.advance(step);
            self.settle();
        }
    }

    /// No answers any more; the processes notice when they ask.
    fn lose(&self) {
        self.place.answers.store(false, Ordering::Relaxed);
    }

    /// Nothing is known of what was taken before.
    fn come_back(&self) {
        *self.place.due.lock() = 0;
        self.place.answers.store(true, Ordering::Relaxed);
        self.seen.iter().for_each(|seen| seen.standing.lock().since = None);
    }

    fn sees(&self, replica: usize) {
        self.seen[replica].standing.lock().since = Some(self.now());
    }

    /// Most calls in any span of `period` that begins in the times that `from` allows.
    fn most(&self, period: Duration, from: impl Fn(Moment) -> bool) -> usize {
        let times: Vec<Moment> = self.passed.iter().map(|(_, at)| *at).collect();
        let held = |(n, begin): (usize, &Moment)| times[n..].iter().take_while(|at| **at < begin.plus(period)).count();
        times.iter().enumerate().filter(|(_, begin)| from(**begin)).map(held).max().unwrap_or(0)
    }

    fn of_replica(&self, replica: usize) -> usize {
        self.passed.iter().filter(|(own, _)| *own == replica).count()
    }
}

#[test]
fn ten_replicas_use_one_budget_and_never_more_than_that() {
    let mut crowd = Crowd::of(10, "90/min", None, Duration::from_hours(1));
    for replica in 0..10 {
        crowd.come(replica, 200);
    }
    crowd.run(3 * MINUTE, LIMIT);
    assert!(crowd.most(MINUTE, |_| true) <= 90);
    let used = crowd.passed.len();
    assert!((257..=270).contains(&used), "{used} of 270");
    let asked = crowd.place.asked.load(Ordering::Relaxed);
    assert!(asked <= 12 * u64::try_from(used).expect("few"), "{asked} questions");
    assert!((0..10).all(|replica| crowd.of_replica(replica) > 0), "all take part");
}

#[test]
fn what_the_others_leave_is_for_whoever_asks() {
    let mut crowd = Crowd::of(10, "90/min", None, Duration::from_hours(1));
    crowd.come(3, 300);
    crowd.run(2 * MINUTE, LIMIT);
    assert!((171..=180).contains(&crowd.passed.len()), "{}", crowd.passed.len());
}

#[test]
fn a_line_asks_for_as_many_as_wait() {
    let mut crowd = Crowd::of(2, "1000/s", Some(100), Duration::from_hours(1));
    *crowd.place.delay.lock() = TICK;
    crowd.come(0, 1);
    crowd.come(0, 33);
    crowd.run(10 * TICK, TICK);
    assert_eq!(crowd.passed.len(), 34);
    assert_eq!(crowd.place.asked.load(Ordering::Relaxed), 4, "one that was alone, twice sixteen, and the last");
}

#[test]
fn without_answers_each_has_its_share() {
    let mut crowd = Crowd::of(10, "90/min", None, Duration::from_hours(1));
    crowd.lose();
    for replica in 0..9 {
        crowd.come(replica, 100);
    }
    crowd.run(3 * MINUTE, LIMIT);
    assert!(crowd.most(MINUTE, |_| true) <= 81, "nine of ten call");
    for replica in 0..9 {
        assert!((27..=28).contains(&crowd.of_replica(replica)), "{}", crowd.of_replica(replica));
    }
    assert_eq!(crowd.place.asked.load(Ordering::Relaxed), 9, "once each, and then none");
}

/// F-08: what a tampered server says costs one period at most, and gives no more than was asked for.
#[test]
fn a_hostile_answer_is_bounded() {
    let mut crowd = Crowd::of(4, "60/min", Some(1), Duration::from_hours(1));
    let far = Duration::from_hours(24 * 365);
    *crowd.place.hostile.lock() = Some(SlotAnswer { taken: 0, next: far, pause: None });
    crowd.come(0, 1);
    *crowd.place.hostile.lock() = Some(SlotAnswer { taken: 0, next: Duration::ZERO, pause: Some(far) });
    crowd.come(1, 1);
    *crowd.place.hostile.lock() = None;
    crowd.run(MINUTE + 2 * SECOND, LIMIT);
    assert_eq!(crowd.passed.len(), 2);
    *crowd.place.hostile.lock() = Some(SlotAnswer { taken: u32::MAX, next: Duration::ZERO, pause: None });
    *crowd.place.delay.lock() = TICK;
    crowd.come(2, 1);
    crowd.come(2, 2);
    *crowd.place.hostile.lock() = Some(SlotAnswer { taken: 0, next: SECOND, pause: None });
    crowd.run(5 * TICK, TICK);
    assert_eq!(crowd.of_replica(2), 1, "one was asked for");
}

#[test]
fn a_pause_holds_for_all_of_them() {
    let mut crowd = Crowd::of(3, "600/min", None, 2 * SECOND);
    let mut told = Box::pin(crowd.limiters[0].pause_fleet(10 * SECOND));
    assert!(told.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    drop(told);
    crowd.come(1, 1);
    assert!(crowd.passed.is_empty());
    assert!((10..=11).contains(&crowd.refused[0].as_secs()), "{:?}", crowd.refused);
    crowd.run(9 * SECOND, LIMIT);
    crowd.come(2, 1);
    assert_eq!(crowd.passed.len(), 0);
    crowd.run(2 * SECOND, LIMIT);
    assert_eq!(crowd.passed.len(), 1);
}

#[test]
fn a_caller_who_leaves_takes_no_slot_along() {
    let mut crowd = Crowd::of(2, "60/min", Some(2), Duration::from_hours(1));
    *crowd.place.delay.lock() = 2 * TICK;
    crowd.come(0, 3);
    crowd.pending.remove(0);
    crowd.run(10 * TICK, TICK);
    assert_eq!(crowd.passed.len(), 2, "what was asked for the first is there for the second");
    crowd.run(2 * SECOND, TICK);
    crowd.come(0, 1);
    crowd.pending.clear();
    crowd.run(4 * SECOND, TICK);
    crowd.come(0, 1);
    assert_eq!(crowd.passed.len(), 2, "an answer that is old is no slot");
}

#[test]
fn a_slot_that_was_not_used_is_lost() {
    let mut crowd = Crowd::of(2, "60/min", Some(2), Duration::from_hours(1));
    *crowd.place.delay.lock() = 2 * TICK;
    crowd.come(0, 2);
    crowd.pending.truncate(1);
    crowd.run(2 * TICK, TICK);
    assert_eq!(crowd.passed.len(), 1, "the other one left");
    crowd.run(SECOND, TICK);
    crowd.come(0, 1);
    assert_eq!((crowd.passed.len(), crowd.place.asked.load(Ordering::Relaxed)), (1, 2), "it asks for its own");
}

#[test]
fn a_call_waits_for_an_answer_no_longer_than_the_limit() {
    let mut crowd = Crowd::of(2, "60/min", Some(20), Duration::from_hours(1));
    crowd.lose();
    *crowd.place.delay.lock() = LIMIT;
    crowd.come(0, 1);
    crowd.run(LIMIT, TICK);
    assert_eq!(crowd.passed.len(), 1);
    crowd.come(0, 1);
    assert_eq!(crowd.passed.len(), 2, "it is known not to answer");
}

/// G-23: calls of applications leave a quarter of the burst, and give way.
#[test]
fn what_gives_way_leaves_a_quarter_of_the_shared_burst() {
    let mut crowd = Crowd::of(2, "60/min", Some(8), Duration::from_hours(1));
    for replica in [0, 1] {
        (0..10).for_each(|_| crowd.come_secondary(replica, Duration::ZERO));
    }
    assert_eq!(crowd.passed.len(), 6);
    crowd.come(0, 3);
    assert_eq!(crowd.passed.len(), 8, "what was left is for the others");
    crowd.come_secondary(0, MINUTE);
    crowd.come_secondary(1, MINUTE);
    crowd.run(3 * SECOND, LIMIT);
    assert_eq!(crowd.passed.len(), 9);
    crowd.run(10 * SECOND, LIMIT);
    assert_eq!((crowd.passed.len(), crowd.pending.len()), (11, 0));
}
