//! How many requests are at work at once, and the memory that their bodies may take.
//!
//! A body is counted before it is read: by the length that was declared, or else by its limit. Where no place or no memory is
//! left, the body that has been coming for the longest time makes room, if that time is longer than a provider needs. So who
//! sends slowly takes nothing from those who do not (W-11).
//!
//! Where there are several webhooks, each has an equal part of the memory for itself. What others do not use is lent: one that
//! has more than its part makes room for one that has less, however short its bodies have been coming. One webhook leaves a
//! quarter of the memory to the others in any case, because bodies that are here make no room: beyond that its own oldest
//! body does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::clock::{Clock, Moment};

/// A body that has been coming for so long makes room for others.
const PATIENCE: Duration = Duration::from_secs(1);

/// The room of all webhooks together.
#[derive(Debug)]
pub struct Room {
    most_bytes: usize,
    /// What one webhook may have of them.
    share: usize,
    /// What each webhook has of them for itself.
    part: usize,
    clock: Arc<dyn Clock>,
    requests: TaskTracker,
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
    _request: TaskTrackerToken,
}

impl Room {
    /// Room for so many bytes, which so many webhooks share.
    pub fn new(most_bytes: usize, webhooks: usize, clock: Arc<dyn Clock>) -> Arc<Self> {
        let share = if webhooks > 1 { most_bytes.saturating_sub(most_bytes / 4) } else { usize::MAX };
        let part = most_bytes.checked_div(webhooks).unwrap_or(most_bytes);
        Arc::new(Self { most_bytes, share, part, clock, requests: TaskTracker::new(), guests: Mutex::default() })
    }

    /// The requests that are at work, those whose place was given to another as well. When this is closed, no other enters:
    /// what waits for them at the end of the service has then seen the last event.
    pub fn requests(&self) -> &TaskTracker {
        &self.requests
    }

    /// A place for a request to `webhook`, of which `most` are at work at once, with a body of `bytes`.
    pub fn enter(self: &Arc<Self>, webhook: &Arc<str>, most: usize, bytes: usize) -> Option<Guest> {
        // Counted first, so that no request enters unseen while this is closed.
        let request = self.requests.token();
        if self.requests.is_closed() {
            return None;
        }
        let now = self.clock.moment();
        // W-11: room for others
        let is_slow = |_: &Entry, reading: &Reading| now.since(reading.since) >= PATIENCE;
        let is_own = |entry: &Entry| entry.webhook == *webhook;
        let mut guests = self.guests.lock();
        // W-11: permits
        while guests.count(is_own) >= most {
            guests.displace(|entry, reading| is_own(entry) && is_slow(entry, reading))?;
        }
        // A body that is larger than the limit may come where it is the only one.
        let is_too_much = |held: usize, limit: usize| held > 0 && held.saturating_add(bytes) > limit;
        // W-11: share of one webhook
        while is_too_much(guests.bytes(is_own), self.share) {
            guests.displace(|entry, _| is_own(entry))?;
        }
        // W-11: bytes before reading
        while guests.bytes(|_| true).saturating_add(bytes) > self.most_bytes {
            // W-11: part of each webhook
            let above = if is_too_much(guests.bytes(is_own), self.part) { Vec::new() } else { guests.above(self.part) };
            guests.displace(|entry, reading| is_slow(entry, reading) || above.contains(&entry.webhook))?;
        }
        let number = guests.next;
        guests.next += 1;
        let displaced = CancellationToken::new();
        let reading = Some(Reading { since: now, displaced: displaced.clone() });
        guests.all.insert(number, Entry { webhook: Arc::clone(webhook), bytes, reading });
        Some(Guest { room: Arc::clone(self), number, displaced, _request: request })
    }
}

impl Guests {
    fn count(&self, wanted: impl Fn(&Entry) -> bool) -> usize {
        self.all.values().filter(|entry| wanted(entry)).count()
    }

    fn bytes(&self, wanted: impl Fn(&Entry) -> bool) -> usize {
        self.all.values().filter(|entry| wanted(entry)).map(|entry| entry.bytes).sum()
    }

    /// The webhooks whose bodies take more than `part`.
    fn above(&self, part: usize) -> Vec<Arc<str>> {
        let mut held = BTreeMap::<&Arc<str>, usize>::new();
        for entry in self.all.values() {
            let bytes = held.entry(&entry.webhook).or_default();
            *bytes = bytes.saturating_add(entry.bytes);
        }
        held.into_iter().filter(|(_, bytes)| *bytes > part).map(|(webhook, _)| Arc::clone(webhook)).collect()
    }

    /// Lets the wanted body that has been coming for the longest time make room; `None` where there is none.
    fn displace(&mut self, wanted: impl Fn(&Entry, &Reading) -> bool) -> Option<()> {
        let is_wanted = |entry: &Entry| entry.reading.as_ref().is_some_and(|reading| wanted(entry, reading));
        let (&number, _) = self.all.iter().find(|(_, entry)| is_wanted(entry))?;
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
        (Room::new(bytes, 1, time), clock)
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

    /// W-11: of several webhooks one has three quarters of the memory; beyond that its own oldest body makes room at once.
    #[tokio::test]
    async fn one_webhook_leaves_a_quarter_to_the_others() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_seconds(0)));
        let room = Room::new(100, 2, clock);
        let (one, two): (Arc<str>, Arc<str>) = (Arc::from("one"), Arc::from("two"));
        let whole = room.enter(&one, 9, 25).expect("a place");
        whole.has_come();
        let oldest = room.enter(&one, 9, 25).expect("a place");
        let _second = room.enter(&one, 9, 25).expect("three quarters");
        let _third = room.enter(&one, 9, 25).expect("the place of its oldest body");
        oldest.displaced().await;
        let other = room.enter(&two, 9, 25).expect("a quarter");
        other.has_come();
        assert!(room.enter(&one, 9, 51).is_none(), "no body that is here makes room");
        assert_eq!(room.guests.lock().count(|entry| entry.webhook == two), 1);
    }

    /// W-11: what several webhooks have beyond their parts is for one that has less, however short their bodies have been
    /// coming.
    #[tokio::test]
    async fn a_flood_at_two_webhooks_leaves_its_part_to_a_third() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_seconds(0)));
        let room = Room::new(90, 3, clock);
        let names: [Arc<str>; 3] = ["one", "two", "three"].map(Arc::from);
        let [one, two, three] = &names;
        let small = room.enter(two, 9, 30).expect("a place");
        let oldest = room.enter(one, 9, 20).expect("a place");
        let second = room.enter(one, 9, 40).expect("a place");
        let own = room.enter(three, 9, 30).expect("its part");
        oldest.displaced().await;
        second.displaced().await;
        assert!(room.enter(one, 9, 31).is_none(), "its part is safe from them");
        assert!(room.enter(one, 9, 30).is_some());
        assert!(!small.displaced.is_cancelled() && !own.displaced.is_cancelled());
    }

    /// A body that is larger than the share of a webhook comes alone.
    #[test]
    fn a_large_body_has_the_memory_for_itself() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_seconds(0)));
        let room = Room::new(100, 2, clock);
        let name: Arc<str> = Arc::from("one");
        let large = room.enter(&name, 9, 100).expect("all of it");
        large.has_come();
        assert!(room.enter(&name, 9, 1).is_none());
    }

    /// No request enters behind the last one, and one whose place was given away is still waited for.
    #[tokio::test]
    async fn a_closed_room_waits_for_all_who_are_in_it() {
        let (room, clock) = room(100);
        let name: Arc<str> = Arc::from("one");
        let slow = room.enter(&name, 1, 100).expect("a place");
        clock.advance(PATIENCE);
        drop(room.enter(&name, 1, 100).expect("the slow one makes room"));
        room.requests().close();
        assert!(room.enter(&name, 1, 1).is_none());
        assert_eq!(room.requests().len(), 1);
        drop(slow);
        room.requests().wait().await;
    }
}
