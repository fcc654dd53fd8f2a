//! nginx, which asks the login with `auth_request`.

use std::path::Path;

use super::{Application, COOKIES, PASSWORDS, Recipe, password_file, system};

pub const NGINX: Recipe = Recipe {
    name: "nginx",
    program: || system("nginx"),
    arguments: &["-e", "error.log", "-c", "nginx.conf", "-p", "."],
    documents: &[("chat.conf", include_str!("../../../../docs/proxies/nginx.conf"))],
    page: include_str!("../../../../docs/nginx.md"),
    folder: "/etc/nginx/",
    around,
    users: COOKIES,
    application: Some(Application {
        users: PASSWORDS,
        alices_name: "Alice%20Doe",
        visitor: 200,
        outage: 500,
        passes_websockets: false,
    }),
    hole: &[
        ("        auth_request     /_login;\n", ""),
        ("        proxy_set_header X-Forwarded-User   $login_user;\n", ""),
    ],
    gap: ("$login_email;\n        proxy_set_header X-Forwarded-Groups \"\";\n", "$login_email;\n"),
};

/// The upstream of one instance, and that of two as the page shows it.
pub const PAIR: (&str, &str) = (
    "server 127.0.0.1:8080; keepalive 32;",
    "server 127.0.0.1:8080 fail_timeout=2s; server 127.0.0.1:8081 fail_timeout=2s; keepalive 32;",
);

/// What is around the documented file on a test's nginx: one process, and everything in its folder.
fn around(folder: &Path) -> Vec<(&'static str, String)> {
    let folder = folder.display();
    let parts = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = parts.map(|part| format!("  {part}_temp_path {folder}/{part};\n")).concat();
    let text = format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log info;\n\
         events {{}}\nhttp {{\n  access_log off;\n{temporary}  \
         proxy_cache_path {folder}/cache keys_zone=shared:1m;\n  include {folder}/chat.conf;\n}}\n"
    );
    vec![("nginx.conf", text), ("users.htpasswd", password_file())]
}
