//! Two replicas, a sign-out and a lease that ends, in every order in which their questions can reach the tier.

use std::sync::Arc;
use std::time::Duration;

use futures_in_hand::now;
use sidemint::clock::{Clock, ManualClock, Moment};
use sidemint::shared::{
    End, Enter, Fence, LEASE, Land, Landed, LeaseToken, Model, Names, Outcome, SessionName, Tier as _, TierTime,
};

use crate::harness::clock;

/// Answers of the tier in memory are there at once.
mod futures_in_hand {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    pub fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("there is nothing to wait for"),
        }
    }
}

/// What takes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Actor {
    Replica(usize),
    SignOut,
    LeaseEnds,
}

/// Where a replica is.
#[derive(Clone, Debug)]
enum At {
    Outside,
    Mints(LeaseToken, Fence),
    Done,
}

struct World {
    clock: Arc<ManualClock>,
    model: Model,
    names: Names,
    name: SessionName,
    replicas: [At; 2],
    /// Fences of mints, and those of sessions that were taken over.
    minted: Vec<Fence>,
    mark: Fence,
    kept: Vec<Fence>,
    /// Who holds the lease, and until when.
    leased: Option<(usize, Moment)>,
}

impl World {
    fn new() -> Self {
        let clock = clock();
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let names = Names::new(&sidemint::secrets::Secret::new("01".repeat(32).into_bytes())).unwrap();
        let name = SessionName { user: names.user("", "ada"), question: names.question(b"q") };
        let replicas = [At::Outside, At::Outside];
        let (minted, kept) = (Vec::new(), Vec::new());
        Self { clock, model: Model::new(time), names, name, replicas, minted, mark: Fence::NONE, kept, leased: None }
    }

    fn enter(&self, lease: Option<LeaseToken>) -> Outcome {
        let (name, account) = (self.name.clone(), self.names.account(b"a"));
        let ask = Enter { name, account, lease, known: Fence::NONE, rate: None };
        now(self.model.enter(&ask)).unwrap().outcome
    }

    fn step(&mut self, actor: Actor) {
        match actor {
            Actor::SignOut => {
                let end = End {
                    user: self.name.user.clone(),
                    mark: None,
                    sessions: Vec::new(),
                    hold: Duration::from_secs(3600),
                };
                let mark = now(self.model.end(&end)).unwrap();
                assert!(mark > self.mark && self.minted.iter().all(|fence| *fence <= mark), "it ends all so far");
                self.mark = mark;
            }
            Actor::LeaseEnds => self.clock.advance(LEASE),
            Actor::Replica(number) => self.replicas[number] = self.replica(number),
        }
    }

    fn replica(&mut self, number: usize) -> At {
        match self.replicas[number].clone() {
            At::Outside => {
                let lease = LeaseToken::draw().unwrap();
                match self.enter(Some(lease.clone())) {
                    Outcome::Go(fence) => {
                        assert!(fence > self.mark && !self.minted.contains(&fence), "{fence}");
                        let moment = self.clock.moment();
                        assert!(self.leased.is_none_or(|(_, until)| until <= moment), "one mints at a time");
                        self.leased = Some((number, moment.plus(LEASE)));
                        self.minted.push(fence);
                        At::Mints(lease, fence)
                    }
                    Outcome::Hit { fence, .. } => {
                        assert!(fence > self.mark && self.kept.contains(&fence), "{fence}");
                        At::Done
                    }
                    Outcome::Busy(_) => At::Outside,
                    other => panic!("{other:?}"),
                }
            }
            At::Mints(lease, fence) => {
                let ends = TierTime::from_micros(u64::try_from(self.clock.now().as_millis()).unwrap() * 1000)
                    .plus(Duration::from_secs(600));
                let name = self.name.clone();
                let land = Land { name, lease, fence, value: fence.to_string().into_bytes(), ends, sent: None };
                let landed = now(self.model.land(&land)).unwrap();
                self.leased = self.leased.filter(|(holder, _)| *holder != number);
                let later = self.kept.iter().any(|own| *own > fence && *own > self.mark);
                let wanted = if fence <= self.mark {
                    Landed::SignedOut
                } else if later {
                    Landed::Older
                } else {
                    Landed::Kept
                };
                assert_eq!(landed, wanted);
                if landed == Landed::Kept {
                    self.kept.push(fence);
                }
                At::Done
            }
            At::Done => At::Done,
        }
    }
}

/// Calls `each` with every order of these steps.
fn orders(left: &mut Vec<(Actor, usize)>, so_far: &mut Vec<Actor>, each: &mut impl FnMut(&[Actor])) {
    if left.iter().all(|(_, count)| *count == 0) {
        return each(so_far);
    }
    for at in 0..left.len() {
        if left[at].1 > 0 {
            left[at].1 -= 1;
            so_far.push(left[at].0);
            orders(left, so_far, each);
            so_far.pop();
            left[at].1 += 1;
        }
    }
}

/// F-10: In every order, no session is handed out by the tier that a sign-out ended, and the latest one is kept.
#[test]
fn no_order_brings_back_what_a_sign_out_ended() {
    let mut steps = vec![(Actor::Replica(0), 3), (Actor::Replica(1), 3), (Actor::SignOut, 1), (Actor::LeaseEnds, 1)];
    let mut seen = 0;
    orders(&mut steps, &mut Vec::new(), &mut |order| {
        let mut world = World::new();
        for actor in order {
            world.step(*actor);
        }
        let best = world.kept.iter().filter(|fence| **fence > world.mark).max();
        match world.enter(None) {
            Outcome::Hit { fence, value } => {
                assert_eq!((Some(&fence), value), (best, fence.to_string().into_bytes()), "{order:?}");
            }
            Outcome::Nothing => assert_eq!(best, None, "{order:?}"),
            other => panic!("{other:?}"),
        }
        seen += 1;
    });
    assert_eq!(seen, 1120);
}
