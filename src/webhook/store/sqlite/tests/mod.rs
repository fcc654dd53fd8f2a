//! What only a file can show: its folder, its size, its damage, and a second process.

mod bounds;
mod files;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};

use super::*;
use crate::clock::ManualClock;
use crate::secrets::Secret;
use crate::webhook::store::Filter;
use crate::webhook::store::tests::*;

/// A folder with a store in it that can be opened again and again.
struct Queue {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    limits: Limits,
    key: Option<&'static [u8]>,
    start_empty: bool,
    metrics: Arc<Metrics>,
}

impl Queue {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            folder,
            clock: Arc::new(ManualClock::new(NOW)),
            limits: Limits::default(),
            key: None,
            start_empty: false,
            metrics: Arc::new(Metrics::new().unwrap()),
        }
    }

    /// Whether one event that was put aside has ended.
    fn has_expired(&self) -> bool {
        self.metrics.render().contains("sidemint_webhook_expired_total{name=\"chat\"} 1")
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("queue")
    }

    fn file(&self) -> PathBuf {
        self.path().join("queue.db")
    }

    fn seal_key(&self) -> Option<SealKey> {
        self.key.map(|key| SealKey::parse(&Secret::new(key.to_vec())).unwrap())
    }

    fn open(&self) -> Result<SqliteStore, OpenError> {
        let options =
            Options { folder: self.path(), limits: self.limits, start_empty: self.start_empty, key: self.seal_key() };
        SqliteStore::open(options, Arc::<ManualClock>::clone(&self.clock), &self.metrics)
    }

    fn mistake(&self) -> String {
        match self.open() {
            Err(OpenError::Mistake(mistake)) => mistake.to_string(),
            other => panic!("{other:?}"),
        }
    }

    fn operator(&self) -> Operator {
        Operator::open(&self.path(), self.seal_key()).unwrap()
    }
}
