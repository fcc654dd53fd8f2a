//! Caddy, which asks the login with `forward_auth`.

use super::{COOKIES, Recipe};
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
    application: None,
    hole: &[
        ("\t\trequest_header -X-Forwarded-User\n", ""),
        ("\t\tforward_auth 127.0.0.1:4180 {", "\t\tforward_auth /never 127.0.0.1:4180 {"),
    ],
    gap: ("\t\trequest_header -X-Forwarded-Groups\n", ""),
};
