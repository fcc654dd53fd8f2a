//! Envoy, which asks the login with its filter for external authorization.

use super::{Application, COOKIES, Recipe};
use crate::judge::tool;

pub const ENVOY: Recipe = Recipe {
    name: "envoy",
    program: || tool("venv/bin/envoy"),
    arguments: &["-c", "envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "-l", "error"],
    documents: &[("envoy.yaml", include_str!("../../../../docs/proxies/envoy.yaml"))],
    page: include_str!("../../../../docs/proxies/envoy.md"),
    folder: "/etc/envoy/",
    around: |_| Vec::new(),
    users: COOKIES,
    application: Some(Application {
        users: COOKIES,
        alices_name: "Alice%20Doe",
        visitor: 302,
        outage: 503,
        passes_websockets: true,
    }),
    hole: &[
        ("\"x[-_.]auth[-_.]request[-_.].*\"", "\"x-never\""),
        ("failure_mode_allow: false", "filter_enabled: { default_value: { numerator: 0 } }"),
    ],
    gap: ("\"x[-_.]auth[-_.]request[-_.].*\"", "\"x-auth-request-user\""),
};
