//! The connection to the tier: made in the background alone, and made anew where it broke. No command waits for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::dial::Dialer;
use super::wire::{DialError, Wire};
use crate::clock::Clock;
use crate::pacing::Backoff;

/// From one attempt to the next.
const RETRIES: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(5), jitter: true };
/// One attempt.
const ATTEMPT: Duration = Duration::from_secs(2);

#[derive(Default)]
struct State {
    wire: Option<Wire>,
    /// Which connection it is, counted from the start.
    number: u64,
}

/// The connection, if there is one.
#[derive(Default)]
pub(super) struct Link {
    state: Mutex<State>,
    broke: Notify,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("connected", &self.wire().is_some()).finish_non_exhaustive()
    }
}

impl Link {
    /// The connection, and which it is.
    pub(super) fn wire(&self) -> Option<(Wire, u64)> {
        let state = self.state.lock();
        state.wire.clone().map(|wire| (wire, state.number))
    }

    /// Gives up a connection, unless it is another one by now.
    pub(super) fn drop_wire(&self, number: u64) {
        let mut state = self.state.lock();
        if state.number == number && state.wire.take().is_some() {
            self.broke.notify_one();
        }
    }

    /// From now on this is the connection.
    pub(super) fn set_wire(&self, wire: Wire) {
        let mut state = self.state.lock();
        state.number += 1;
        state.wire = Some(wire);
    }

    /// Makes a connection whenever there is none, until it is told to stop.
    pub(super) async fn run(self: Arc<Self>, dialer: Arc<Dialer>, clock: Arc<dyn Clock>, stop: CancellationToken) {
        let mut told: Option<DialError> = None;
        let mut failures = 0;
        loop {
            if self.wire().is_some() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.broke.notified() => continue,
                }
            }
            let dialing = async {
                tokio::select! {
                    wire = dialer.dial() => wire,
                    () = clock.sleep_until(clock.moment().plus(ATTEMPT)) => Err(DialError::timeout()),
                }
            };
            let dialed = tokio::select! {
                () = stop.cancelled() => return,
                dialed = dialing => dialed,
            };
            let pause = async {
                match dialed {
                    Ok(wire) => {
                        tracing::info!("connected to {}", dialer.name());
                        (told, failures) = (None, 0);
                        self.set_wire(wire);
                    }
                    Err(error) => {
                        // Once for each reason: attempts go on for as long as the tier is away.
                        if told.as_ref() != Some(&error) {
                            tracing::warn!(%error, "no connection to {}", dialer.name());
                            told = Some(error);
                        }
                        let wait = RETRIES.after(failures, None);
                        failures += 1;
                        clock.sleep_until(clock.moment().plus(wait)).await;
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = pause => {}
            }
        }
    }
}
