//! The section `[gateway]` without its lists and its callers, and one item of each list, word for word.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Tls;
use super::address::Address;
use crate::definition::{Count, MINUTE, Span};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Gateway {
    pub(in crate::config) listen: Option<Address>,
    pub(in crate::config) tls: Option<Tls>,
    pub(in crate::config) hosts: Vec<String>,
    pub(in crate::config) wait: Span<MINUTE>,
    pub(in crate::config) max_in_flight: Count<65_536, 1>,
    pub(in crate::config) max_in_flight_per_caller: Count<65_536, 1>,
    /// Read on their own, from all files.
    mounts: IgnoredAny,
    /// Read one by one.
    callers: IgnoredAny,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            listen: None,
            tls: None,
            hosts: Vec::new(),
            wait: Span::seconds(0),
            max_in_flight: Count(256),
            max_in_flight_per_caller: Count(64),
            mounts: IgnoredAny,
            callers: IgnoredAny,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Mount {
    pub(in crate::config) provider: String,
    pub(in crate::config) listen: Option<Address>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Grant {
    pub(in crate::config) provider: String,
    pub(in crate::config) allow: Vec<String>,
    #[serde(default)]
    pub(in crate::config) only: BTreeMap<String, Vec<String>>,
    pub(in crate::config) rate: Option<String>,
}

/// Whether a caller may call as a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActsAs {
    /// As none.
    #[default]
    None,
    /// As any user, by its word alone.
    Any,
    /// As a user whose own signed assertion comes along.
    Proven,
}
