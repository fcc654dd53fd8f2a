//! nginx, which asks the login with `auth_request`.

use std::path::Path;

use super::{COOKIE, Recipe, system};

pub const NGINX: Recipe = Recipe {
    name: "nginx",
    program: || system("nginx"),
    arguments: &["-e", "error.log", "-c", "nginx.conf", "-p", "."],
    documents: &[("chat.conf", include_str!("../../../../docs/proxies/nginx.conf"))],
    page: include_str!("../../../../docs/nginx.md"),
    folder: "/etc/nginx/",
    around,
    sign_in: COOKIE,
    hole: &[
        ("        auth_request     /_login;\n", ""),
        ("        proxy_set_header X-Forwarded-User   $login_user;\n", ""),
    ],
    gap: ("$login_email;\n        proxy_set_header X-Forwarded-Groups \"\";\n", "$login_email;\n"),
};

fn around(folder: &Path) -> Vec<(&'static str, String)> {
    vec![("nginx.conf", crate::nginx::around(folder)), ("users.htpasswd", String::new())]
}
