//! The macro that declares families of metrics: name, help text, kind and labels stand once.

mod counts;
mod label;

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

pub use counts::Counts;
pub use label::{ByVariant, Label};

use crate::metrics::{Counter, Gauge, Histogram};

/// What is declared of a family. `docs/observability.md` lists the same; a test compares both.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Full name, as `/metrics` shows it.
    pub name: &'static str,
    /// Help text: the doc comment of its declaration.
    pub help: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Names of the labels.
    pub labels: &'static [&'static str],
}

/// Kinds of metrics.
pub(super) trait Kind: Sized {
    /// What `/metrics` calls the kind.
    const NAME: &'static str;
    /// All series of a family.
    type Series: Collector + Clone + 'static;

    fn series(family: Family) -> Result<Self::Series, prometheus::Error>;

    /// The series with these values of its labels.
    fn of(series: &Self::Series, values: &[&str]) -> Self;

    /// Registers a family. One without labels is shown from the start if it `is_shown`, and otherwise from its first use.
    fn register(family: Family, registry: &Registry, is_shown: bool) -> Result<Self::Series, prometheus::Error> {
        let series = Self::series(family)?;
        registry.register(Box::new(series.clone()))?;
        if is_shown && family.labels.is_empty() {
            // The only series there can be is shown from the start.
            let _shown = Self::of(&series, &[]);
        }
        Ok(series)
    }
}

/// Buckets from a cache hit (tens of microseconds) to the longest deadline.
const SECONDS: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

impl Kind for Counter {
    const NAME: &'static str = "counter";
    type Series = IntCounterVec;

    fn series(family: Family) -> Result<IntCounterVec, prometheus::Error> {
        IntCounterVec::new(Opts::new(family.name, family.help), family.labels)
    }

    fn of(series: &IntCounterVec, values: &[&str]) -> Self {
        series.with_label_values(values)
    }
}

impl Kind for Gauge {
    const NAME: &'static str = "gauge";
    type Series = IntGaugeVec;

    fn series(family: Family) -> Result<IntGaugeVec, prometheus::Error> {
        IntGaugeVec::new(Opts::new(family.name, family.help), family.labels)
    }

    fn of(series: &IntGaugeVec, values: &[&str]) -> Self {
        series.with_label_values(values)
    }
}

impl Kind for Histogram {
    const NAME: &'static str = "histogram";
    type Series = HistogramVec;

    fn series(family: Family) -> Result<HistogramVec, prometheus::Error> {
        HistogramVec::new(HistogramOpts::new(family.name, family.help).buckets(SECONDS.to_vec()), family.labels)
    }

    fn of(series: &HistogramVec, values: &[&str]) -> Self {
        series.with_label_values(values)
    }
}

/// A distribution of spans of seconds to days, in seconds.
#[derive(Clone, Debug)]
pub struct Lag(Histogram);

/// A distribution of small numbers.
#[derive(Clone, Debug)]
pub struct Size(Histogram);

/// Buckets of a [`Lag`], and of a [`Size`].
const LAGS: [f64; 11] = [0.005, 0.025, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0, 3600.0, 21600.0, 86400.0];
const SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Makes a distribution with buckets of its own a kind.
macro_rules! distribution {
    ($kind:ident, $buckets:ident) => {
        impl $kind {
            /// Takes one value.
            pub fn observe(&self, value: f64) {
                self.0.observe(value);
            }
        }

        impl Kind for $kind {
            const NAME: &'static str = "histogram";
            type Series = HistogramVec;

            fn series(family: Family) -> Result<HistogramVec, prometheus::Error> {
                HistogramVec::new(
                    HistogramOpts::new(family.name, family.help).buckets($buckets.to_vec()),
                    family.labels,
                )
            }

            fn of(series: &HistogramVec, values: &[&str]) -> Self {
                Self(series.with_label_values(values))
            }
        }
    };
}
distribution!(Lag, LAGS);
distribution!(Size, SIZES);

/// Declares the families of a room as a struct with one method for each, which takes the values of the labels and
/// returns the series. The doc comment of a family is its help text. With `, when_used` behind the name of the struct
/// nothing of it is shown before its first use.
macro_rules! families {
    (
        $(#[doc = $about:literal])+
        $room:ident $(, $when:ident)? {
            $($(#[doc = $help:literal])+ $method:ident($($label:ident),*): $kind:ty = $name:literal;)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug)]
        pub struct $room {
            $($method: <$kind as $crate::metrics::families::Kind>::Series,)+
        }

        impl $room {
            /// What is declared here.
            pub(super) const DECLARED: &'static [$crate::metrics::Family] =
                &[$($crate::metrics::families::families!(@family $name, $kind, [$($help)+], [$($label)*])),+];

            pub(super) fn register(registry: &prometheus::Registry, is_shown: bool) -> Result<Self, prometheus::Error> {
                use $crate::metrics::families::{Kind, families};
                let is_shown = is_shown && families!(@is_shown $($when)?);
                Ok(Self {
                    $($method: <$kind as Kind>::register(
                        families!(@family $name, $kind, [$($help)+], [$($label)*]),
                        registry,
                        is_shown,
                    )?,)+
                })
            }

            $(
                $(#[doc = $help])+
                pub fn $method(&self, $($label: &str),*) -> $kind {
                    <$kind as $crate::metrics::families::Kind>::of(&self.$method, &[$($label),*])
                }
            )+
        }
    };
    (@is_shown) => { true };
    (@is_shown when_used) => { false };
    (@family $name:literal, $kind:ty, [$($help:literal)+], [$($label:ident)*]) => {
        $crate::metrics::Family {
            name: $name,
            help: concat!($($help),+).trim_ascii(),
            kind: <$kind as $crate::metrics::families::Kind>::NAME,
            labels: &[$(stringify!($label)),*],
        }
    };
}

pub(super) use families;
