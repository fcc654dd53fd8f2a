//! Sign-outs that were heard of lately: what comes back late is held against them, and a tier that lost them is told again.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Moment;
use crate::shared::Fence;

/// How long they are kept: a failover that lost some is noticed long before.
const KEPT: Duration = Duration::from_mins(10);
/// Sign-outs that are kept at most; the oldest go first.
const MOST: usize = 10_000;

/// Marks by what they end.
#[derive(Debug)]
pub(super) struct Marks<N>(Mutex<Heard<N>>);

#[derive(Debug)]
struct Heard<N> {
    marks: HashMap<N, Fence>,
    /// In the order in which they were heard.
    order: VecDeque<(Moment, N, Fence)>,
}

impl<N> Default for Marks<N> {
    fn default() -> Self {
        Self(Mutex::new(Heard { marks: HashMap::new(), order: VecDeque::new() }))
    }
}

impl<N: Clone + Eq + Hash> Marks<N> {
    /// Notes a sign-out.
    pub(super) fn note(&self, name: &N, mark: Fence, now: Moment) {
        let mut heard = self.0.lock();
        heard.drop_old(now, MOST - 1);
        let kept = heard.marks.entry(name.clone()).or_insert(Fence::NONE);
        if mark > *kept {
            *kept = mark;
            heard.order.push_back((now, name.clone(), mark));
        }
    }

    /// Whether a sign-out ended what has this fence.
    pub(super) fn end(&self, name: &N, fence: Fence) -> bool {
        self.0.lock().marks.get(name).is_some_and(|mark| fence <= *mark)
    }

    /// All that are kept.
    pub(super) fn all(&self, now: Moment) -> Vec<(N, Fence)> {
        let mut heard = self.0.lock();
        heard.drop_old(now, MOST);
        heard.marks.iter().map(|(name, mark)| (name.clone(), *mark)).collect()
    }
}

impl<N: Clone + Eq + Hash> Heard<N> {
    fn drop_old(&mut self, now: Moment, most: usize) {
        while self.order.front().is_some_and(|(at, ..)| now.since(*at) >= KEPT || self.order.len() > most) {
            let Some((_, name, mark)) = self.order.pop_front() else { return };
            // A later one of the same name has its own place in the order.
            if self.marks.get(&name) == Some(&mark) {
                self.marks.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::{TierTime, UserName};

    const NOW: Moment = Moment::from_millis(1_000_000);

    fn user(n: usize) -> UserName {
        UserName::parse(format!("user{n}").as_bytes()).expect("a name")
    }

    fn fence(micros: u64) -> Fence {
        Fence::at(TierTime::from_micros(micros))
    }

    #[test]
    fn the_largest_mark_counts_for_ten_minutes() {
        let marks = Marks::default();
        marks.note(&user(1), fence(7), NOW);
        marks.note(&user(1), fence(5), NOW);
        assert!(marks.end(&user(1), fence(7)) && !marks.end(&user(1), fence(8)) && !marks.end(&user(2), fence(1)));
        marks.note(&user(1), fence(9), NOW.plus(KEPT / 2));
        assert_eq!(marks.all(NOW.plus(KEPT)), [(user(1), fence(9))], "its own ten minutes");
        assert_eq!(marks.all(NOW.plus(KEPT + KEPT / 2)), []);
    }

    #[test]
    fn memory_is_bounded() {
        let marks = Marks::default();
        for n in 0..MOST + 100 {
            marks.note(&user(n), fence(1), NOW);
            marks.note(&user(7), fence(2 + u64::try_from(n).unwrap()), NOW);
        }
        assert!(marks.all(NOW).len() <= MOST && marks.0.lock().order.len() <= MOST);
        assert!(marks.end(&user(7), fence(10_000)), "one that is heard again and again is kept");
    }
}
