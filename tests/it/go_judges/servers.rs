//! Chat servers behind the service: their unmodified clients bring the service's tokens to the real thing.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::clients::stand_ins::{LIVEKIT_KEY, SECRET, centrifuge_renews, livekit_renews};
use crate::eventually::eventually;
use crate::fakes::http::Script;
use crate::fakes::provider::Fake;
use crate::judge::{judge, tool};
use crate::parts::Part;
use crate::parts::proxies::own_address;
use crate::presets::today;
use crate::webhooks::preset::of_scheme;

/// A Centrifugo whose HTTP API is set up so, with one namespace.
pub async fn centrifugo_server(http_api: Value, namespace: &Value) -> (SocketAddr, Part) {
    let (folder, address) = (tempfile::tempdir().unwrap(), own_address());
    let text = json!({
        "http_server": {"address": address.ip(), "port": address.port()},
        "client": {"token": {"hmac_secret_key": SECRET}, "allowed_origins": ["*"]},
        "http_api": http_api,
        "channel": {"namespaces": [namespace]},
    });
    std::fs::write(folder.path().join("config.json"), text.to_string()).unwrap();
    let part = Part::start("centrifugo", folder, &tool("bin/centrifugo"), ["-c", "config.json"], &[]);
    part.listens(address).await;
    (address, part)
}

#[tokio::test(flavor = "multi_thread")]
async fn centrifugo() {
    let namespace = json!({"name": "team", "presence": true, "allow_presence_for_subscriber": true});
    let (address, _part) = centrifugo_server(json!({}), &namespace).await;
    centrifuge_renews(Some(&format!("ws://{address}/connection/websocket"))).await;
}

/// A LiveKit server, which posts events to `webhooks`, if anywhere.
pub async fn livekit_server(webhooks: Option<String>) -> (SocketAddr, Part) {
    let (folder, address) = (tempfile::tempdir().unwrap(), own_address());
    // It listens for media on every address, where the port of another test's server may be the same: the system chooses.
    let media = std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap();
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
        "webhook": {"api_key": LIVEKIT_KEY, "urls": webhooks.as_slice()},
    });
    std::fs::write(folder.path().join("livekit.yaml"), text.to_string()).unwrap();
    let part = Part::start("livekit-server", folder, &tool("bin/livekit-server"), ["--config", "livekit.yaml"], &[]);
    part.listens(address).await;
    (address, part)
}

#[tokio::test(flavor = "multi_thread")]
async fn livekit() {
    let (address, _part) = livekit_server(None).await;
    livekit_renews(Some(&format!("ws://{address}"))).await;
}

/// A whole call, whose events go to an application that is down for the first half of it: each arrives once, and in order.
#[tokio::test(flavor = "multi_thread")]
async fn events_of_livekit_outlive_an_outage_of_the_application() {
    let down = own_address();
    let case = json!({"keys": {LIVEKIT_KEY: SECRET}, "to": format!("http://{down}")});
    let stage = of_scheme("livekit-webhook")[0].start(&case, today()).await;
    let hooks = format!("http://{}/webhooks/chat", stage.service.webhooks.unwrap());
    let (address, _part) = livekit_server(Some(hooks)).await;
    let (clock, application) = (Arc::clone(&stage.service.clock), stage.application.clone());
    // Now it comes up.
    let half = Fake::start(move |_| {
        assert!(application.received().is_empty());
        tokio::spawn(relay(down, application.fake.address));
        clock.advance(Duration::from_secs(1));
        Script::json(200, &json!({}))
    })
    .await;
    let order = json!({
        "server": format!("ws://{address}"), "key": LIVEKIT_KEY, "secret": SECRET, "room": "lobby", "half": half.base_url(),
    });
    let posted = judge("livekit-call.mjs", order);
    let posted: Vec<&str> = posted.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    eventually("all events were posted", async || {
        stage.ended("accepted").await + stage.ended("duplicate").await
            >= f64::from(u32::try_from(posted.len()).unwrap())
    })
    .await;
    eventually("all events are delivered", async || {
        stage.service.advance(1);
        stage.application.received().len() >= posted.len()
    })
    .await;
    let received = stage.application.received();
    let names: Vec<&str> = received.iter().filter_map(|event| event.call.json["event"].as_str()).collect();
    assert_eq!(names, posted);
    let ids: BTreeSet<&str> = received.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids.len(), posted.len());
}

/// Listens at `from`, and passes connections on to `to`.
async fn relay(from: SocketAddr, to: SocketAddr) {
    let listener = TcpListener::bind(from).await.unwrap();
    while let Ok((mut near, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut far = TcpStream::connect(to).await?;
            tokio::io::copy_bidirectional(&mut near, &mut far).await
        });
    }
}
