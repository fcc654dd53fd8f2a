//! What is due, in memory: one event at a time per order key, in the order of acceptance. Pure: time comes as a parameter,
//! and nothing here waits, reads or writes.
//!
//! An event is *listed* when it may be taken as soon as its time has come: every event without an order key, and of each
//! order key the first that waits, the head. A head that failed holds its key for [`PATIENCE`] at most; then it is *passed*:
//! it stays listed, and the next event is the head. While an event of a key is taken, none of that key is listed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::Seq;
use crate::clock::{Moment, Timestamp};
use crate::webhook::event::OrderKey;

/// How long an order key waits for a head that fails, counted from its first attempt that failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// An event that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) order: Option<OrderKey>,
    pub(super) received: Timestamp,
    /// When it may be tried.
    pub(super) due: Moment,
    /// Attempts that are used up.
    pub(super) attempts: u32,
    /// When the first attempt that failed began.
    pub(super) held: Option<Moment>,
}

/// What waits at one webhook. Every operation takes logarithmic time, and as much again for each event of the same order
/// key that was passed; those are at most as many as spans of [`PATIENCE`] fit into the life of an event.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    events: BTreeMap<Seq, Event>,
    /// Every event that has an order key, taken ones as well.
    lines: BTreeSet<(OrderKey, Seq)>,
    /// Those that may be taken when their time has come.
    listed: BTreeSet<(Moment, Seq)>,
    taken: HashMap<Seq, Moment>,
    /// Order keys of which an event is taken.
    busy: BTreeSet<OrderKey>,
    /// Events that hold their order key, by the time at which they are passed.
    holding: BTreeSet<(Moment, Seq)>,
    /// When the first attempt that failed began, of events that have an order key.
    held: BTreeMap<Seq, Moment>,
}

/// What is known of each event; kept small, since there may be 100 000.
#[derive(Debug)]
struct Event {
    due: Moment,
    received: Timestamp,
    order: Option<OrderKey>,
    attempts: u32,
    is_listed: bool,
}

impl Schedule {
    /// Adds an event. One that is there already stays as it is.
    pub(super) fn add(&mut self, seq: Seq, waiting: Waiting) {
        if self.events.contains_key(&seq) {
            return;
        }
        let Waiting { order, received, due, attempts, held } = waiting;
        self.events.insert(seq, Event { due, received, order, attempts, is_listed: false });
        if let Some(key) = order {
            self.lines.insert((key, seq));
            if let Some(held) = held {
                self.held.insert(seq, held);
                self.holding.insert((held.plus(PATIENCE), seq));
            }
        }
        self.settle_listing(seq, order);
    }

    /// Takes at most `most` events that are due: those that have been due for the longest first, and within an order key in
    /// the order of acceptance. Each comes with its attempts so far.
    pub(super) fn take(&mut self, now: Moment, most: usize) -> Vec<(Seq, u32)> {
        self.pass(now);
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some((due, seq)) = self.listed.first().copied()
            && due <= now
        {
            let Some(order) = self.events.get(&seq).map(|event| event.order) else { break };
            // A passed event that is due again goes before the events that passed it.
            let seq = order.and_then(|key| self.first_due(key, now)).unwrap_or(seq);
            self.taken.insert(seq, now);
            if let Some(key) = order {
                self.busy.insert(key);
            }
            self.settle_listing(seq, order);
            taken.push((seq, self.events.get(&seq).map_or(0, |event| event.attempts)));
        }
        taken
    }

    /// Events that [`Schedule::take`] hands out next, more or less: worth reading ahead.
    pub(super) fn ahead(&self, now: Moment, most: usize) -> impl Iterator<Item = Seq> {
        self.listed.iter().take_while(move |(due, _)| *due <= now).take(most).map(|(_, seq)| *seq)
    }

    /// When [`Schedule::take`] could hand out an event; `None` means not before something changes.
    pub(super) fn next(&self) -> Option<Moment> {
        let (listed, holding) = (self.listed.first(), self.holding.first());
        [listed, holding].into_iter().flatten().map(|(moment, _)| *moment).min()
    }

    /// An event is done with, or was put aside. Tells whether it was there.
    pub(super) fn remove(&mut self, seq: Seq) -> bool {
        let Some(event) = self.events.get(&seq) else { return false };
        let order = event.order;
        self.unlist(seq);
        self.release(seq, order);
        self.events.remove(&seq);
        self.forget_hold(seq);
        if let Some(key) = order {
            self.lines.remove(&(key, seq));
            self.relist(key);
        }
        true
    }

    /// A taken event comes again at `due`, and has used up an attempt. Tells when its first attempt that failed began, and
    /// how many attempts it has used; `None` where it is not there any more.
    pub(super) fn again(&mut self, seq: Seq, due: Moment) -> Option<u32> {
        let begun = *self.taken.get(&seq)?;
        let event = self.events.get_mut(&seq)?;
        event.due = due;
        event.attempts = event.attempts.saturating_add(1);
        let (attempts, order) = (event.attempts, event.order);
        if order.is_some() && !self.held.contains_key(&seq) {
            self.held.insert(seq, begun);
            self.holding.insert((begun.plus(PATIENCE), seq));
        }
        self.release(seq, order);
        self.settle_listing(seq, order);
        Some(attempts)
    }

    /// A taken event comes again at `due`, or at the time at which it was due; no attempt is used up.
    pub(super) fn give_back(&mut self, seq: Seq, due: Option<Moment>) {
        if self.taken.contains_key(&seq)
            && let Some(event) = self.events.get_mut(&seq)
        {
            event.due = due.unwrap_or(event.due);
            let order = event.order;
            self.release(seq, order);
            self.settle_listing(seq, order);
        }
    }

    /// Everything that waits for its time is due now. The order stays.
    pub(super) fn hurry(&mut self, now: Moment) {
        let late = |(seq, event): (&Seq, &Event)| (event.due > now).then_some((*seq, event.order));
        let late: Vec<(Seq, Option<OrderKey>)> = self.events.iter().filter_map(late).collect();
        for (seq, order) in late {
            self.unlist(seq);
            if let Some(event) = self.events.get_mut(&seq) {
                event.due = now;
            }
            self.settle_listing(seq, order);
        }
    }

    /// Since when an event holds its order key, or did so.
    pub(super) fn held(&self, seq: Seq) -> Option<Moment> {
        self.held.get(&seq).copied()
    }

    /// Whether an event is there, taken or not.
    pub(super) fn contains(&self, seq: Seq) -> bool {
        self.events.contains_key(&seq)
    }

    /// Whether an event is taken.
    pub(super) fn is_taken(&self, seq: Seq) -> bool {
        self.taken.contains_key(&seq)
    }

    /// How many wait, taken ones as well.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// When the event that was accepted first was received.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.events.first_key_value().map(|(_, event)| event.received)
    }

    /// From now on the others do not wait for events that held their order key for long enough.
    fn pass(&mut self, now: Moment) {
        while let Some((_, seq)) = self.holding.first().copied().filter(|(until, _)| *until <= now) {
            self.holding.pop_first();
            if let Some(Some(key)) = self.events.get(&seq).map(|event| event.order) {
                self.relist(key);
            }
        }
    }

    /// Whether the others of its order key do not wait for an event.
    fn is_passed(&self, seq: Seq) -> bool {
        // W-20: patience with a head
        self.held.get(&seq).is_some_and(|held| !self.holding.contains(&(held.plus(PATIENCE), seq)))
    }

    /// The first event of an order key that is listed and due.
    fn first_due(&self, key: OrderKey, now: Moment) -> Option<Seq> {
        self.line(key).take_while(|seq| self.is_listed(*seq)).find(|seq| self.is_due(*seq, now))
    }

    fn line(&self, key: OrderKey) -> impl Iterator<Item = Seq> {
        self.lines.range((key, Seq::MIN)..=(key, Seq::MAX)).map(|(_, seq)| *seq)
    }

    fn is_listed(&self, seq: Seq) -> bool {
        self.events.get(&seq).is_some_and(|event| event.is_listed)
    }

    fn is_due(&self, seq: Seq, now: Moment) -> bool {
        self.events.get(&seq).is_some_and(|event| event.due <= now)
    }

    /// Lists an event, or the whole of its order key, as it should be now.
    fn settle_listing(&mut self, seq: Seq, order: Option<OrderKey>) {
        self.unlist(seq);
        match order {
            Some(key) => self.relist(key),
            None if self.taken.contains_key(&seq) => {}
            None => self.list(seq),
        }
    }

    /// Of an order key, the head and those that were passed are listed; none, while one of them is taken. Looks at those, and
    /// at one event behind them, which was the head before.
    fn relist(&mut self, key: OrderKey) {
        let line: Vec<(Seq, bool)> = {
            let mut behind = 0;
            let known = self.line(key).map(|seq| (seq, self.is_passed(seq)));
            known
                .take_while(|(_, is_passed)| {
                    behind += i32::from(!is_passed);
                    *is_passed || behind <= 2
                })
                .collect()
        };
        let (mut is_free, is_busy) = (true, self.busy.contains(&key)); // W-20: one at a time
        for (seq, is_passed) in line {
            if is_free && !is_busy {
                self.list(seq);
            } else {
                self.unlist(seq);
            }
            is_free &= is_passed;
        }
    }

    fn list(&mut self, seq: Seq) {
        if let Some(event) = self.events.get_mut(&seq)
            && !event.is_listed
        {
            event.is_listed = true;
            self.listed.insert((event.due, seq));
        }
    }

    fn unlist(&mut self, seq: Seq) {
        if let Some(event) = self.events.get_mut(&seq)
            && event.is_listed
        {
            event.is_listed = false;
            self.listed.remove(&(event.due, seq));
        }
    }

    /// An event is taken no longer, and its order key is free.
    fn release(&mut self, seq: Seq, order: Option<OrderKey>) {
        if self.taken.remove(&seq).is_some()
            && let Some(key) = order
        {
            self.busy.remove(&key);
        }
    }

    fn forget_hold(&mut self, seq: Seq) {
        if let Some(held) = self.held.remove(&seq) {
            self.holding.remove(&(held.plus(PATIENCE), seq));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: i64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn key(number: u8) -> OrderKey {
        OrderKey::from_bytes([number; 16])
    }

    fn waiting(order: Option<u8>, due: Moment) -> Waiting {
        Waiting { order: order.map(key), received: Timestamp::from_seconds(7), due, attempts: 0, held: None }
    }

    fn seqs(taken: Vec<(Seq, u32)>) -> Vec<Seq> {
        taken.into_iter().map(|(seq, _)| seq).collect()
    }

    #[test]
    fn one_at_a_time_of_an_order_key_and_in_the_order_of_acceptance() {
        let mut schedule = Schedule::default();
        for (seq, order) in [(1, Some(1)), (2, Some(1)), (3, None), (4, Some(2)), (5, Some(1)), (6, None)] {
            schedule.add(seq, waiting(order, at(0)));
        }
        assert_eq!(seqs(schedule.take(at(0), 9)), [1, 3, 4, 6]);
        assert_eq!((seqs(schedule.take(at(0), 9)), schedule.next()), (vec![], None));
        assert!(schedule.remove(1));
        assert_eq!(seqs(schedule.take(at(0), 9)), [2]);
        // Given back, it is the next of its key again.
        schedule.give_back(2, None);
        assert_eq!(seqs(schedule.take(at(0), 9)), [2]);
        assert!(schedule.remove(2));
        assert!(!schedule.remove(2));
        assert_eq!(seqs(schedule.take(at(0), 9)), [5]);
        assert_eq!(schedule.len(), 4);
    }

    /// W-20: the events behind one that always fails wait for a quarter of an hour, and not longer.
    #[test]
    fn a_poison_event_holds_its_key_for_a_quarter_of_an_hour() {
        let mut schedule = Schedule::default();
        (1..=3).for_each(|seq| schedule.add(seq, waiting(Some(1), at(0))));
        schedule.add(4, waiting(Some(2), at(0)));
        assert_eq!(schedule.take(at(10), 9), [(1, 0), (4, 0)]);
        assert_eq!(schedule.again(1, at(11)), Some(1));
        schedule.remove(4);
        assert_eq!(schedule.take(at(11), 9), [(1, 1)]);
        assert_eq!(schedule.again(1, at(9000)), Some(2));
        // 10 s is when its first attempt began.
        let passed = at(10).plus(PATIENCE);
        assert_eq!(schedule.next(), Some(passed));
        assert!(schedule.take(passed.minus(SECOND), 9).is_empty());
        assert_eq!(seqs(schedule.take(passed, 9)), [2]);
        schedule.remove(2);
        // It is tried again at its own time, before the events that passed it, and holds nothing any more.
        assert_eq!(seqs(schedule.take(at(9000), 9)), [1]);
        schedule.again(1, at(99_000));
        assert_eq!(seqs(schedule.take(at(9000), 9)), [3]);
    }

    /// A target that was down for an hour gets the events of a key in order, also the one that failed when it went down.
    #[test]
    fn after_an_outage_the_order_is_kept() {
        let mut schedule = Schedule::default();
        (1..=2).for_each(|seq| schedule.add(seq, waiting(Some(1), at(0))));
        assert_eq!(seqs(schedule.take(at(0), 9)), [1]);
        schedule.again(1, at(5));
        assert_eq!(seqs(schedule.take(at(3600), 9)), [1]);
        schedule.remove(1);
        assert_eq!(seqs(schedule.take(at(3600), 9)), [2]);
    }

    /// An event that was put aside comes back in its old place.
    #[test]
    fn a_replayed_event_takes_its_place_in_the_order() {
        let mut schedule = Schedule::default();
        schedule.add(5, waiting(Some(1), at(0)));
        schedule.add(3, waiting(Some(1), at(0)));
        schedule.add(4, waiting(Some(1), at(0)));
        for seq in [3, 4, 5] {
            assert_eq!(seqs(schedule.take(at(0), 9)), [seq]);
            schedule.remove(seq);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add { order: Option<u8>, wait: i64 },
        Take(usize),
        Again { nth: usize, wait: i64 },
        GiveBack { nth: usize, wait: Option<i64> },
        Hurry,
        Remove(usize),
        Pass(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (proptest::option::weighted(0.8, 0..3_u8), prop_oneof![Just(0), 0..100_i64])
                .prop_map(|(order, wait)| Step::Add { order, wait }),
            4 => (1..4_usize).prop_map(Step::Take),
            3 => (any::<usize>(), prop_oneof![0..10_i64, 0..8000_i64]).prop_map(|(nth, wait)| Step::Again { nth, wait }),
            1 => (any::<usize>(), proptest::option::of(0..60_i64)).prop_map(|(nth, wait)| Step::GiveBack { nth, wait }),
            1 => Just(Step::Hurry),
            3 => any::<usize>().prop_map(Step::Remove),
            2 => prop_oneof![0..10_i64, 0..2000_i64].prop_map(Step::Pass),
        ]
    }

    /// The rules of order, word for word, over a list.
    #[derive(Default)]
    struct Model {
        events: BTreeMap<Seq, (Option<u8>, Moment, Option<Moment>)>,
        taken: BTreeMap<Seq, Moment>,
    }

    impl Model {
        fn may_go(&self, seq: Seq, now: Moment) -> bool {
            let (order, due, _) = self.events[&seq];
            let own = |other: &Seq| order.is_some() && self.events[other].0 == order;
            let holds = |other: &Seq| {
                let (_, due, held) = self.events[other];
                due <= now || held.is_none_or(|held| held.plus(PATIENCE) > now)
            };
            due <= now
                && !self.taken.contains_key(&seq)
                && !self.taken.keys().any(own)
                && !self.events.range(..seq).map(|(other, _)| other).filter(|other| own(other)).any(holds)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever happens in whatever order: an event is taken only when the rules allow it, and none that they allow waits.
        #[test]
        fn any_interleaving_keeps_the_order(steps in proptest::collection::vec(step(), 1..80)) {
            let (mut schedule, mut model, mut now, mut last) = (Schedule::default(), Model::default(), at(0), 0);
            let nth = |all: Vec<Seq>, nth: usize| if all.is_empty() { None } else { Some(all[nth % all.len()]) };
            for step in steps {
                match step {
                    Step::Add { order, wait } => {
                        last += 1;
                        let due = now.plus(SECOND * u32::try_from(wait).unwrap());
                        schedule.add(last, waiting(order, due));
                        model.events.insert(last, (order, due, None));
                    }
                    Step::Take(most) => for _ in 0..most {
                        match schedule.take(now, 1)[..] {
                            [(seq, _)] => {
                                prop_assert!(model.may_go(seq, now), "{seq} was taken");
                                model.taken.insert(seq, now);
                            }
                            _ => for seq in model.events.keys() {
                                prop_assert!(!model.may_go(*seq, now), "{seq} was left");
                            }
                        }
                    }
                    Step::Again { nth: number, wait } => if let Some(seq) = nth(model.taken.keys().copied().collect(), number) {
                        let due = now.plus(SECOND * u32::try_from(wait).unwrap());
                        prop_assert!(schedule.again(seq, due).is_some());
                        let begun = model.taken.remove(&seq).unwrap();
                        let event = model.events.get_mut(&seq).unwrap();
                        (event.1, event.2) = (due, event.2.or(Some(begun)));
                    }
                    Step::GiveBack { nth: number, wait } => if let Some(seq) = nth(model.taken.keys().copied().collect(), number) {
                        let due = wait.map(|wait| now.plus(SECOND * u32::try_from(wait).unwrap()));
                        schedule.give_back(seq, due);
                        model.taken.remove(&seq);
                        let event = model.events.get_mut(&seq).unwrap();
                        event.1 = due.unwrap_or(event.1);
                    }
                    Step::Hurry => {
                        schedule.hurry(now);
                        model.events.values_mut().for_each(|event| event.1 = event.1.min(now));
                    }
                    Step::Remove(number) => if let Some(seq) = nth(model.events.keys().copied().collect(), number) {
                        prop_assert!(schedule.remove(seq));
                        model.taken.remove(&seq);
                        model.events.remove(&seq);
                    }
                    Step::Pass(seconds) => now = now.plus(SECOND * u32::try_from(seconds).unwrap()),
                }
                prop_assert_eq!(schedule.len(), model.events.len());
                // What could go now is announced, and nothing can go before what is announced.
                let due = model.events.keys().any(|seq| model.may_go(*seq, now));
                let next = schedule.next();
                prop_assert!(!due || next.is_some_and(|next| next <= now));
                if let Some(before) = next.map(|next| next.minus(Duration::from_millis(1))).filter(|before| *before >= now) {
                    prop_assert!(!model.events.keys().any(|seq| model.may_go(*seq, before)));
                }
            }
            // In the end nothing is left behind.
            while !model.events.is_empty() {
                for seq in std::mem::take(&mut model.taken).into_keys() {
                    schedule.remove(seq);
                    model.events.remove(&seq);
                }
                now = now.plus(PATIENCE);
                for (seq, _) in schedule.take(now, 100) {
                    prop_assert!(model.may_go(seq, now));
                    model.taken.insert(seq, now);
                }
            }
            prop_assert!(schedule.events.is_empty() && schedule.lines.is_empty() && schedule.listed.is_empty());
            prop_assert!(schedule.busy.is_empty() && schedule.holding.is_empty() && schedule.held.is_empty());
        }
    }
}
