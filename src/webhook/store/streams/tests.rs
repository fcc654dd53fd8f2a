//! What only a server can do: be set up wrongly, restart, hang, fill up, and serve several replicas.

use super::*;
use crate::clock::ManualClock;
use crate::config::QueueRedis;
use crate::shared::test_server::{Program, Server};
use crate::shared::{Call, Client, Reply};
use crate::webhook::event::OrderKey;
use crate::webhook::store::Filter;
use crate::webhook::store::tests::*;

/// Replicas of one queue.
struct Fleet {
    server: Server,
    clock: Arc<ManualClock>,
    metrics: Arc<Metrics>,
}

impl Fleet {
    async fn new(settings: &[&str]) -> Self {
        let server = Server::keeping(Program::Valkey, settings).await;
        Self { server, clock: Arc::new(ManualClock::new(NOW)), metrics: Arc::new(Metrics::new().unwrap()) }
    }

    fn replica_of(&self, place: QueueRedis) -> StreamsStore {
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        StreamsStore::timed(place, Limits::default(), clock, &self.metrics).unwrap()
    }

    fn replica(&self) -> StreamsStore {
        self.replica_of(self.server.queue(0))
    }

    /// Waits until the server is found again, by an event that is kept.
    async fn connected(&self, store: &StreamsStore) {
        for _ in 0..1000 {
            self.clock.advance(SECOND);
            if keep(store, event("is it there")).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the server is not found again");
    }

    /// Takes events until there are so many; time goes on meanwhile.
    async fn due(&self, store: &StreamsStore, count: usize) -> Vec<Taken> {
        let mut taken = Vec::new();
        while taken.len() < count {
            self.clock.advance(SECOND);
            taken.extend(due(store).await);
        }
        taken
    }

    /// Has the server do what a replica of its own asks for.
    async fn ask(&self, call: impl FnOnce(&Calls) -> Call) -> Reply {
        let calls = Calls::timed("test", Arc::<ManualClock>::clone(&self.clock));
        let client = Client::new(&self.server.queue(0).server, &calls.scripts.all());
        client.connect().await.unwrap();
        client.ask(&[call(&calls)], None, SECOND).await.unwrap().0.pop().unwrap().unwrap()
    }
}

/// Why a store is not opened.
async fn refusal(program: Program, settings: &[&str]) -> String {
    let server = Server::keeping(program, settings).await;
    let options = Options { place: server.queue(0), limits: Limits::default(), key: Case::seal_key() };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(NOW));
    StreamsStore::open(options, clock, &Arc::new(Metrics::new().unwrap())).unwrap_err().to_string()
}

/// W-28: a server that may lose what it was given is refused at start.
#[tokio::test]
async fn a_server_that_may_lose_events_is_refused() {
    let evicts = refusal(Program::Valkey, &["--maxmemory-policy", "allkeys-lru"]).await;
    assert!(evicts.contains("set maxmemory-policy noeviction (it is allkeys-lru)"), "{evicts}");
    let forgets = refusal(Program::Valkey, &["--appendonly", "no"]).await;
    assert!(forgets.contains("set appendonly yes"), "{forgets}");
    let old = refusal(Program::Redis, &[]).await;
    assert!(old.contains("use Redis or Valkey 7.2 or later"), "{old}");
    assert!(evicts.starts_with("queue.redis: "), "{evicts}");
}

/// W-28: where too few disks have it, an event is not answered 200, and neither are its repeats.
#[tokio::test]
async fn what_is_not_on_enough_disks_is_not_acknowledged() {
    let fleet = Fleet::new(&[]).await;
    let strict = fleet.replica_of(fleet.server.queue(1));
    for _ in 0..2 {
        assert_eq!(keep(&strict, event("one")).await, Err(StoreError::Failing));
    }
    // Without a disk there is no 200, also when that changes under way.
    let store = fleet.replica();
    assert_eq!(keep(&store, event("two")).await, Ok(Kept::New));
    fleet.server.run(&["CONFIG", "SET", "appendonly", "no"]).await;
    assert_eq!(keep(&store, event("three")).await, Err(StoreError::Failing));
}

/// W-28: a repeat is known to be on the disk as well, although it writes nothing of its own: here by a disk that hangs.
#[tokio::test]
async fn a_repeat_waits_for_the_disk_of_the_first() {
    let fleet = Fleet::new(&["--appendfsync", "no"]).await;
    let (one, other) = (fleet.replica(), fleet.replica());
    assert_eq!(keep(&one, event("one")).await, Err(StoreError::Failing));
    assert_eq!(keep(&other, event("one")).await, Err(StoreError::Failing));
}

/// The rights that the page gives are enough for the server and for the command line.
#[tokio::test]
async fn the_documented_rights_are_enough() {
    let fleet = Fleet::new(&[]).await;
    let page = include_str!("../../../../docs/webhooks.md");
    let line = page.lines().find(|line| line.starts_with("ACL SETUSER")).unwrap().replace("PASSWORD", "a-password");
    fleet.server.run(&line.split(' ').collect::<Vec<_>>()).await;
    let password = fleet.server.folder().join("password");
    std::fs::write(&password, "a-password").unwrap();
    let mut place = fleet.server.queue(0);
    "prod-eu".clone_into(&mut place.fleet);
    place.server.username = Some("sidemint".to_owned());
    place.server.password_file = Some(password);
    let store = fleet.replica_of(place.clone());
    for text in ["1", "2", "3", "4"] {
        assert_eq!(keep(&store, ordered(text, text)).await, Ok(Kept::New));
    }
    let taken = due(&store).await;
    store.settle(taken[0].seq, Settled::Delivered);
    store.settle(taken[1].seq, Settled::Again(SECOND));
    store.settle(taken[2].seq, Settled::Dead("refused"));
    stands(&store, 2, 1, Some(NOW)).await;
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&fleet.clock);
    let operates = || {
        let mut operator = Operator::timed(&place, Some(Case::seal_key()), clock).unwrap();
        let rows = operator.list(&Filter::default()).unwrap();
        assert!(operator.show(&rows[0]).unwrap().is_some());
        let dead: Vec<_> = rows.iter().filter(|row| row.is_dead).cloned().collect();
        assert_eq!(operator.replay(&dead, Duration::ZERO).unwrap(), 1);
        assert_eq!(operator.drop_events(&dead, "asked for").unwrap(), 1);
    };
    std::thread::scope(|scope| scope.spawn(operates).join().unwrap());
    due(&store).await;
    // Other keys are another's.
    let mut other = place.clone();
    "other".clone_into(&mut other.fleet);
    assert_eq!(keep(&fleet.replica_of(other), event("1")).await, Err(StoreError::Failing));
}

/// What was acknowledged is there after a kill, and the memory of repeats too.
#[tokio::test]
async fn a_server_that_is_killed_loses_nothing() {
    let mut fleet = Fleet::new(&[]).await;
    let store = fleet.replica();
    assert_eq!(keep(&store, event("one")).await, Ok(Kept::New));
    fleet.server.kill();
    assert_eq!(keep(&store, event("two")).await, Err(StoreError::Failing));
    fleet.server.restart().await;
    fleet.connected(&store).await;
    assert_eq!(keep(&store, event("one")).await, Ok(Kept::Repeat));
    assert_eq!(bodies(&fleet.due(&store, 2).await), ["one", "is it there"]);
}

/// A server that comes back empty is a queue anew.
#[tokio::test]
async fn a_server_that_was_emptied_goes_on() {
    let fleet = Fleet::new(&[]).await;
    let store = fleet.replica();
    assert_eq!(keep(&store, event("one")).await, Ok(Kept::New));
    assert_eq!(due(&store).await.len(), 1);
    fleet.server.run(&["FLUSHALL"]).await;
    assert_eq!(keep(&store, event("one")).await, Ok(Kept::New));
    assert_eq!(bodies(&due(&store).await), ["one"]);
    stands(&store, 1, 0, Some(NOW)).await;
}

/// A full server refuses events; what is there is delivered, which makes room.
#[tokio::test]
async fn a_full_server_refuses_and_drains() {
    let fleet = Fleet::new(&[]).await;
    let store = fleet.replica();
    for number in 0..20 {
        assert_eq!(keep(&store, event(&format!("{number}"))).await, Ok(Kept::New));
    }
    fleet.server.run(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert_eq!(keep(&store, event("more")).await, Err(StoreError::Full));
    let taken = due(&store).await;
    assert_eq!(taken.len(), 20);
    store.settle(taken[0].seq, Settled::Dead("refused"));
    store.settle(taken[1].seq, Settled::Again(SECOND));
    taken[2..].iter().for_each(|own| store.settle(own.seq, Settled::Delivered));
    stands(&store, 1, 1, Some(NOW)).await;
    fleet.server.run(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(keep(&store, event("more")).await, Ok(Kept::New));
}

/// A server that hangs is answered 503 in time, and found again.
#[tokio::test]
async fn a_server_that_hangs_is_not_waited_for() {
    let fleet = Fleet::new(&[]).await;
    let store = fleet.replica();
    assert_eq!(keep(&store, event("one")).await, Ok(Kept::New));
    fleet.server.signal("STOP");
    assert_eq!(keep(&store, event("two")).await, Err(StoreError::Failing));
    fleet.server.signal("CONT");
    fleet.connected(&store).await;
    // It may have come in when the server went on: then this is its repeat.
    assert!(keep(&store, event("two")).await.is_ok());
    assert_eq!(fleet.due(&store, 3).await.len(), 3);
}

/// Two replicas share: each event goes to one of them, in the order of its key, also when that one is killed.
#[tokio::test]
async fn replicas_share_and_take_over() {
    let fleet = Fleet::new(&[]).await;
    let (one, other) = (fleet.replica(), fleet.replica());
    for (text, order) in [("1", "a"), ("2", "a"), ("3", "b"), ("4", "a")] {
        assert_eq!(keep(&one, ordered(text, order)).await, Ok(Kept::New));
    }
    // A repeat is known to all.
    assert_eq!(keep(&other, ordered("1", "a")).await, Ok(Kept::Repeat));
    let first = fleet.ask(|calls| calls.take("chat", 1, "killed", LEASE)).await;
    let first = Calls::taken(first).unwrap().entries.remove(0).seq;
    let second = due(&other).await;
    assert_eq!(bodies(&second), ["3"], "the others of the first key wait");
    // The first one was killed: what it had is another's a minute later. The second one lives, and renews its leases.
    let mut again = Vec::new();
    while again.is_empty() {
        fleet.clock.advance(LEASE / 6);
        again = due(&other).await;
    }
    assert_eq!(bodies(&again), ["1"]);
    // Where the first one only hung, it has no say in the event any more.
    let dead = [(first, "dead", "refused".to_owned())];
    fleet.ask(|calls| calls.settle("chat", "killed", &dead)).await;
    other.settle(again[0].seq, Settled::Delivered);
    assert_eq!(bodies(&due(&other).await), ["2"]);
    stands(&other, 3, 0, Some(NOW)).await;
}

/// A replica that stops leaves what it has to the others at once.
#[tokio::test]
async fn what_was_taken_goes_back_at_the_end() {
    let fleet = Fleet::new(&[]).await;
    let (one, other) = (fleet.replica(), fleet.replica());
    assert_eq!(keep(&one, event("one")).await, Ok(Kept::New));
    assert_eq!(one.take("chat", 9).await.len(), 1);
    one.close().await;
    assert_eq!(bodies(&due(&other).await), ["one"]);
}

/// W-28: who reads the server or its disk learns no body, no header and no name of a room.
#[tokio::test]
async fn who_reads_the_server_learns_nothing() {
    let fleet = Fleet::new(&[]).await;
    let store = fleet.replica();
    let room = OrderKey::of("chat", "ada's room");
    assert_eq!(keep(&store, Event { order: Some(room), ..event("hello from ada") }).await, Ok(Kept::New));
    let mut held = Vec::new();
    for file in std::fs::read_dir(fleet.server.folder().join("appendonlydir")).unwrap() {
        held.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let finds = |wanted: &[u8]| held.windows(wanted.len()).any(|own| own == wanted);
    assert!(finds(b"smq1:{test}:events"));
    let room = HEXLOWER.encode(room.as_bytes());
    for wanted in [&b"hello from ada"[..], b"application/json", b"message.created", b"id of", room.as_bytes()] {
        assert!(!finds(wanted), "{}", String::from_utf8_lossy(wanted));
    }
    // With another key the events are put aside, and told.
    assert!(open(&Case::seal_key(), "evt_other", &[0; 64], &[0; 64]).is_none());
}
