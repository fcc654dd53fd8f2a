//! Waiting for what others do. No test decides anything by how long that takes.

use std::time::Duration;

use sidemint::clock::ManualClock;

/// Real time between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// Looks until a test gives up.
const LOOKS: usize = 8000;

/// What a look finds: whether something holds, or something itself.
pub trait Finding {
    type Found;
    fn found(self) -> Option<Self::Found>;
}

impl Finding for bool {
    type Found = ();

    fn found(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Finding for Option<T> {
    type Found = T;

    fn found(self) -> Self {
        self
    }
}

/// Looks again and again until there is something, and gives it.
pub async fn eventually<F: Finding, L: Future<Output = F>>(what: &str, mut look: impl FnMut() -> L) -> F::Found {
    for _ in 0..LOOKS {
        if let Some(found) = look().await.found() {
            return found;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("not in time: {what}");
}

/// The same where there is no runtime.
pub fn eventually_now<F: Finding>(what: &str, mut look: impl FnMut() -> F) -> F::Found {
    for _ in 0..LOOKS {
        if let Some(found) = look().found() {
            return found;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("not in time: {what}");
}

/// What comes of `work` while the clock goes on in steps, so that pauses and deadlines end.
pub async fn as_time_passes<T>(clock: &ManualClock, step: Duration, work: impl Future<Output = T>) -> T {
    let time = async {
        loop {
            tokio::time::sleep(PAUSE).await;
            clock.advance(step);
        }
    };
    tokio::select! {
        outcome = work => outcome,
        () = time => unreachable!("time goes on"),
    }
}
