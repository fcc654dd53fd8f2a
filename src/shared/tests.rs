//! The tier as the rooms above meet it, on the model and the controlled clock.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{
    Away, Confirmed, End, Entrance, Event, Fence, Hit, Landed, Lease, Listener, Model, Place, Shared, Slots, TierTime,
};
use crate::clock::{Clock as _, ManualClock, Timestamp};
use crate::config::{CutOff, RedisServer, SharedMode};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::pacing::Rate;

const TTL: Duration = Duration::from_secs(600);

struct Fleet {
    clock: Arc<ManualClock>,
    model: Arc<Model>,
    config: crate::config::Shared,
    _secrets: tempfile::TempDir,
}

#[derive(Default)]
struct Heard(Mutex<Vec<Option<Event>>>);

impl Listener for Heard {
    fn event(&self, event: &Event) {
        self.0.lock().push(Some(event.clone()));
    }

    fn gap(&self) {
        self.0.lock().push(None);
    }
}

impl Fleet {
    fn new() -> Self {
        let secrets = tempfile::tempdir().unwrap();
        let file = |name: &str, byte: &str| std::fs::write(secrets.path().join(name), byte.repeat(32)).unwrap();
        file("names", "01");
        std::fs::create_dir(secrets.path().join("keys")).unwrap();
        file("keys/a.key", "02");
        let config = crate::config::Shared {
            server: RedisServer {
                mode: SharedMode::Single,
                urls: vec!["redis://127.0.0.1:1".parse().unwrap()],
                username: None,
                password_file: None,
                sentinel_password_file: None,
                ca_file: None,
                client_cert: None,
            },
            fleet: "test".to_owned(),
            names_file: secrets.path().join("names"),
            key_dir: secrets.path().join("keys"),
            timeout: Duration::from_millis(5),
            expect_replicas: Some(4),
            cut_off: CutOff::Serve,
            origin: "sidemint.toml".to_owned(),
        };
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_700_000_000)));
        let model = Arc::new(Model::new(Arc::<ManualClock>::clone(&clock)));
        Self { clock, model, config, _secrets: secrets }
    }

    /// One replica, whose beats are made by hand.
    fn replica(&self) -> Arc<Shared> {
        let (tier, clock) = (Arc::<Model>::clone(&self.model), Arc::<ManualClock>::clone(&self.clock));
        let replica = Shared::new(&self.config, tier, clock, &Metrics::new().unwrap()).unwrap();
        (0..2).for_each(|_| replica.changed(replica.health.beat()));
        replica
    }

    /// Waits until somebody sleeps, and lets so much time pass.
    async fn pass(&self, span: Duration) {
        while self.clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        self.clock.advance(span);
    }
}

fn place(replica: &Shared, user: &str) -> Place {
    let question = format!("the question of {user}");
    replica.place(replica.names().user("", user), b"account", question.as_bytes())
}

async fn go(replica: &Shared, place: &Place) -> Lease {
    match replica.enter(place, Fence::NONE, None).await.entrance {
        Entrance::Go(lease) => lease,
        other => panic!("{other:?}"),
    }
}

async fn hit(replica: &Shared, place: &Place) -> Option<Hit> {
    match replica.enter(place, Fence::NONE, None).await.entrance {
        Entrance::Hit(hit) => Some(hit),
        _ => None,
    }
}

async fn sign_out(replica: &Shared, user: &str) -> Fence {
    let end = End { user: replica.names().user("", user), mark: None, sessions: Vec::new(), hold: TTL };
    replica.end(&end).await.unwrap()
}

#[tokio::test]
async fn one_mints_and_the_others_find() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.replica(), fleet.replica());
    let lease = go(&one, &place(&one, "ada")).await;
    let busy = other.enter(&place(&other, "ada"), Fence::NONE, None).await;
    assert!(matches!(busy.entrance, Entrance::Busy(rest) if rest == super::LEASE), "{busy:?}");
    fleet.clock.advance(Duration::from_secs(1));
    let profile = one.names().profile(b"Ada");
    let fence = lease.fence();
    let landed = one.land(&place(&one, "ada"), lease, (b"token".to_vec(), TTL), Some((profile.clone(), TTL))).await;
    assert_eq!(landed, Ok(Landed::Kept));
    let found = hit(&other, &place(&other, "ada")).await.unwrap();
    assert_eq!((found.session, found.fence, found.left), (b"token".to_vec(), fence, Duration::from_secs(599)));
    assert_eq!(other.enter(&place(&other, "ada"), fence, None).await.sent, Some(profile));
    fleet.clock.advance(TTL);
    assert!(hit(&other, &place(&other, "ada")).await.is_none(), "its life is over");
}

#[tokio::test]
async fn a_session_that_was_begun_before_a_sign_out_is_not_kept() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.replica(), fleet.replica());
    let lease = go(&one, &place(&one, "ada")).await;
    let mark = sign_out(&other, "ada").await;
    let landed = one.land(&place(&one, "ada"), lease.clone(), (b"token".to_vec(), TTL), None).await;
    assert_eq!(landed, Ok(Landed::SignedOut));
    assert_eq!(one.confirm(&place(&one, "ada"), lease.fence()).await, Confirmed::SignedOut);
    let next = go(&one, &place(&one, "ada")).await;
    assert!(next.fence() > mark, "the next session is good, in the same millisecond");
    assert_eq!(one.confirm(&place(&one, "ada"), next.fence()).await, Confirmed::Good);
}

/// The tier's clock goes back, as in a failover: a sign-out ends what was begun before it all the same.
#[tokio::test]
async fn a_tier_whose_clock_goes_back_ends_sessions_as_well() {
    let fleet = Fleet::new();
    let one = fleet.replica();
    let first = sign_out(&one, "ada").await;
    fleet.model.set_ahead(-3_600_000);
    let lease = go(&one, &place(&one, "ada")).await;
    assert!(lease.fence() > first);
    let second = sign_out(&one, "ada").await;
    assert!(second >= lease.fence());
    let landed = one.land(&place(&one, "ada"), lease, (b"token".to_vec(), TTL), None).await;
    assert_eq!(landed, Ok(Landed::SignedOut));
}

#[tokio::test]
async fn a_value_that_does_not_open_is_minted_anew() {
    let fleet = Fleet::new();
    let one = fleet.replica();
    let lease = go(&one, &place(&one, "ada")).await;
    let old = lease.fence();
    one.land(&place(&one, "ada"), lease, (b"token".to_vec(), TTL), None).await.unwrap();
    // Another question with the same name: as a collision is.
    let mut other = place(&one, "ada");
    other.question = Arc::from(&b"another"[..]);
    let lease = go(&one, &other).await;
    assert!(lease.fence() > old);
    assert_eq!(one.counters.unopened.get(super::Unopened::Forged).unwrap().get(), 1);
}

#[tokio::test]
async fn a_tier_that_hangs_is_waited_for_three_times() {
    let fleet = Fleet::new();
    let one = fleet.replica();
    fleet.model.set_away(Some(Away::Timeout));
    for _ in 0..3 {
        let at = place(&one, "ada");
        let (found, ()) = tokio::join!(one.enter(&at, Fence::NONE, None), fleet.pass(Duration::from_millis(5)));
        assert!(matches!(found.entrance, Entrance::Alone(Fence::NONE)), "{found:?}");
    }
    assert!(!one.is_up());
    let found = one.enter(&place(&one, "ada"), Fence::NONE, None).await;
    assert!(matches!(found.entrance, Entrance::Alone(_)), "without a wait: {found:?}");
}

#[tokio::test]
async fn a_full_tier_makes_nobody_wait_and_a_user_may_be_limited() {
    let fleet = Fleet::new();
    let one = fleet.replica();
    let slots = Slots::new(Rate::new(2, Duration::from_secs(60)), 1);
    let enter = async |user: &str| one.enter(&place(&one, user), Fence::NONE, Some(slots)).await.entrance;
    assert!(matches!(enter("ada").await, Entrance::Go(_)));
    fleet.clock.advance(super::LEASE);
    assert!(matches!(enter("ada").await, Entrance::Limited(wait) if wait == Duration::from_secs(27)));
    fleet.model.set_full(true);
    assert!(matches!(enter("bob").await, Entrance::Alone(fence) if fence > Fence::NONE));
}

#[tokio::test]
async fn beats_tell_of_others_and_of_gaps() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.replica(), fleet.replica());
    let (heard, lifecycle) = (Arc::new(Heard::default()), Lifecycle::default());
    let listener: Arc<dyn Listener> = Arc::<Heard>::clone(&heard);
    lifecycle.spawn(Arc::clone(&one).run(listener, lifecycle.clone()));
    fleet.pass(Duration::from_millis(300)).await;
    let event = Event::SignedOut(one.names().user("", "ada"), Fence::at(TierTime::from_micros(7)));
    other.tell(&event).await.unwrap();
    fleet.pass(Duration::from_millis(300)).await;
    fleet.pass(Duration::ZERO).await;
    assert_eq!(*heard.0.lock(), [Some(event)]);
    assert_eq!(one.replicas(), 1, "the other has not beaten");
    fleet.model.set_away(Some(Away::Lost));
    for _ in 0..20 {
        fleet.pass(Duration::from_millis(300)).await;
    }
    assert!(!one.is_up());
    assert_eq!(heard.0.lock().len(), 2, "one gap, however long");
    assert_eq!(heard.0.lock().last(), Some(&None));
    fleet.model.set_away(None);
    fleet.model.flush();
    for _ in 0..4 {
        fleet.pass(Duration::from_millis(300)).await;
    }
    assert!(one.is_up());
    assert_eq!(heard.0.lock().len(), 3, "the number fell");
    lifecycle.draining().cancel();
    lifecycle.finished().await;
}

#[tokio::test]
async fn a_loss_is_known_until_the_tier_answers_again() {
    let fleet = Fleet::new();
    let (one, lifecycle) = (fleet.replica(), Lifecycle::default());
    let began = one.whole_since();
    assert_eq!(began, Some(fleet.clock.moment()));
    let listener: Arc<dyn Listener> = Arc::new(Heard::default());
    lifecycle.spawn(Arc::clone(&one).run(listener, lifecycle.clone()));
    let beats = async || {
        for _ in 0..4 {
            fleet.pass(Duration::from_millis(300)).await;
        }
    };
    let event = Event::SignedOut(one.names().user("", "ada"), Fence::at(TierTime::from_micros(7)));
    one.tell(&event).await.unwrap();
    beats().await;
    assert_eq!(one.whole_since(), began);
    fleet.model.flush();
    beats().await;
    let flushed = one.whole_since();
    assert!(flushed > began, "what was written is forgotten");
    fleet.model.set_away(Some(Away::Lost));
    beats().await;
    assert_eq!(one.whole_since(), None);
    fleet.model.set_away(None);
    beats().await;
    assert!(one.whole_since() > flushed);
    lifecycle.draining().cancel();
    lifecycle.finished().await;
}
