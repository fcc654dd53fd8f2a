//! Caddy, which asks the login with `forward_auth`.

use super::{Application, COOKIES, Recipe};
use crate::judge::tool;

pub const CADDY: Recipe = Recipe {
    name: "caddy",
    program: || tool("proxies/bin/caddy"),
    arguments: &["run", "--config", "Caddyfile", "--adapter", "caddyfile"],
    documents: &[("Caddyfile", include_str!("../../../../docs/proxies/Caddyfile"))],
    page: include_str!("../../../../docs/proxies/caddy.md"),
    folder: "/etc/caddy/",
    around: |_| Vec::new(),
    users: COOKIES,
    application: Some(Application {
        users: COOKIES,
        alices_name: "Alice%20Doe",
        visitor: 401,
        outage: 502,
        passes_websockets: true,
    }),
    hole: &[
        ("\trequest_header -X-Forwarded-User\n", ""),
        ("\tforward_auth 127.0.0.1:4180 {", "\tforward_auth /never 127.0.0.1:4180 {"),
    ],
    gap: ("\trequest_header -X-Forwarded-Groups\n", ""),
};
