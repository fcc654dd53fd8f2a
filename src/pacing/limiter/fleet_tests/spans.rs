//! Calls, losses and returns in any order.

use proptest::prelude::*;

use super::*;

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    Come {
        replica: usize,
        calls: usize,
    },
    Secondary {
        replica: usize,
        wait: u64,
    },
    Leave(usize),
    Wait(u64),
    Lose,
    /// The place is back; the processes notice so many milliseconds later.
    Return(Vec<u64>),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..6_usize, 1..20_usize).prop_map(|(replica, calls)| Event::Come { replica, calls }),
        2 => (0..6_usize, 0..300_u64).prop_map(|(replica, wait)| Event::Secondary { replica, wait }),
        1 => any::<usize>().prop_map(Event::Leave),
        6 => prop_oneof![0..20_u64, 0..200_u64, 0..1_000_u64].prop_map(Event::Wait),
        1 => Just(Event::Lose),
        1 => proptest::collection::vec(0..900_u64, 6).prop_map(Event::Return),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whoever calls, leaves and comes back, no span of the period holds more than the rate; twice as much where it
    /// holds the moment in which slots were lost.
    #[test]
    fn no_span_holds_more_than_the_rate_of_all(
        replicas in 1..6_u32,
        (count, burst) in (6..40_u32).prop_flat_map(|count| (Just(count), proptest::option::of(1..=count))),
        period in 60..900_u64,
        delay in 0..4_u64,
        events in proptest::collection::vec(event(), 1..60),
    ) {
        let mut crowd = Crowd::of(replicas, &format!("{count}/{period}ms"), burst, Duration::from_millis(700));
        *crowd.place.delay.lock() = Duration::from_millis(delay);
        let number = usize::try_from(replicas).expect("few");
        let mut lost: Vec<Moment> = Vec::new();
        // When each process will notice that slots are given out again.
        let mut notices: Vec<(usize, Moment)> = Vec::new();
        for event in events {
            match event {
                Event::Come { replica, calls } => crowd.come(replica % number, calls),
                Event::Secondary { replica, wait } => {
                    crowd.come_secondary(replica % number, Duration::from_millis(wait));
                }
                Event::Leave(who) if !crowd.pending.is_empty() => {
                    let who = who % crowd.pending.len();
                    drop(crowd.pending.remove(who));
                    crowd.settle();
                }
                Event::Leave(_) => {}
                Event::Lose => {
                    if crowd.place.answers.load(Ordering::Relaxed) {
                        lost.push(crowd.now());
                    }
                    crowd.lose();
                    notices.clear();
                }
                Event::Return(times) => if !crowd.place.answers.load(Ordering::Relaxed) {
                    crowd.come_back();
                    let now = crowd.now();
                    notices = times.iter().map(|late| now.plus(Duration::from_millis(*late))).enumerate().collect();
                    notices.truncate(number);
                },
                Event::Wait(span) => for _ in 0..span {
                    crowd.run(TICK, TICK);
                    let now = crowd.now();
                    notices.retain(|(replica, at)| {
                        let due = *at <= now;
                        if due {
                            crowd.sees(*replica);
                        }
                        !due
                    });
                },
            }
        }
        crowd.run(Duration::from_millis(800), TICK);
        prop_assert!(crowd.pending.is_empty(), "no call waits longer than told");
        let period = Duration::from_millis(period);
        let count = usize::try_from(count).expect("small");
        // A slot that was taken just before is used within twice the time limit.
        let holds_loss = |begin: Moment| lost.iter().any(|at| begin <= at.plus(2 * LIMIT) && *at < begin.plus(period));
        let steady = crowd.most(period, |begin| !holds_loss(begin));
        prop_assert!(steady <= count, "{steady} of {count}");
        let all = crowd.most(period, |_| true);
        prop_assert!(all <= 2 * count, "{all} of {count}, as they were lost");
    }
}
