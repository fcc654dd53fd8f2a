//! W-18: the built service under load, killed again and again while it opens, takes, delivers and notes events.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sidemint::clock::{Clock as _, SystemClock};
use sidemint::webhook::event::EventKey;

use super::process::{Home, Provider};
use super::{KILLS, Numbers};
use crate::eventually::eventually;
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::webhooks::fixture::verify;

/// Callers that post at the same time, each of them one event after the other.
const CALLERS: u64 = 8;
/// Rooms of each caller, in turn.
const ROOMS: u64 = 3;
/// Events of a caller that may wait: one that posts without end would fill the queue.
const AHEAD: u64 = 200;
/// Of so many events of a room the application refuses one, the first time.
const REFUSED: u64 = 40;

/// How far the events of one room have come. Its caller posts them in order, and goes on when one is answered 200.
#[derive(Clone, Copy, Default)]
struct Room {
    posted: u64,
    accepted: u64,
    /// Events that the application took, without any gap.
    taken: u64,
    /// Whether it has refused the next one.
    has_refused: bool,
}

/// The rooms of all callers, and what should not have come.
#[derive(Default)]
struct Seen {
    rooms: BTreeMap<(u64, u64), Room>,
    doubles: u64,
    wrong: Vec<String>,
}

impl Seen {
    fn room(&mut self, caller: u64, room: u64) -> &mut Room {
        self.rooms.entry((caller, room)).or_default()
    }

    fn sum(&self, of: impl Fn(&Room) -> u64) -> u64 {
        self.rooms.values().map(of).sum()
    }

    /// Judges a delivery, and says whether the application takes it.
    fn judge(&mut self, call: &Call) -> Result<bool, String> {
        let id = verify(call, SystemClock.now())?.id;
        let number = |name: &str| call.json[name].as_u64().ok_or_else(|| format!("{name} of {id}"));
        let (caller, room, nth) = (number("caller")?, number("room_nth")?, number("nth")?);
        if id != EventKey::of_body(&call.body).webhook_id("chat") || call.body != body(caller, room, nth).as_bytes() {
            return Err(format!("{id} has another body"));
        }
        let known = self.room(caller, room);
        if nth >= known.posted {
            return Err(format!("event {nth} of room {caller}-{room} was not posted"));
        }
        if nth > known.taken {
            return Err(format!("event {nth} of room {caller}-{room} came before event {}", known.taken));
        }
        if nth < known.taken {
            self.doubles += 1;
        } else if nth % REFUSED == 7 && !known.has_refused {
            known.has_refused = true;
            return Ok(false);
        } else {
            (known.taken, known.has_refused) = (nth + 1, false);
        }
        Ok(true)
    }
}

fn body(caller: u64, room: u64, nth: u64) -> String {
    format!(
        r#"{{"event":"message.new","room":"{caller}-{room}","caller":{caller},"room_nth":{room},"nth":{nth},"fill":"{}"}}"#,
        "x".repeat(usize::try_from(nth % 7).unwrap() * 700)
    )
}

/// Posts the events of one caller for as long as it is let, each until it is answered.
async fn post(mut provider: Provider, caller: u64, seen: Arc<Mutex<Seen>>) {
    for number in 0_u64.. {
        let (room, nth) = (number % ROOMS, number / ROOMS);
        let is_ahead = || nth > AHEAD / ROOMS + seen.lock().unwrap().room(caller, room).taken;
        while is_ahead() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        seen.lock().unwrap().room(caller, room).posted = nth + 1;
        while provider.post(&body(caller, room, nth)).await != Some(200) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        seen.lock().unwrap().room(caller, room).accepted = nth + 1;
    }
}

/// Every event that was answered 200 arrives; what comes twice has one id; nothing comes that was not posted, and the events
/// of a room come in the order of their acceptance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_lost_when_the_service_is_killed_under_load() {
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let own = Arc::clone(&seen);
    let application = Fake::start(move |call| {
        let mut seen = own.lock().unwrap();
        let status = match seen.judge(call) {
            Ok(is_taken) => {
                if is_taken {
                    204
                } else {
                    500
                }
            }
            Err(problem) => {
                seen.wrong.push(problem);
                400
            }
        };
        Script::text(status, "text/plain", "")
    });
    let home = Home::new(&application.await.base_url(), "", "");
    let callers: Vec<_> =
        (0..CALLERS).map(|caller| tokio::spawn(post(Provider::new(home.hooks), caller, Arc::clone(&seen)))).collect();
    let kills = std::env::var("KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let mut numbers = Numbers(42);
    for round in 0..kills {
        let before = seen.lock().unwrap().sum(|room| room.accepted);
        let mut service = home.spawn();
        // Every fourth time it may not have opened its queue yet.
        if round % 4 < 3 {
            eventually("it takes events", async || seen.lock().unwrap().sum(|room| room.accepted) > before).await;
        }
        tokio::time::sleep(Duration::from_millis(numbers.below(128))).await;
        service.kill().unwrap();
        service.wait().unwrap();
        assert_eq!(seen.lock().unwrap().wrong, Vec::<String>::new(), "after {round} kills");
    }
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    let mut service = home.spawn();
    let all = async || seen.lock().unwrap().rooms.values().all(|room| room.taken >= room.accepted);
    eventually("every event that was answered 200 arrives", all).await;
    service.kill().unwrap();
    service.wait().unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.wrong, Vec::<String>::new());
    let (accepted, taken) = (seen.sum(|room| room.accepted), seen.sum(|room| room.taken));
    assert!(accepted > u64::try_from(kills).unwrap(), "{accepted} were accepted");
    println!("{kills} kills: {accepted} events answered 200, {taken} arrived, {} of them again", seen.doubles);
}
