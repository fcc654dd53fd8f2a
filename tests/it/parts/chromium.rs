//! Headless Chromium, ordered about by `tests/parts/browser.mjs`. Every visitor has a fresh profile.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::{Part, call};

/// A running browser.
pub struct Chromium {
    orders: SocketAddr,
    _part: Part,
}

/// A person with cookies and a page of their own.
pub struct Visitor<'a> {
    browser: &'a Chromium,
    name: &'static str,
}

impl Chromium {
    pub async fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parts/browser.mjs");
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().to_owned();
        let environment = [("TMPDIR", own.as_path()), ("HOME", &own)];
        let part = Part::start("chromium", folder, Path::new("node"), [script], &environment);
        let orders = part.address_after("orders on http://127.0.0.1:").await;
        Self { orders, _part: part }
    }

    /// A new visitor, whose requests all carry these headers.
    pub async fn visitor(&self, name: &'static str, headers: &Value) -> Visitor<'_> {
        self.arrive(name, json!({"headers": headers})).await
    }

    /// A new visitor whose browser runs no scripts.
    pub async fn visitor_without_scripts(&self, name: &'static str) -> Visitor<'_> {
        self.arrive(name, json!({"headers": {}, "scripts": false})).await
    }

    async fn arrive(&self, name: &'static str, order: Value) -> Visitor<'_> {
        let visitor = Visitor { browser: self, name };
        visitor.order("arrive", order).await;
        visitor
    }
}

impl Visitor<'_> {
    async fn order(&self, action: &str, mut order: Value) -> Value {
        order["visitor"] = json!(self.name);
        order["action"] = json!(action);
        let answer = call(self.browser.orders, "POST", "/", None, &order).await;
        assert_eq!(answer.status, 200, "{}: {order}: {}", self.name, answer.text());
        answer.json()
    }

    /// Opens an address; gives the one where that led to.
    pub async fn visit(&self, url: &str) -> String {
        self.order("visit", json!({"url": url})).await.as_str().unwrap().to_owned()
    }

    pub async fn click(&self, selector: &str) {
        self.order("click", json!({"on": selector})).await;
    }

    /// Waits until the element is shown and says `text`; gives all that it says.
    pub async fn read(&self, selector: &str, text: &str) -> String {
        self.order("read", json!({"on": selector, "text": text})).await.as_str().unwrap().to_owned()
    }

    /// How the person wants to see pages: `colorScheme`, `forcedColors`, and the `width` of the window.
    pub async fn look(&self, how: Value) {
        self.order("look", how).await;
    }

    /// What axe finds wrong with the page (`wrong`), how many of its rules it keeps (`checked`), and whether it is wider than the
    /// window (`wide`).
    pub async fn audit(&self) -> Value {
        self.order("audit", json!({})).await
    }

    /// What the Tab key reaches, one after the other.
    pub async fn tab(&self, times: usize) -> Value {
        self.order("tab", json!({"times": times})).await
    }

    /// Cookies run out.
    pub async fn forget_cookies(&self) {
        self.order("forgetCookies", json!({})).await;
    }

    /// All that the page asked for, complained about and keeps.
    pub async fn report(&self) -> Value {
        self.order("report", json!({})).await
    }
}
