//! Clocks that are moved by hand, for tests.

use std::time::Duration;

use parking_lot::Mutex;

use super::{Clock, Moment, Sleep, Timestamp};

/// Clocks that stand still until they are told to move: for tests.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    now: Timestamp,
    moment: Moment,
    sleepers: Vec<(Point, tokio::sync::oneshot::Sender<()>)>,
}

/// What a sleeper waits for.
#[derive(Clone, Copy, Debug)]
enum Point {
    Moment(Moment),
    Time(Timestamp),
}

impl State {
    fn has_reached(&self, point: Point) -> bool {
        match point {
            Point::Moment(point) => point <= self.moment,
            Point::Time(point) => point <= self.now,
        }
    }
}

impl ManualClock {
    /// Clocks of which the wall clock says `now`.
    pub fn new(now: Timestamp) -> Self {
        // The scales have nothing to do with each other: taking one for the other shows.
        let moment = Moment::from_millis(1_000_000);
        Self { state: Mutex::new(State { now, moment, sleepers: Vec::new() }) }
    }

    /// Lets time pass: both clocks go forward, and every sleeper whose point is reached wakes.
    pub fn advance(&self, span: Duration) {
        self.change(|state| {
            state.now = state.now.plus(span);
            state.moment = state.moment.plus(span);
        });
    }

    /// Sets the wall clock, as people and NTP do: no time passes.
    pub fn set_wall(&self, now: Timestamp) {
        self.change(|state| state.now = now); // T-65: set clock
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        let (due, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.sleepers).into_iter().partition(|(point, _)| state.has_reached(*point));
        state.sleepers = waiting;
        drop(state);
        for (_, wake) in due {
            // A sleeper that has gone away in the meantime needs no waking.
            let _gone = wake.send(());
        }
    }

    /// How many waits are pending whose waiter is still there; lets a test move time only once someone waits for it.
    pub fn sleepers(&self) -> usize {
        let mut state = self.state.lock();
        state.sleepers.retain(|(_, wake)| !wake.is_closed());
        state.sleepers.len()
    }

    fn sleep(&self, point: Point) -> Sleep {
        let mut state = self.state.lock();
        if state.has_reached(point) {
            return Box::pin(std::future::ready(()));
        }
        let (wake, woken) = tokio::sync::oneshot::channel();
        state.sleepers.push((point, wake));
        Box::pin(async move {
            if woken.await.is_err() {
                // The clock itself is gone: time never moves again, so this point is never reached.
                std::future::pending::<()>().await;
            }
        })
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.state.lock().now
    }

    fn moment(&self) -> Moment {
        self.state.lock().moment
    }

    fn sleep_until(&self, point: Moment) -> Sleep {
        self.sleep(Point::Moment(point))
    }

    fn sleep_until_time(&self, point: Timestamp) -> Sleep {
        self.sleep(Point::Time(point))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn it_wakes_those_whose_time_has_come() {
        let clock = ManualClock::new(Timestamp::from_seconds(100));
        let early = clock.sleep_until(clock.moment().plus(10 * SECOND));
        let late = clock.sleep_until(clock.moment().plus(100 * SECOND));
        assert_eq!(clock.sleepers(), 2);
        clock.advance(10 * SECOND);
        early.await;
        assert_eq!(clock.sleepers(), 1);
        drop(late);
        assert_eq!(clock.sleepers(), 0);
    }

    #[tokio::test]
    async fn a_wall_clock_that_is_set_wakes_those_who_wait_for_it_and_no_others() {
        let clock = ManualClock::new(Timestamp::from_seconds(100));
        let span = clock.sleep_until(clock.moment().plus(10 * SECOND));
        let time = clock.sleep_until_time(Timestamp::from_seconds(110));
        clock.set_wall(Timestamp::from_seconds(50));
        assert_eq!(clock.sleepers(), 2);
        clock.set_wall(Timestamp::from_seconds(110));
        time.await;
        assert_eq!(clock.sleepers(), 1);
        clock.advance(10 * SECOND);
        span.await;
        assert_eq!((clock.now(), clock.sleepers()), (Timestamp::from_seconds(120), 0));
    }
}
