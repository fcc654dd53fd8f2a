//! How many calls are at work at once, of one caller and of all. There is no queue: a call that finds no place is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::metrics::Gauge;

/// So many and no more.
#[derive(Debug)]
struct Count {
    used: AtomicUsize,
    most: usize,
}

impl Count {
    fn take(&self) -> bool {
        let more = |used: usize| (used < self.most).then_some(used + 1); // G-22: places
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back(&self) {
        self.used.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The places of all calls.
#[derive(Clone, Debug)]
pub struct Places(Arc<Count>);

/// The places of one caller.
#[derive(Clone, Debug)]
pub struct CallerPlaces {
    all: Places,
    own: Arc<Count>,
    gauge: Gauge,
}

/// A place, until this is dropped.
#[derive(Debug)]
pub struct Place(CallerPlaces);

impl Places {
    /// So many places.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Count { used: AtomicUsize::new(0), most }))
    }

    /// Those of one caller, which has so many of them at most. `gauge` shows how many it has.
    pub fn of_caller(&self, most: usize, gauge: Gauge) -> CallerPlaces {
        CallerPlaces { all: self.clone(), own: Arc::new(Count { used: AtomicUsize::new(0), most }), gauge }
    }
}

impl CallerPlaces {
    /// A place, if there is one.
    pub fn take(&self) -> Option<Place> {
        if !self.own.take() {
            return None;
        }
        if !self.all.0.take() {
            self.own.give_back();
            return None;
        }
        self.gauge.inc();
        Some(Place(self.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.gauge.dec();
        self.0.own.give_back();
        self.0.all.0.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge() -> Gauge {
        Gauge::new("in_flight", "in flight").expect("a gauge")
    }

    /// G-22: one caller leaves places to the others, and every place comes back.
    #[test]
    fn a_caller_has_its_share_and_all_have_theirs() {
        let places = Places::new(3);
        let (one, other) = (places.of_caller(2, gauge()), places.of_caller(2, gauge()));
        let taken: Vec<Place> = (0..4).filter_map(|_| one.take()).collect();
        assert_eq!((taken.len(), one.gauge.get()), (2, 2));
        let last = other.take().expect("the others have what is left");
        assert!(other.take().is_none(), "three in all");
        drop(taken);
        assert_eq!((other.own.used.load(Ordering::Relaxed), one.gauge.get()), (1, 0), "what was refused holds nothing");
        assert!(other.take().is_some());
        drop(last);
        assert_eq!(places.0.used.load(Ordering::Relaxed), 0);
    }
}
