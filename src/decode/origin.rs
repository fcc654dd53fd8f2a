//! Origins as browsers write them in `Origin` (RFC 6454, section 6.2).
//!
//! A page of a site has `https` or `http`. The shell of an app and an extension have schemes of their own, such as
//! `capacitor://localhost`. What stands for many pages at once, as `null` and `file://` do, is no origin here.

/// Bytes of an origin at most: scheme, a host of 253 and a port.
const LONGEST: usize = 300;
/// Schemes that no page of its own has: what they name stands for every file, or is no page at all.
const NEVER: [&str; 10] =
    ["about", "blob", "data", "file", "filesystem", "ftp", "javascript", "view-source", "ws", "wss"];

/// The same origin without a port that its scheme has anyway: browsers leave it out, other programs may not.
pub fn without_default_port(origin: &str) -> &str {
    let default = match origin.split_once("://") {
        Some(("https", _)) => ":443",
        Some(("http", _)) => ":80",
        _ => return origin,
    };
    origin.strip_suffix(default).unwrap_or(origin)
}

/// The origin that `text` is, without a default port; `None` where no browser would write it so.
pub fn parse(text: &str) -> Option<&str> {
    let (scheme, authority) = text.split_once("://").filter(|_| text.len() <= LONGEST)?;
    let is_one = match scheme {
        "https" | "http" => is_of_site(without_default_port(text)),
        _ => is_scheme(scheme) && is_authority(authority),
    };
    is_one.then(|| without_default_port(text))
}

/// Whether this is how a browser writes the origin of a site: lower case, ASCII, nothing behind the port.
fn is_of_site(text: &str) -> bool {
    // A wildcard would never match: origins are compared whole.
    let canonical = url::Url::parse(text).ok().map(|url| url.origin().ascii_serialization());
    canonical.as_deref() == Some(text) && !text.contains('*') // T-41: canonical origin
}

fn is_scheme(scheme: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(plain)
        && !NEVER.contains(&scheme)
}

/// The name of an app or the id of an extension, which some browsers write in capitals.
fn is_authority(authority: &str) -> bool {
    let (name, port) = authority.split_once(':').map_or((authority, None), |(name, port)| (name, Some(port)));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    !name.is_empty()
        && name.bytes().all(plain)
        && port.is_none_or(|port| (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_apps_and_extensions_have_origins() {
        for origin in [
            "https://app.example.com",
            "http://localhost:3000",
            "http://tauri.localhost",
            "https://[::1]:8443",
            "capacitor://localhost",
            "ionic://localhost",
            "tauri://localhost",
            "app://obsidian.md",
            "app://-",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            "moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc",
            "safari-web-extension://E2D7A2A1-4B8F-4C0B-9B3E-0F1B2C3D4E5F",
            "vscode-webview://1a2b3c",
            "capacitor://localhost:8080",
        ] {
            assert_eq!(parse(origin), Some(origin));
        }
    }

    #[test]
    fn a_default_port_is_no_difference() {
        for (written, origin) in [
            ("https://app.example.com:443", "https://app.example.com"),
            ("http://app.example.com:80", "http://app.example.com"),
            ("https://app.example.com:80", "https://app.example.com:80"),
            ("http://app.example.com:443", "http://app.example.com:443"),
            ("https://[::1]:443", "https://[::1]"),
            ("capacitor://localhost:443", "capacitor://localhost:443"),
        ] {
            assert_eq!(parse(written), Some(origin));
            assert_eq!(without_default_port(written), origin);
        }
    }

    /// T-41.
    #[test]
    fn what_stands_for_many_or_is_written_otherwise_is_none() {
        let long = format!("https://{}.example", "a".repeat(300));
        for text in [
            "",
            "*",
            "null",
            "https://",
            "https://*",
            "https://*.example.com",
            "https://App.example.com",
            "HTTPS://app.example.com",
            "https://app.example.com/",
            "https://app.example.com:0443",
            "https://app.example.com:443:443",
            "https://app.example.com/x",
            "https://app.example.com?x",
            "https://user@app.example.com",
            "https://b\u{fc}cher.example",
            "app.example.com",
            "file://",
            "file:///",
            "file://localhost",
            "ftp://shop.example.com",
            "data:text/html,x",
            "blob:https://app.example.com",
            "about:blank",
            "capacitor://",
            "capacitor://*",
            "capacitor://localhost/",
            "capacitor://a@localhost",
            "capacitor://localhost:",
            "capacitor://localhost:999999",
            "Capacitor://localhost",
            "chrome-extension://*",
            "1app://localhost",
            "://localhost",
            "app://a b",
            "app://a\nb",
            &long,
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
