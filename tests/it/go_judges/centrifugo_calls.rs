//! A real Centrifugo behind the gateway: its official library does what it is granted, and hears of the server's own refusals.

use serde_json::{Value, json};

use super::servers::centrifugo_server;
use crate::gateway::real_parts::{KEY, Mounted};
use crate::judge::judge;

const SECRET: &str = "real0123456789abcdef0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn its_library_does_what_it_is_granted_and_nothing_else() {
    let namespace = json!({"name": "shop", "presence": true, "history_size": 10, "history_ttl": "60s"});
    let (address, _part) = centrifugo_server(json!({"key": SECRET}), &namespace).await;
    let provider = format!("preset = \"centrifugo\"\napi_url = \"http://{address}\"");
    let (secrets, proof) = ([("api_key", SECRET)], ("X-API-Key", ""));
    let gateway = Mounted::start(&provider, "[\"default\", \"channel.history_remove\"]", proof, &secrets).await;
    let (channel, user) = (json!({"channel": "shop:1", "limit": 10}), json!({"user": "alice"}));
    let calls = json!([
        ["channel.publish", {"channel": "shop:1", "data": {"text": "ä"}}],
        ["channel.broadcast", {"channels": ["shop:1", "shop:2"], "data": "hi"}],
        ["channel.history", channel],
        ["channel.presence_stats", {"channel": "shop:1"}],
        ["channel.list", {}],
        ["node.info", {}],
        ["user.subscribe", {"user": "alice", "channel": "shop:1"}],
        ["channel.history_remove", {"channel": "shop:1"}],
        ["channel.history", channel],
        // No namespace of the server, and an operation that was not granted.
        ["channel.publish", {"channel": "other:1", "data": 1}],
        ["user.disconnect", user],
    ]);
    let order = json!({
        "library": "centrifugo", "url": format!("http://{}", gateway.address), "id": "", "key": KEY, "calls": calls,
    });
    let told = judge("gateway.py", order);
    let told: Vec<&Value> = told.as_array().unwrap().iter().collect();
    assert!(told[..9].iter().all(|outcome| outcome.get("done").is_some()), "{told:#?}");
    let history = |outcome: &Value| -> Vec<Value> {
        let all = outcome["done"]["publications"].as_array().cloned().unwrap_or_default();
        all.into_iter().map(|publication| publication["data"].clone()).collect()
    };
    assert_eq!(history(told[2]), [json!({"text": "ä"}), json!("hi")]);
    assert_eq!(told[5]["done"]["nodes"].as_array().map(Vec::len), Some(1), "{}", told[5]);
    assert_eq!(history(told[8]), Vec::<Value>::new());
    assert_eq!(told[9]["error"]["message"], json!("unknown channel"), "{}", told[9]);
    assert_eq!(told[10]["error"]["status"], json!(403), "{}", told[10]);
}
