//! The section `[cache.shared]`, word for word.

use std::time::Duration;

use serde::Deserialize;

use crate::config::CutOff;
use crate::definition::{Count, MILLI, Span};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Shared {
    pub(in crate::config) mode: SharedMode,
    pub(in crate::config) service: Option<String>,
    pub(in crate::config) urls: Vec<String>,
    pub(in crate::config) fleet: Option<String>,
    pub(in crate::config) username: Option<String>,
    pub(in crate::config) password_file: Option<String>,
    pub(in crate::config) sentinel_password_file: Option<String>,
    pub(in crate::config) ca_file: Option<String>,
    pub(in crate::config) client_cert_file: Option<String>,
    pub(in crate::config) client_key_file: Option<String>,
    pub(in crate::config) names_file: Option<String>,
    pub(in crate::config) key_dir: Option<String>,
    pub(in crate::config) timeout: Span<{ 50 * MILLI }, MILLI>,
    pub(in crate::config) expect_replicas: Option<Count<10_000, 1>>,
    pub(in crate::config) cut_off: CutOff,
    pub(in crate::config) insecure_plaintext: bool,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            mode: SharedMode::Single,
            service: None,
            urls: Vec::new(),
            fleet: None,
            username: None,
            password_file: None,
            sentinel_password_file: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            names_file: None,
            key_dir: None,
            timeout: Span(Duration::from_millis(5)),
            expect_replicas: None,
            cut_off: CutOff::Serve,
            insecure_plaintext: false,
        }
    }
}

/// What kind of deployment the tier is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum SharedMode {
    Single,
    Sentinel,
    Cluster,
}
