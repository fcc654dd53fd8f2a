//! The budget of one account in the tier that replicas share.

use std::sync::Arc;
use std::time::Duration;

use crate::pacing::{FleetPace, SlotAnswer, SlotOrder, Standing, Taking};
use crate::shared::{BudgetName, Shared, Slots, Take};

/// Replicas take their slots from it.
#[derive(Debug)]
pub(in crate::provider) struct Budget {
    shared: Arc<Shared>,
    name: BudgetName,
}

impl Budget {
    /// The budget of `name`. A new key or setting of the account changes nothing of it.
    pub(in crate::provider) fn new(shared: &Arc<Shared>, name: &str) -> Arc<Self> {
        Arc::new(Self { shared: Arc::clone(shared), name: shared.names().budget("", name) })
    }
}

impl FleetPace for Budget {
    fn standing(&self) -> Standing {
        let replicas = u32::try_from(self.shared.replicas()).unwrap_or(u32::MAX);
        Standing { replicas, since: self.shared.whole_since() }
    }

    fn take(&self, order: SlotOrder) -> Taking {
        let SlotOrder { wanted, interval, tolerance, period, pause } = order;
        let slots = Slots { interval, tolerance, period };
        let ask = Take { budget: self.name.clone(), slots, calls: wanted, pause };
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let taken = shared.take(&ask).await.ok()?;
            let pause = (!taken.pause.is_zero()).then_some(taken.pause);
            Some(SlotAnswer { taken: taken.calls, next: taken.wait, pause })
        })
    }

    fn time_limit(&self) -> Duration {
        self.shared.timeout()
    }
}
