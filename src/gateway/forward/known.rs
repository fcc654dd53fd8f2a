//! What answers are searched for, made once for each generation of credentials: most providers have one that every call carries.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::gateway::answer::Needles;
use crate::provider::Carried;
use crate::secrets::Secret;

/// Those that were made last, of each group of calls: groups carry credentials of their own.
#[derive(Debug)]
pub struct KnownNeedles(Vec<ArcSwapOption<Known>>);

#[derive(Debug)]
struct Known {
    generation: u32,
    needles: Arc<Needles>,
}

impl KnownNeedles {
    /// None yet, for so many groups.
    pub(in crate::gateway) fn new(groups: usize) -> Self {
        Self(std::iter::repeat_with(ArcSwapOption::default).take(groups).collect())
    }

    /// Those of a call of this group. What was made for one call is forgotten with it.
    pub(super) fn of(&self, group: usize, carried: &Carried) -> Arc<Needles> {
        let make = || Arc::new(Needles::new(carried.secrets().map(Secret::expose)));
        let Some(own) = self.0.get(group).filter(|_| !carried.is_made()) else { return make() };
        let generation = carried.generation();
        if let Some(known) = own.load().as_ref()
            && known.generation == generation
        {
            return Arc::clone(&known.needles);
        }
        let needles = make();
        own.store(Some(Arc::new(Known { generation, needles: Arc::clone(&needles) })));
        needles
    }
}
