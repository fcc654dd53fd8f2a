//! Traefik, which asks the login with the forwardAuth middleware.

use super::{Application, COOKIES, Recipe};
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
    application: Some(Application {
        users: COOKIES,
        alices_name: "Alice%20Doe",
        visitor: 401,
        outage: 500,
        passes_websockets: true,
    }),
    hole: &[("middlewares: [login, bare]", "middlewares: [bare]")],
    gap: ("          - X-Auth-Request-Groups\n", ""),
};
