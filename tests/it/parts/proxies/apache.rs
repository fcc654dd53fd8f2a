//! Apache httpd, which asks for a password itself.

use std::path::Path;

use super::{PASSWORDS, Recipe, password_file, system};

pub const APACHE: Recipe = Recipe {
    name: "apache",
    program: || system("apache2"),
    arguments: &["-DFOREGROUND", "-d", ".", "-f", "apache2.conf"],
    documents: &[("chat.conf", include_str!("../../../../docs/proxies/apache.conf"))],
    page: include_str!("../../../../docs/proxies/apache.md"),
    folder: "/etc/apache2/",
    around,
    users: PASSWORDS,
    // It has no subrequest.
    application: None,
    hole: &[
        ("Require valid-user", "Require all granted"),
        ("    RequestHeader set   X-Forwarded-User \"expr=%{REMOTE_USER}\"\n", ""),
    ],
    gap: ("    RequestHeader unset X-Forwarded-Groups\n", ""),
};

/// What is around the documented file: modules, and everything in the test's folder.
fn around(folder: &Path) -> Vec<(&'static str, String)> {
    let shown = folder.display();
    let mut text =
        format!("ServerName localhost\nDefaultRuntimeDir \"{shown}\"\nPidFile \"{shown}/pid\"\nErrorLog /dev/stderr\n");
    let modules = "mpm_event authn_core authn_file authz_core authz_user auth_basic headers proxy proxy_http";
    for module in modules.split(' ') {
        text.push_str(&format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"));
    }
    text.push_str(&format!("Include \"{shown}/chat.conf\"\n"));
    vec![("apache2.conf", text), ("users", password_file())]
}
