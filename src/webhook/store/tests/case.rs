//! Where a store of a test stands: in a file, or on a server of its own.

use std::sync::Arc;

use super::NOW;
use crate::clock::{Clock, ManualClock};
use crate::metrics::Metrics;
use crate::secrets::Secret;
use crate::shared::test_server::{Program, Server};
use crate::webhook::store::{Limits, Operator, SealKey, Store, sqlite, streams};

/// A key for events.
pub(in crate::webhook::store) const KEY: &str = "0707070707070707070707070707070707070707070707070707070707070707";

/// A store that can be opened again and again.
pub(in crate::webhook::store) struct Case {
    pub(in crate::webhook::store) kind: Kind,
    pub(in crate::webhook::store) clock: Arc<ManualClock>,
    pub(in crate::webhook::store) limits: Limits,
    pub(in crate::webhook::store) metrics: Arc<Metrics>,
}

pub(in crate::webhook::store) enum Kind {
    File(tempfile::TempDir),
    Streams(Server),
}

impl Case {
    pub(in crate::webhook::store) fn new(kind: Kind, limits: Limits) -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        Self { kind, clock: Arc::new(ManualClock::new(NOW)), limits, metrics }
    }

    /// A file, and a server.
    pub(in crate::webhook::store) async fn all(limits: Limits) -> [Self; 2] {
        let server = Server::keeping(Program::Valkey, &[]).await;
        [Kind::File(tempfile::tempdir().unwrap()), Kind::Streams(server)].map(|kind| Self::new(kind, limits))
    }

    pub(in crate::webhook::store) fn seal_key() -> SealKey {
        SealKey::parse(&Secret::new(KEY.as_bytes().to_vec())).unwrap()
    }

    pub(in crate::webhook::store) fn open(&self) -> Arc<dyn Store> {
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        match &self.kind {
            Kind::File(folder) => {
                let folder = folder.path().join("queue");
                let options = sqlite::Options { folder, limits: self.limits, start_empty: false, key: None };
                Arc::new(sqlite::SqliteStore::open(options, clock, &self.metrics).unwrap())
            }
            Kind::Streams(server) => {
                let case = server.queue(0);
                Arc::new(streams::StreamsStore::timed(case, self.limits, clock, &self.metrics).unwrap())
            }
        }
    }

    /// What an operator does, on a thread of its own as in a process of its own.
    pub(in crate::webhook::store) fn operate<T: Send>(&self, act: impl FnOnce(&mut Operator) -> T + Send) -> T {
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        let acts = || {
            let mut operator = match &self.kind {
                Kind::File(folder) => {
                    Operator::File(sqlite::Operator::open(&folder.path().join("queue"), None).unwrap())
                }
                Kind::Streams(server) => Operator::Streams(
                    streams::Operator::timed(&server.queue(0), Some(Self::seal_key()), clock).unwrap(),
                ),
            };
            act(&mut operator)
        };
        std::thread::scope(|scope| scope.spawn(acts).join().unwrap())
    }

    /// Whether one event that was put aside has ended.
    pub(in crate::webhook::store) fn has_expired(&self) -> bool {
        self.metrics.render().contains("sidemint_webhook_expired_total{name=\"chat\"} 1")
    }
}
