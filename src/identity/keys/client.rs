//! The client that fetches keys, with the authorities in `ca_file` that it believes. The file is read again before each
//! look, because clusters change their authorities while we run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::local;
use crate::identity::definition::KeyPlan;
use crate::metrics::KeySetMetrics;
use crate::outbound::{Outbound, Reach, Reader};
use crate::secrets::{Refusals, Refused, Secret};

/// A client of which there may be a newer one.
#[derive(Debug)]
pub(super) struct Client {
    reach: Reach,
    ca_file: Option<PathBuf>,
    outbound: Outbound,
    metrics: KeySetMetrics,
    refusals: Refusals,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    reader: Reader,
    /// What was read last, good or not.
    authorities: Option<Secret>,
}

impl Client {
    /// Reads the file. `Err` is what is wrong with it.
    pub(super) fn new(plan: &KeyPlan, outbound: &Outbound, metrics: &KeySetMetrics) -> Result<Self, String> {
        let authorities = plan.ca_file.as_deref().map(local::content).transpose()?;
        let reader = outbound.reader(plan.reach, authorities.as_ref().map(Secret::expose))?;
        Ok(Self {
            reach: plan.reach,
            ca_file: plan.ca_file.clone(),
            outbound: outbound.clone(),
            metrics: metrics.clone(),
            refusals: Refusals::default(),
            current: Mutex::new(Current { reader, authorities }),
        })
    }

    /// The client for the next look. A file that cannot be used is told, and changes nothing (T-58).
    pub(super) async fn renewed(self: &Arc<Self>) -> Reader {
        if self.ca_file.is_some() {
            let own = Arc::clone(self);
            // Files may be slow, so no worker reads them. Where it fails, the last client is good still.
            let _renewed = tokio::task::spawn_blocking(move || own.read_again()).await;
        }
        self.current.lock().reader.clone()
    }

    fn read_again(&self) {
        let Some(path) = &self.ca_file else { return };
        let outcome = self.renew(path); // T-58: renewed client certificate
        let look = self.refusals.look(&outcome);
        if let Err(Refused { problem, is_news: true }) = self.refusals.note(look, outcome) {
            self.metrics.failed("file");
            let file = path.display();
            tracing::error!(%file, problem, "keys.ca_file is not usable; the last good authorities stay in use");
        }
    }

    fn renew(&self, path: &Path) -> Result<(), String> {
        let content = local::content(path)?;
        let mut current = self.current.lock();
        if current.authorities.as_ref().is_some_and(|last| last.same_as(&content)) {
            return Ok(());
        }
        // Remembered even where it is of no use: that is told once.
        let content = current.authorities.insert(content).expose();
        current.reader = self.outbound.reader(self.reach, Some(content))?;
        Ok(())
    }
}
