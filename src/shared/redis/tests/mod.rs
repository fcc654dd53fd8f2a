//! The scripts and the client, on real servers.

mod live;
pub(crate) mod server;
mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use redis::Value;
use redis::aio::{ConnectionLike as _, MultiplexedConnection};

use super::calls::{Keep, Keys, Question};
use super::scripts::Scripts;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::pacing::Rate;
use crate::secrets::Secret;
use crate::shared::{
    Beat, End, Enter, Event, Fence, Land, LeaseToken, Model, Names, Outcome, SessionName, Slots, Take, Tier, TierTime,
};
use server::{Program, Server};

/// Scripts and model, asked the same at the same time of the tier.
struct Both {
    wire: MultiplexedConnection,
    scripts: Scripts,
    keys: Keys,
    model: Model,
    time: u64,
}

const START: i64 = 1_700_000_000;

impl Both {
    async fn new(server: &Server) -> Self {
        let mut wire = server.connect().await.unwrap();
        let _flushed: String = redis::cmd("FLUSHALL").query_async(&mut wire).await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_seconds(START)));
        let time = u64::try_from(START).unwrap() * 1_000_000;
        Self { wire, scripts: Scripts::timed(), keys: Keys::new("test"), model: Model::new(clock), time }
    }

    /// Moves the tier's clock, to so many milliseconds from the start.
    fn set(&mut self, millis: i64) {
        self.model.set_ahead(millis);
        self.time = u64::try_from((START * 1000 + millis) * 1000).unwrap();
    }

    async fn run<Q: Question>(&mut self, question: &Q) -> Q::Answer {
        let call = question.call(&self.scripts, &self.keys);
        let mut command = redis::cmd("EVAL");
        command.arg(&call.script.text).arg(call.keys.len()).arg(&call.keys).arg(&call.args).arg(self.time);
        let answer = self.wire.req_packed_command(&command).await.and_then(Value::extract_error).unwrap();
        question.read(answer).unwrap()
    }

    async fn command(&mut self, parts: &[&str]) -> Value {
        let mut command = redis::cmd(parts[0]);
        command.arg(&parts[1..]);
        command.query_async(&mut self.wire).await.unwrap()
    }

    /// The key of a session of `user`, and of what belongs to it.
    fn key(name: &SessionName, rest: &str) -> String {
        let rest = rest.replace('K', name.question.as_str());
        format!("sm1:test:{{{}}}:{rest}", name.user.as_str())
    }
}

fn names() -> Names {
    Names::new(&Secret::new("07".repeat(32).into_bytes())).unwrap()
}

fn token(n: u8) -> LeaseToken {
    LeaseToken::parse(format!("token{n}").as_bytes()).unwrap()
}

fn name(user: u8, question: u8) -> SessionName {
    SessionName { user: names().user("", &format!("user{user}")), question: names().question(&[question]) }
}

fn enter(name: SessionName, lease: Option<LeaseToken>, known: Fence) -> Enter {
    let rate = Some(Slots::new(Rate::new(6, Duration::from_secs(60)), 3));
    Enter { name, account: names().account(b"account"), lease, known, rate }
}

/// What happens to the tier.
#[derive(Clone, Debug)]
enum Step {
    Time(i64),
    Enter { user: u8, question: u8, token: u8, looks: bool, renews: bool },
    Land { user: u8, question: u8, token: u8, life: u64, empty: bool },
    Keep { user: u8, question: u8, token: u8 },
    End { user: u8, told: Option<i64>, known: bool },
    Tell { user: u8, kind: u8 },
    Take { calls: u32 },
    Beat { replica: u8, seen: Option<u64> },
}

fn step() -> impl Strategy<Value = Step> {
    let who = || (0..2u8, 0..2u8, 0..3u8);
    prop_oneof![
        (-30_000..30_000i64).prop_map(Step::Time),
        (who(), any::<bool>(), any::<bool>()).prop_map(|((user, question, token), looks, renews)| Step::Enter {
            user,
            question,
            token,
            looks,
            renews
        }),
        (who(), 0..100_000u64, any::<bool>()).prop_map(|((user, question, token), life, empty)| Step::Land {
            user,
            question,
            token,
            life,
            empty
        }),
        who().prop_map(|(user, question, token)| Step::Keep { user, question, token }),
        (0..2u8, proptest::option::of(-60_000..60_000i64), any::<bool>()).prop_map(|(user, told, known)| Step::End {
            user,
            told,
            known
        }),
        (0..2u8, 0..3u8).prop_map(|(user, kind)| Step::Tell { user, kind }),
        (0..20u32).prop_map(|calls| Step::Take { calls }),
        (0..3u8, proptest::option::of(0..6u64)).prop_map(|(replica, seen)| Step::Beat { replica, seen }),
    ]
}

fn at(millis: i64) -> Fence {
    Fence::at(TierTime::from_micros(u64::try_from((START * 1000 + millis) * 1000).unwrap()))
}

/// Runs one step on both; `fences` are those that were given last.
async fn same(both: &mut Both, step: &Step, fences: &mut BTreeMap<SessionName, Fence>) {
    match step.clone() {
        Step::Time(millis) => both.set(millis),
        Step::Enter { user, question, token: n, looks, renews } => {
            let name = name(user, question);
            let known = if renews { fences.get(&name).copied().unwrap_or_default() } else { Fence::NONE };
            let ask = enter(name.clone(), (!looks).then(|| token(n)), known);
            let (mut real, model) = (both.run(&ask).await, both.model.enter(&ask).await.unwrap());
            // What is left of a lease goes by the server's own clock.
            if let (Outcome::Busy(real), Outcome::Busy(model)) = (&mut real.outcome, &model.outcome) {
                assert!(*real <= *model && *real + Duration::from_secs(2) > *model, "{real:?} {model:?}");
                *real = *model;
            }
            assert_eq!(real, model);
            if let Outcome::Go(fence) | Outcome::Hit { fence, .. } = model.outcome {
                fences.insert(name, fence);
            }
        }
        Step::Land { user, question, token: n, life, empty } => {
            let name = name(user, question);
            let fence = fences.get(&name).copied().unwrap_or_else(|| at(0));
            let sent =
                (life % 2 == 0).then(|| (names().account(b"account"), names().profile(&[n]), Duration::from_secs(600)));
            let value = if empty { Vec::new() } else { format!("value {life}").into_bytes() };
            // Lives are long against the time that the test takes.
            let ends = at(0).time().plus(Duration::from_millis(life + 60_000));
            let ask = Land { name, lease: token(n), fence, value, ends, sent };
            assert_eq!(both.run(&ask).await, both.model.land(&ask).await.unwrap());
        }
        Step::Keep { user, question, token: n } => {
            let (name, token) = (name(user, question), token(n));
            let model = both.model.keep(&name, &token).await.unwrap();
            assert_eq!(both.run(&Keep(&name, &token)).await, model);
        }
        Step::End { user, told, known } => {
            let sessions = if known { vec![name(user, 0), name(user, 1)] } else { Vec::new() };
            let hold = Duration::from_secs(3600);
            let ask = End { user: name(user, 0).user, mark: told.map(at), sessions, hold };
            assert_eq!(both.run(&ask).await, both.model.end(&ask).await.unwrap());
        }
        Step::Tell { user, kind } => {
            let name = name(user, 0);
            let event = match kind {
                0 => Event::SignedOut(name.user, at(7)),
                1 => Event::Replaced(name, at(8)),
                _ => Event::Denied(name.user, at(9).time()),
            };
            assert_eq!(both.run(&event).await, both.model.tell(&event).await.unwrap());
        }
        Step::Take { calls } => {
            let slots = Slots::new(Rate::new(90, Duration::from_secs(60)), 9);
            let budget = names().budget("", "chat");
            let ask = Take { budget, slots, calls, pause: Duration::ZERO };
            assert_eq!(both.run(&ask).await, both.model.take(&ask).await.unwrap());
        }
        Step::Beat { replica, seen } => {
            let ask = Beat { replica: token(replica), seen };
            assert_eq!(both.run(&ask).await, both.model.beat(&ask).await.unwrap());
        }
    }
}

/// Whatever is asked, each script answers as the model does, also where the tier's clock jumps.
#[tokio::test]
async fn scripts_do_what_the_model_does() {
    let servers = [Server::start(Program::Redis).await, Server::start(Program::Valkey).await];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    for _ in 0..200 {
        let steps = prop::collection::vec(step(), 1..30);
        let steps = steps.new_tree(&mut runner).unwrap().current();
        for server in &servers {
            let (mut both, mut fences) = (Both::new(server).await, BTreeMap::new());
            for step in &steps {
                same(&mut both, step, &mut fences).await;
            }
        }
    }
}

/// F-06: what another client wrote is a miss, and no answer is large.
#[tokio::test]
async fn garbage_is_a_miss() {
    let server = Server::start(Program::Redis).await;
    let mut both = Both::new(&server).await;
    let name = name(0, 0);
    let large = "9".repeat(70_000);
    let digits = format!("{}{large}", "0000000000000001");
    for rest in ["s:K", "l:K", "x", "q"] {
        let key = Both::key(&name, rest);
        for write in [
            vec!["SET", &key, &digits],
            vec!["SET", &key, "x"],
            vec!["RPUSH", &key, "x"],
            vec!["HSET", &key, "f", "v"],
            vec!["SET", &key, "99999999999999999999"],
        ] {
            both.command(&["FLUSHALL"]).await;
            both.command(&write).await;
            let ask = enter(name.clone(), Some(token(0)), Fence::NONE);
            let found = both.run(&ask).await;
            assert!(matches!(found.outcome, Outcome::Go(_)), "{rest} {}: {found:?}", write[0]);
            let end = End {
                user: name.user.clone(),
                mark: None,
                sessions: vec![name.clone()],
                hold: Duration::from_secs(60),
            };
            assert_eq!(both.run(&end).await, at(0), "a sign-out marks all the same");
        }
    }
    for key in ["sm1:test:{e}:c", "sm1:test:{e}:s", "sm1:test:{e}:n"] {
        both.command(&["FLUSHALL"]).await;
        both.command(&["HSET", key, "f", "v"]).await;
        let beaten = both.run(&Beat { replica: token(0), seen: Some(0) }).await;
        assert!((beaten.number, beaten.events.len()) == (0, 0), "{key}: {beaten:?}");
    }
    // A stream of others, ahead of the number: the next event is told all the same.
    both.command(&["FLUSHALL"]).await;
    both.command(&["XADD", "sm1:test:{e}:s", "900-1", "e", &large]).await;
    assert_eq!(both.run(&Beat { replica: token(0), seen: Some(0) }).await.events, [(900, None)]);
    let event = Event::SignedOut(name.user.clone(), at(7));
    assert_eq!(both.run(&event).await, 1);
    assert_eq!(both.run(&Beat { replica: token(0), seen: Some(0) }).await.events, [(1, Some(event))]);
}

/// T-37: the list of denied users holds none whose time is over, and none who is allowed again.
#[tokio::test]
async fn users_who_are_denied_no_more_leave_the_list() {
    let server = Server::start(Program::Redis).await;
    let mut both = Both::new(&server).await;
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|user| names().user("", user));
    for (now, user, until) in [(0, &ada, 9), (1, &bob, 10), (9, &eve, 20), (9, &bob, 0)] {
        both.set(now);
        both.run(&Event::Denied(user.clone(), at(until).time())).await;
    }
    let left = both.command(&["ZRANGE", "sm1:test:{e}:d", "0", "-1"]).await;
    assert_eq!(left, Value::Array(vec![Value::BulkString(eve.as_str().as_bytes().to_vec())]));
}

/// F-07: a lease that no replica can have taken is none.
#[tokio::test]
async fn a_lease_without_an_end_is_none() {
    let server = Server::start(Program::Redis).await;
    let mut both = Both::new(&server).await;
    let name = name(0, 0);
    let key = Both::key(&name, "l:K");
    let ask = Enter { rate: None, ..enter(name, Some(token(0)), Fence::NONE) };
    for write in [vec!["SET", &key, "x"], vec!["SET", &key, "x", "EX", "86400"]] {
        both.command(&write).await;
        assert!(matches!(both.run(&ask).await.outcome, Outcome::Go(_)), "{write:?}");
    }
    both.command(&["SET", &key, "x", "PX", "2000"]).await;
    assert!(matches!(both.run(&ask).await.outcome, Outcome::Busy(_)), "one that may be honest is waited for");
}

/// F-08: a budget that was set out of reach is back within two periods, and one of the past gives no more than a burst.
#[tokio::test]
async fn a_budget_out_of_reach_is_clamped() {
    let server = Server::start(Program::Redis).await;
    let mut both = Both::new(&server).await;
    let slots = Slots::new(Rate::new(90, Duration::from_secs(60)), 9);
    let budget = names().budget("", "chat");
    let key = format!("sm1:test:{{{}}}:r", budget.as_str());
    let ask = Take { budget, slots, calls: 16, pause: Duration::ZERO };
    both.command(&["SET", &key, "9007199254740990"]).await;
    let taken = both.run(&ask).await;
    assert!(taken.calls == 0 && taken.wait <= Duration::from_secs(120), "{taken:?}");
    both.command(&["SET", &key, "0"]).await;
    assert_eq!(both.run(&ask).await.calls, 9);
    let pause = Take { pause: Duration::from_secs(5), ..ask };
    let taken = both.run(&pause).await;
    assert!(taken.calls == 0 && taken.pause == Duration::from_secs(5), "{taken:?}");
}
