//! Starts and stops the service: background tasks, readiness, and the drain.
//!
//! One [`Lifecycle`] is shared by the whole process: background tasks are spawned through it, so that stopping waits
//! for them; readiness is a set of reasons that must be empty; draining has two tokens, a soft one («finish what you
//! have») and a hard one («stop now»).

mod supervisor;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use supervisor::Supervisor;

/// Why the process is not ready: a stable code for machines, a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotReady {
    /// Stable code, for example `no_peer_proof`.
    pub code: &'static str,
    /// What to do about it.
    pub detail: String,
}

/// Everything that speaks against readiness: what to do about it, by code.
pub type Objections = BTreeMap<&'static str, String>;

/// Shared handle on the life of the process; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    unready: watch::Sender<Objections>,
    leaving: AtomicBool,
    draining: CancellationToken,
    cut: CancellationToken,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// A process that has just begun: live, not ready until [`Lifecycle::withdraw`] removes the reason `starting`.
    pub fn new() -> Self {
        let lifecycle = Self::default();
        lifecycle.object("starting", "the service is starting");
        lifecycle
    }

    /// One that ends with this one, or before it: a part of the process that comes and goes. Its objections are its own.
    #[must_use]
    pub fn below(&self) -> Self {
        let Shared { draining, cut, tasks, .. } = &*self.shared;
        let (draining, cut, tasks) = (draining.child_token(), cut.child_token(), tasks.clone());
        Self { shared: Arc::new(Shared { draining, cut, tasks, ..Shared::default() }) }
    }

    /// Runs `task` in the background; stopping waits for it, up to the drain deadline.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.shared.tasks.spawn(task));
    }

    /// Objects to readiness, until the same code is withdrawn.
    pub fn object(&self, code: &'static str, detail: impl Into<String>) {
        let detail = detail.into();
        self.shared.unready.send_modify(|reasons| drop(reasons.insert(code, detail)));
    }

    /// Withdraws an objection.
    pub fn withdraw(&self, code: &'static str) {
        self.shared.unready.send_if_modified(|reasons| reasons.remove(code).is_some());
    }

    /// Everything that speaks against readiness; empty means ready.
    pub fn objections(&self) -> Vec<NotReady> {
        let reasons = self.shared.unready.borrow();
        reasons.iter().map(|(code, detail)| NotReady { code, detail: detail.clone() }).collect()
    }

    /// The same, for those who wait for a change.
    pub fn readiness(&self) -> watch::Receiver<Objections> {
        self.shared.unready.subscribe()
    }

    /// Begins the end: from now on answers say that their connection is not kept.
    pub fn leave(&self) {
        self.object("draining", "the service is stopping");
        self.shared.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether the end has begun.
    pub fn is_leaving(&self) -> bool {
        self.shared.leaving.load(Ordering::Relaxed)
    }

    /// Cancelled when listeners should close and connections should end after the request in hand.
    pub fn draining(&self) -> &CancellationToken {
        &self.shared.draining
    }

    /// Cancelled when the drain deadline has passed and what is left is cut.
    pub fn cut(&self) -> &CancellationToken {
        &self.shared.cut
    }

    /// Waits until every tracked task has ended.
    pub async fn finished(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// Tasks that are still running.
    pub fn running(&self) -> usize {
        self.shared.tasks.len()
    }
}
