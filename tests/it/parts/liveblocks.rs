//! The Liveblocks dev server: their API on this machine. It checks the secret key and what is asked for, and signs nothing.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;

use super::{Part, call};
use crate::judge::tool;

/// The one secret key that it takes.
pub const SECRET: &str = "sk_localdev";

/// A running server.
pub struct Liveblocks {
    address: SocketAddr,
    _part: Part,
}

impl Liveblocks {
    pub async fn start() -> Self {
        let platform = if cfg!(target_arch = "aarch64") { "aarch64" } else { "x64" };
        let bun = tool(&format!("node/node_modules/@oven/bun-linux-{platform}/bin/bun"));
        let server = tool("node/node_modules/liveblocks/dist/index.js");
        let options = ["dev", "--random-port", "--host", "127.0.0.1", "--no-check"].map(Path::new);
        let arguments = [server.as_path()].into_iter().chain(options);
        let part = Part::start("liveblocks", tempfile::tempdir().unwrap(), &bun, arguments, &[]);
        let address = part.address_after("running at http://127.0.0.1:").await;
        Self { address, _part: part }
    }

    /// Where its API is, without a path.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

#[tokio::test]
async fn it_hands_out_tokens_for_its_key_only() {
    let liveblocks = Liveblocks::start().await;
    let wanted = json!({"userId": "alice", "permissions": {"room:*": ["room:write"]}});
    let answer = call(liveblocks.address, "POST", "/v2/authorize-user", Some(SECRET), &wanted).await;
    assert_eq!(answer.status, 200);
    assert!(answer.json()["token"].as_str().unwrap().starts_with("ey"));
    let refused = call(liveblocks.address, "POST", "/v2/authorize-user", Some("sk_other"), &wanted).await;
    assert_eq!((refused.status, &refused.json()["error"]), (403, &json!("Forbidden")));
    assert_eq!(liveblocks.base_url(), format!("http://127.0.0.1:{}", liveblocks.address.port()));
}
