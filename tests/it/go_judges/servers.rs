//! Chat servers behind the service: their unmodified clients bring the service's tokens to the real thing.

use serde_json::json;

use crate::clients::stand_ins::{LIVEKIT_KEY, SECRET, centrifuge_renews, livekit_renews};
use crate::judge::tool;
use crate::parts::Part;
use crate::parts::proxies::own_address;

#[tokio::test(flavor = "multi_thread")]
async fn centrifugo() {
    let (folder, address) = (tempfile::tempdir().unwrap(), own_address());
    let namespace = json!({"name": "team", "presence": true, "allow_presence_for_subscriber": true});
    let text = json!({
        "http_server": {"address": address.ip(), "port": address.port()},
        "client": {"token": {"hmac_secret_key": SECRET}, "allowed_origins": ["*"]},
        "channel": {"namespaces": [namespace]},
    });
    std::fs::write(folder.path().join("config.json"), text.to_string()).unwrap();
    let part = Part::start("centrifugo", folder, &tool("bin/centrifugo"), ["-c", "config.json"], &[]);
    part.listens(address).await;
    centrifuge_renews(Some(&format!("ws://{address}/connection/websocket"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn livekit() {
    let (folder, address, media) = (tempfile::tempdir().unwrap(), own_address(), own_address());
    // It reads YAML, and JSON is YAML.
    let text = json!({
        "port": address.port(),
        "bind_addresses": [address.ip()],
        "rtc": {
            "tcp_port": media.port(),
            "udp_port": media.port(),
            "use_external_ip": false,
            "node_ip": address.ip(),
            "enable_loopback_candidate": true,
        },
        "keys": {LIVEKIT_KEY: SECRET},
    });
    std::fs::write(folder.path().join("livekit.yaml"), text.to_string()).unwrap();
    let part = Part::start("livekit-server", folder, &tool("bin/livekit-server"), ["--config", "livekit.yaml"], &[]);
    part.listens(address).await;
    livekit_renews(Some(&format!("ws://{address}"))).await;
}
