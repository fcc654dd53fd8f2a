//! What answers are searched for, made once for each generation of credentials: most providers have one that every call carries.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::gateway::answer::Needles;
use crate::provider::Carried;
use crate::secrets::Secret;

/// Those that were made last.
#[derive(Debug, Default)]
pub struct KnownNeedles(ArcSwapOption<Known>);

#[derive(Debug)]
struct Known {
    group: usize,
    generation: u32,
    needles: Arc<Needles>,
}

impl KnownNeedles {
    /// Those of a call of this group. What was made for one call is forgotten with it.
    pub(super) fn of(&self, group: usize, carried: &Carried) -> Arc<Needles> {
        let make = || Arc::new(Needles::new(carried.secrets().map(Secret::expose)));
        if carried.is_made() {
            return make();
        }
        let generation = carried.generation();
        if let Some(known) = self.0.load().as_ref()
            && (known.group, known.generation) == (group, generation)
        {
            return Arc::clone(&known.needles);
        }
        let needles = make();
        self.0.store(Some(Arc::new(Known { group, generation, needles: Arc::clone(&needles) })));
        needles
    }
}
