//! Closed sets: enums whose members are values of a label.

use strum::VariantArray;

use crate::metrics::Counter;

/// A closed set of values of a label. Where an enum derives `VariantArray` and `IntoStaticStr`, it is one.
pub trait Label: VariantArray + Copy + PartialEq + Into<&'static str> {
    /// Stable text for metrics and logs.
    fn label(self) -> &'static str {
        self.into()
    }
}

impl<E: VariantArray + Copy + PartialEq + Into<&'static str>> Label for E {}

/// Something for each variant, most of the time a counter: resolved once, so that counting is one addition.
#[derive(Clone, Debug)]
pub struct ByVariant<E: 'static, T = Counter>(Box<[(E, T)]>);

impl<E: VariantArray + Copy + PartialEq, T> ByVariant<E, T> {
    /// What `make` makes of each variant.
    pub fn new(mut make: impl FnMut(E) -> T) -> Self {
        Self(E::VARIANTS.iter().map(|variant| (*variant, make(*variant))).collect())
    }

    /// What belongs to this variant.
    pub fn get(&self, variant: E) -> Option<&T> {
        self.0.iter().find(|(own, _)| *own == variant).map(|(_, thing)| thing)
    }
}

impl<E: VariantArray + Copy + PartialEq> ByVariant<E> {
    /// Counts one of this variant.
    pub fn inc(&self, variant: E) {
        if let Some(counter) = self.get(variant) {
            counter.inc();
        }
    }
}
