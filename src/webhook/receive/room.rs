//! How many requests are at work at once, and the memory that their bodies may take.
//!
//! A body is counted before it is read: by the length that was declared, or else by its limit. Where no place or no memory is
//! left, the body that has been coming for the longest time makes room, if that time is longer than a provider needs. So who
//! sends slowly takes nothing from those who do not (W-11).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Moment};

/// A body that has been coming for so long makes room for others.
const PATIENCE: Duration = Duration::from_secs(1);

/// The room of all webhooks together.
#[derive(Debug)]
pub struct Room {
    most_bytes: usize,
    clock: Arc<dyn Clock>,
    guests: Mutex<Guests>,
}

#[derive(Debug, Default)]
struct Guests {
    /// By their numbers, which grow.
    all: BTreeMap<u64, Entry>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    webhook: Arc<str>,
    bytes: usize,
    /// While the body comes.
    reading: Option<Reading>,
}

#[derive(Debug)]
struct Reading {
    since: Moment,
    displaced: CancellationToken,
}

/// The place of one request. It is given back when this is dropped.
#[derive(Debug)]
pub struct Guest {
    room: Arc<Room>,
    number: u64,
    displaced: CancellationToken,
}

impl Room {
    /// Room for so many bytes.
    pub fn new(most_bytes: usize, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { most_bytes, clock, guests: Mutex::default() })
    }

    /// A place for a request to `webhook`, of which `most` are at work at once, with a body of `bytes`.
    pub fn enter(self: &Arc<Self>, webhook: &Arc<str>, most: usize, bytes: usize) -> Option<Guest> {
        let now = self.clock.moment();
        let mut guests = self.guests.lock();
        // W-11: permits
        while guests.of(webhook) >= most {
            guests.displace(now, |entry| entry.webhook == *webhook)?;
        }
        // W-11: bytes before reading
        while guests.bytes().saturating_add(bytes) > self.most_bytes {
            guests.displace(now, |_| true)?;
        }
        let number = guests.next;
        guests.next += 1;
        let displaced = CancellationToken::new();
        let reading = Some(Reading { since: now, displaced: displaced.clone() });
        guests.all.insert(number, Entry { webhook: Arc::clone(webhook), bytes, reading });
        Some(Guest { room: Arc::clone(self), number, displaced })
    }
}

impl Guests {
    fn of(&self, webhook: &Arc<str>) -> usize {
        self.all.values().filter(|entry| entry.webhook == *webhook).count()
    }

    fn bytes(&self) -> usize {
        self.all.values().map(|entry| entry.bytes).sum()
    }

    /// Lets the body that has been coming for the longest time make room; `None` where there is none that has had its time.
    fn displace(&mut self, now: Moment, wanted: impl Fn(&Entry) -> bool) -> Option<()> {
        // W-11: room for others
        let is_slow =
            |entry: &Entry| entry.reading.as_ref().is_some_and(|reading| now.since(reading.since) >= PATIENCE);
        let (&number, _) = self.all.iter().find(|(_, entry)| wanted(entry) && is_slow(entry))?;
        let reading = self.all.remove(&number)?.reading?;
        reading.displaced.cancel();
        Some(())
    }
}

impl Guest {
    /// Completes when the place was given to another.
    pub async fn displaced(&self) {
        self.displaced.cancelled().await;
    }

    /// The body is here: no other takes this place any more.
    pub fn has_come(&self) {
        if let Some(entry) = self.room.guests.lock().all.get_mut(&self.number) {
            entry.reading = None;
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.room.guests.lock().all.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Timestamp};

    fn room(bytes: usize) -> (Arc<Room>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(0)));
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        (Room::new(bytes, time), clock)
    }

    /// W-11: a webhook has its places, all of them together their memory, and everything comes back.
    #[test]
    fn places_and_bytes_are_counted_and_come_back() {
        let (room, _clock) = room(100);
        let (one, two): (Arc<str>, Arc<str>) = (Arc::from("one"), Arc::from("two"));
        let first = room.enter(&one, 1, 60).expect("a place");
        assert!(room.enter(&one, 1, 1).is_none(), "one at a time");
        assert!(room.enter(&two, 1, 41).is_none(), "bytes of all");
        first.has_come();
        let second = room.enter(&two, 1, 40).expect("what is left");
        drop(first);
        drop(second);
        assert!(room.guests.lock().all.is_empty());
        assert!(room.enter(&one, 1, 100).is_some());
        assert!(room.enter(&one, 1, 101).is_none());
    }

    /// W-11: slow bodies make room, the oldest first; those that are here do not.
    #[tokio::test]
    async fn slow_bodies_make_room() {
        let (room, clock) = room(100);
        let name: Arc<str> = Arc::from("one");
        let slow = room.enter(&name, 2, 40).expect("a place");
        let whole = room.enter(&name, 2, 40).expect("a place");
        whole.has_come();
        clock.advance(Duration::from_millis(999));
        assert!(room.enter(&name, 2, 1).is_none(), "it may still come");
        clock.advance(Duration::from_millis(1));
        let next = room.enter(&name, 2, 60).expect("the slow one makes room");
        slow.displaced().await;
        clock.advance(Duration::from_secs(60));
        next.has_come();
        assert!(room.enter(&name, 3, 1).is_none(), "no body that is here makes room");
        drop(slow);
        assert_eq!(room.guests.lock().all.len(), 2, "who was displaced gives nothing back twice");
    }
}
