//! Traefik, which asks the login with the forwardAuth middleware.

use super::{COOKIES, Recipe};
use crate::judge::tool;

pub const TRAEFIK: Recipe = Recipe {
    name: "traefik",
    program: || tool("proxies/bin/traefik"),
    arguments: &["--configFile=traefik.yml"],
    documents: &[
        ("traefik.yml", include_str!("../../../../docs/proxies/traefik.yml")),
        ("dynamic.yml", include_str!("../../../../docs/proxies/traefik-dynamic.yml")),
    ],
    page: include_str!("../../../../docs/proxies/traefik.md"),
    folder: "/etc/traefik/",
    around: |_| Vec::new(),
    users: COOKIES,
    application: None,
    hole: &[("middlewares: [login, bare]", "middlewares: [bare]")],
    gap: ("          - X-Auth-Request-Groups\n", ""),
};
