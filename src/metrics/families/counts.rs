//! Counters read back: what they count, by the values of two labels.

use std::collections::BTreeMap;

use prometheus::proto::MetricFamily;

use crate::metrics::Metrics;

/// Two values of labels.
type Pair = [String; 2];

/// What the counters of a family have counted, where other labels are added up.
pub type Counts = BTreeMap<Pair, u64>;

impl Metrics {
    /// The counters of the families with these names and labels, in their order. Most counters stand at zero for good: those are
    /// left out.
    pub fn counts<const N: usize>(&self, wanted: [(&str, [&str; 2]); N]) -> [Counts; N] {
        let all = self.registry.gather();
        wanted.map(|(name, labels)| {
            let mut counts = Counts::new();
            for metric in all.iter().filter(|family| family.name() == name).flat_map(MetricFamily::get_metric) {
                let value = |wanted: &str| {
                    let own = metric.get_label().iter().find(|label| label.name() == wanted);
                    own.map(|label| label.value().to_owned()).unwrap_or_default()
                };
                // The crate hands counts out as floating-point numbers.
                let counted: u64 = format!("{:.0}", metric.get_counter().get_value()).parse().unwrap_or(0);
                if counted > 0 {
                    *counts.entry(labels.map(value)).or_default() += counted;
                }
            }
            counts
        })
    }
}
