//! The client that fetches keys, with the authorities in `ca_file` that it believes. The file is read again before each
//! look, because clusters change their authorities while we run.

use std::sync::Arc;

use crate::definition::{Key, Mistakes};
use crate::identity::definition::KeyPlan;
use crate::metrics::KeySetMetrics;
use crate::outbound::{Outbound, Reach, Reader};
use crate::secrets::{Reloaded, Reports, Secret, SecretSource};

/// A client of which there may be a newer one.
#[derive(Debug)]
pub(super) struct Client {
    reach: Reach,
    outbound: Outbound,
    reader: Reloaded<Reader>,
}

impl Client {
    /// Reads the file. The mistakes are at keys of the source.
    pub(super) fn new(
        source: &str,
        plan: &KeyPlan,
        outbound: &Outbound,
        metrics: &KeySetMetrics,
    ) -> Result<Self, Mistakes> {
        let (reach, make) =
            (plan.reach, |authorities: Option<&Secret>| outbound.reader(plan.reach, authorities.map(Secret::expose)));
        let reader = match &plan.ca_file {
            None => Reloaded::of(make(None)?),
            Some(path) => {
                let rejected = metrics.of("file").cloned();
                let reports =
                    Reports { rejected, ..Reports::new("authorities", Key::from("identity.sources").below(source)) };
                let source = SecretSource::File(path.clone());
                Reloaded::open_one("keys.ca_file", source, reports, |authorities| make(Some(authorities)))?
            }
        };
        Ok(Self { reach, outbound: outbound.clone(), reader })
    }

    /// The client for the next look. A file that cannot be used changes nothing (T-58).
    pub(super) async fn renewed(self: &Arc<Self>) -> Reader {
        if !self.reader.sources().is_empty() {
            let own = Arc::clone(self);
            // T-58: renewed client certificate
            let read_again =
                move || own.reader.reload_one(|file, _old| own.outbound.reader(own.reach, Some(file.expose())));
            // Files may be slow, so no worker reads them. Where it fails, the last client is good still.
            let _renewed = tokio::task::spawn_blocking(read_again).await;
        }
        Reader::clone(&self.reader.current())
    }
}
