//! Every metric of the service, declared once.
//!
//! Each room of the service has a file here with its table: [`families!`](families) takes the name, the doc comment
//! (which is the help text), the kind and the labels of each family and makes a struct with a method for each. To add a
//! family, add its three lines to the table of its room, and a row to the table of `docs/observability.md`; a test compares
//! the two. To add a room, write `src/metrics/ROOM.rs` with a table of its own and add one line to `rooms!` below. The
//! room then asks `metrics.ROOM.FAMILY("value of each label")` once for each series that it counts in.
//!
//! Labels come from small closed sets (configured names and enums), never from requests. Handles are resolved once,
//! by the room that counts, so that counting on the warm path is one atomic addition.

mod delivery;
mod families;
mod gateway;
mod identity;
mod inbound;
mod process;
mod provider;
mod session;
mod shared;
mod teams;
mod webhook;

use std::sync::Arc;

use prometheus::{Registry, TextEncoder};

pub use delivery::DeliveryFamilies;
pub use families::{ByVariant, Counts, Family, Label, Lag, Size};
pub use gateway::GatewayFamilies;
pub use identity::{IdentityFamilies, KeySetMetrics};
pub use inbound::InboundFamilies;
pub use process::ProcessFamilies;
pub use provider::{ProviderFamilies, SigningKeyLine};
pub use session::SessionFamilies;
pub use shared::SharedFamilies;
pub use webhook::WebhookFamilies;

/// A count that only grows.
pub type Counter = prometheus::IntCounter;
/// A value that goes up and down.
pub type Gauge = prometheus::IntGauge;
/// A distribution of durations in seconds.
pub type Histogram = prometheus::Histogram;

/// Makes [`Metrics`] of the tables of the rooms.
macro_rules! rooms {
    ($($(#[doc = $about:literal])+ $room:ident: $families:ident,)+) => {
        /// The registry and every family in it.
        #[derive(Debug)]
        #[expect(clippy::partial_pub_fields, reason = "rooms take their families; the registry is only written out")]
        pub struct Metrics {
            registry: Registry,
            shown_keys: provider::ShownKeys,
            teams: teams::Teams,
            $($(#[doc = $about])+ pub $room: $families,)+
        }

        impl Metrics {
            /// All that is declared.
            pub const FAMILIES: &[&[Family]] = &[$($families::DECLARED),+];

            /// Creates and registers every family. Fails only if two families had one name, which a test excludes.
            pub fn new() -> Result<Self, prometheus::Error> {
                let own = Self::within(Registry::new(), true)?;
                own.process.build_info(env!("CARGO_PKG_VERSION")).set(1);
                Ok(own)
            }

            /// Every family in this registry. Where it is not the process's own, `is_shown` is false: nothing is shown
            /// before its first use.
            fn within(registry: Registry, is_shown: bool) -> Result<Self, prometheus::Error> {
                Ok(Self {
                    $($room: $families::register(&registry, is_shown)?,)+
                    shown_keys: provider::ShownKeys::default(),
                    teams: teams::Teams::default(),
                    registry,
                })
            }
        }
    };
}

rooms! {
    /// The listeners.
    inbound: InboundFamilies,
    /// Sessions.
    session: SessionFamilies,
    /// The shared tier.
    shared: SharedFamilies,
    /// Identity.
    identity: IdentityFamilies,
    /// Providers.
    provider: ProviderFamilies,
    /// Webhooks.
    webhook: WebhookFamilies,
    /// Deliveries of webhooks.
    delivery: DeliveryFamilies,
    /// The gateway.
    gateway: GatewayFamilies,
    /// The process.
    process: ProcessFamilies,
}

impl Metrics {
    /// Shows the signing keys of all providers, and no others.
    pub fn show_keys(&self, keys: &[SigningKeyLine]) {
        self.shown_keys.show(&self.provider, keys);
    }

    /// The counters of a team: every series has the label `team` beside its own. They are shown here for as long as
    /// they are held, and a team that is asked for again meanwhile goes on counting in the same ones.
    pub fn team(&self, name: &str) -> Result<Arc<Self>, prometheus::Error> {
        self.teams.of(name)
    }

    /// Everything as Prometheus text.
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.teams.gather(self.registry.gather())).unwrap_or_default()
    }

    /// Content type of [`Metrics::render`].
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";
}
