//! The tables `[teams.NAME]`, word for word: what the platform grants a team.

use serde::Deserialize;

use crate::definition::Count;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Team {
    pub(in crate::config) hosts: Vec<String>,
    pub(in crate::config) secrets: Option<String>,
    pub(in crate::config) provider_hosts: Vec<String>,
    pub(in crate::config) requests: Option<String>,
    pub(in crate::config) in_flight: Count<100_000, 1>,
    pub(in crate::config) max_bytes: Count<{ 1 << 40 }>,
    pub(in crate::config) max_providers: Count<256, 1>,
    pub(in crate::config) max_routes: Count<1024, 1>,
}

impl Default for Team {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            secrets: None,
            provider_hosts: Vec::new(),
            requests: None,
            in_flight: Count(256),
            max_bytes: Count(16 * 1024 * 1024),
            max_providers: Count(8),
            max_routes: Count(32),
        }
    }
}
