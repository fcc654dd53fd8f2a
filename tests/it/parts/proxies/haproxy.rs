//! HAProxy, which asks the login in a few lines of Lua.

use super::{Application, COOKIES, Recipe, system};

pub const HAPROXY: Recipe = Recipe {
    name: "haproxy",
    program: || system("haproxy"),
    arguments: &["-db", "-f", "haproxy.cfg"],
    documents: &[
        ("haproxy.cfg", include_str!("../../../../docs/proxies/haproxy.cfg")),
        ("haproxy-auth.lua", include_str!("../../../../docs/proxies/haproxy-auth.lua")),
    ],
    page: include_str!("../../../../docs/proxies/haproxy.md"),
    folder: "/etc/haproxy/",
    around: |_| Vec::new(),
    users: COOKIES,
    application: Some(Application {
        users: COOKIES,
        alices_name: "Alice%20Doe",
        visitor: 401,
        outage: 503,
        passes_websockets: true,
    }),
    hole: &[
        ("    http-request del-header X-Forwarded-User\n", ""),
        ("    http-request deny deny_status 401 unless { var(txn.login_status) -m int 200:299 }\n", ""),
        ("    http-request set-header X-Forwarded-User  %[var(txn.login_user)]\n", ""),
    ],
    gap: ("    http-request del-header X-Forwarded-Groups\n", ""),
};
