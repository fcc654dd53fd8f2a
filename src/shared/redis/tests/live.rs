//! Replicas on a real server: what one lands the others find, and what happens when it ends, forgets or refuses.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;

use super::server::{Program, Server};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, CutOff, RedisServer, SharedMode};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::shared::{Away, End, Entrance, Event, Fence, Landed, Listener, Place, Redis, Shared, TierTime};

const TTL: Duration = Duration::from_secs(600);

struct Deaf;

impl Listener for Deaf {
    fn event(&self, _event: &Event) {}
    fn gap(&self) {}
}

pub(super) struct Fleet {
    pub(super) secrets: tempfile::TempDir,
    port: u16,
    lifecycle: Lifecycle,
}

impl Fleet {
    pub(super) fn new(port: u16) -> Self {
        let secrets = tempfile::tempdir().unwrap();
        std::fs::create_dir(secrets.path().join("keys")).unwrap();
        std::fs::write(secrets.path().join("names"), "01".repeat(32)).unwrap();
        std::fs::write(secrets.path().join("keys/a.key"), "02".repeat(32)).unwrap();
        std::fs::write(secrets.path().join("password"), "a password").unwrap();
        Self { secrets, port, lifecycle: Lifecycle::default() }
    }

    /// How a replica reaches the server.
    pub(super) fn section(&self, username: Option<&str>) -> config::Shared {
        let path = |name: &str| self.secrets.path().join(name);
        config::Shared {
            server: RedisServer {
                mode: SharedMode::Single,
                urls: vec![format!("redis://127.0.0.1:{}", self.port).parse().unwrap()],
                username: username.map(str::to_owned),
                password_file: username.map(|_| path("password")),
                sentinel_password_file: None,
                ca_file: None,
                client_cert: None,
            },
            fleet: "test".to_owned(),
            names_file: path("names"),
            key_dir: path("keys"),
            // Long: the machine that runs the tests is busy.
            timeout: Duration::from_secs(2),
            expect_replicas: None,
            cut_off: CutOff::Serve,
            origin: String::new(),
        }
    }

    /// A replica with a connection of its own.
    fn replica(&self, username: Option<&str>) -> Arc<Shared> {
        let own = self.section(username);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let tier = Arc::new(Redis::new(&own));
        tier.start(&clock, &self.lifecycle);
        let shared = Shared::new(&own, tier, clock, &Metrics::new().unwrap()).unwrap();
        self.lifecycle.spawn(Arc::clone(&shared).run(Arc::new(Deaf), self.lifecycle.clone()));
        shared
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.lifecycle.draining().cancel();
    }
}

async fn until(what: &str, look: impl Fn() -> bool) {
    for _ in 0..3000 {
        if look() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not seen: {what}");
}

fn place(replica: &Shared, user: &str) -> Place {
    replica.place(replica.names().user("", user), b"account", format!("what {user} asks").as_bytes())
}

async fn mint(replica: &Shared, user: &str) {
    let place = place(replica, user);
    let found = replica.enter(&place, Fence::NONE, None).await;
    let Entrance::Go(lease) = found.entrance else { panic!("{found:?}") };
    let token = format!("the token of {user}").into_bytes();
    assert_eq!(replica.land(&place, lease, (token, TTL), None).await, Ok(Landed::Kept));
}

async fn found(replica: &Shared, user: &str) -> Option<Vec<u8>> {
    match replica.enter(&place(replica, user), Fence::NONE, None).await.entrance {
        Entrance::Hit(hit) => Some(hit.session),
        _ => None,
    }
}

/// What one lands the others find; a sign-out ends it; a server that forgot the scripts learns them.
#[tokio::test]
async fn what_one_replica_lands_the_others_find() {
    for program in Program::ALL {
        let server = Server::start(program).await;
        let fleet = Fleet::new(server.port);
        let (one, other) = (fleet.replica(None), fleet.replica(None));
        until("up", || one.is_up() && other.is_up()).await;
        mint(&one, "ada").await;
        assert_eq!(found(&other, "ada").await.as_deref(), Some(&b"the token of ada"[..]), "{program:?}");
        server.run(&["SCRIPT", "FLUSH"]).await;
        assert!(found(&other, "ada").await.is_some(), "{program:?}: scripts are sent again");
        let user = other.names().user("", "ada");
        let end = End { user, mark: None, sessions: Vec::new(), hold: TTL };
        assert!(other.end(&end).await.unwrap() > Fence::NONE);
        assert_eq!(found(&one, "ada").await, None, "{program:?}");
    }
}

/// F-01: a value that is copied under another user's name does not open.
#[tokio::test]
async fn values_that_are_swapped_do_not_open() {
    let server = Server::start(Program::Redis).await;
    let fleet = Fleet::new(server.port);
    let one = fleet.replica(None);
    until("up", || one.is_up()).await;
    mint(&one, "ada").await;
    mint(&one, "bob").await;
    let key = |user: &str| {
        let place = place(&one, user);
        format!("sm1:test:{{{}}}:s:{}", place.name().user.as_str(), place.name().question.as_str())
    };
    server.run(&["COPY", &key("ada"), &key("bob"), "REPLACE"]).await;
    assert_eq!(found(&one, "bob").await, None);
    assert!(found(&one, "ada").await.is_some());
}

/// F-04: nothing of a user, and no secret, is seen in the tier.
#[tokio::test]
async fn who_reads_the_tier_learns_nothing() {
    let server = Server::start(Program::Redis).await;
    let fleet = Fleet::new(server.port);
    let one = fleet.replica(None);
    until("up", || one.is_up()).await;
    mint(&one, "canary-user").await;
    let user = one.names().user("", "canary-user");
    one.tell(&Event::SignedOut(user, Fence::NONE)).await.unwrap();
    let Value::Array(keys) = server.run(&["KEYS", "*"]).await else { panic!("keys") };
    assert!(keys.len() >= 4, "there is something to look at");
    let mut seen = Vec::new();
    for key in keys {
        let Value::BulkString(key) = key else { panic!("a key") };
        let key = String::from_utf8(key).unwrap();
        assert!(key.starts_with("sm1:test:"), "{key}");
        let Value::BulkString(dump) = server.run(&["DUMP", &key]).await else { panic!("a dump") };
        seen.extend(key.into_bytes());
        seen.extend(dump);
    }
    for secret in ["canary-user", "account", "asks", "token"] {
        assert!(!seen.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
}

/// A server that ends is noticed at once and not waited for, and is asked again when it is back.
#[tokio::test]
async fn a_server_that_ends_is_not_waited_for() {
    let mut server = Server::start(Program::Redis).await;
    let fleet = Fleet::new(server.port);
    let one = fleet.replica(None);
    until("up", || one.is_up()).await;
    server.kill();
    until("down", || !one.is_up()).await;
    let alone = one.enter(&place(&one, "ada"), Fence::NONE, None).await;
    assert!(matches!(alone.entrance, Entrance::Alone(fence) if fence > Fence::NONE), "its time is known: {alone:?}");
    server.restart().await;
    until("up again", || one.is_up()).await;
    mint(&one, "ada").await;
}

const PAGE: &str = include_str!("../../../../docs/fleet.md");

/// F-12: a user of the server who may touch the keys of its fleet alone is enough, and touches no others.
#[tokio::test]
async fn the_documented_rights_are_enough() {
    for program in Program::ALL {
        let server = Server::start(program).await;
        let line = PAGE.lines().find(|line| line.starts_with("ACL SETUSER")).unwrap();
        let line = line.replace("~sm1:prod-eu:*", "~sm1:test:*");
        let rules = line.split_whitespace().map(|word| if word == ">PASSWORD" { ">a password" } else { word });
        server.run(&rules.collect::<Vec<_>>()).await;
        let fleet = Fleet::new(server.port);
        let one = fleet.replica(Some("sidemint"));
        until("up", || one.is_up()).await;
        mint(&one, "ada").await;
        assert!(found(&one, "ada").await.is_some(), "{program:?}");
        let user = one.names().user("", "ada");
        let end = End { user: user.clone(), mark: None, sessions: vec![place(&one, "ada").name().clone()], hold: TTL };
        let mark = one.end(&end).await.unwrap();
        one.tell(&Event::SignedOut(user, mark)).await.unwrap();
        let bob = one.names().user("", "bob");
        let until = TierTime::from_micros(4_000_000_000_000_000);
        one.tell(&Event::Denied(bob.clone(), until)).await.unwrap();
        assert_eq!(one.denied(0).await.unwrap().users, [(bob, until)], "{program:?}");
        server.run(&["ACL", "SETUSER", "sidemint", "resetkeys", "~sm1:other:*"]).await;
        let refused = one.tell(&Event::SignedOut(one.names().user("", "ada"), mark)).await;
        assert_eq!(refused, Err(Away::Refused), "{program:?}: the keys of another fleet are not its own");
    }
}
