//! A real LiveKit server behind the gateway: its unmodified SDKs call every operation that a server by itself has, and each is
//! made with the least that LiveKit asks for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::servers::livekit_server;
use crate::clients::stand_ins::{LIVEKIT_KEY, SECRET};
use crate::judge::judge;
use crate::parts::Part;
use crate::parts::proxies::own_address;
use crate::parts::sidemint::Program;

const PRESET: &str = include_str!("../../../src/provider/presets/livekit.toml");
const ROOM: &str = "shop-1";
const OTHER: &str = "shop-2";
/// The caller's own key.
const KEY: &str = "gwCANARYkey0123456789abcdefghijklmnopqrstuvw";

/// What LiveKit says to a call that it would make, were there what it is about; or that only its cloud has.
const BEYOND: [&str; 5] = ["not_found", "unimplemented", "unavailable", "failed_precondition", "internal"];

fn token(claims: &Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = claims.clone();
    claims["iss"] = json!(LIVEKIT_KEY);
    claims["exp"] = json!(now + 600);
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// Alice is in the room.
async fn alice(server: SocketAddr) -> Part {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parts/participant.mjs");
    let token = token(&json!({"sub": "alice", "name": "Alice", "video": {"roomJoin": true, "room": ROOM}}));
    let arguments = [script.display().to_string(), format!("ws://{server}"), token];
    let part = Part::start("participant", tempfile::tempdir().unwrap(), Path::new("node"), arguments, &[]);
    part.starts(async || part.log().contains("joined")).await;
    part
}

/// An operation of the definition: path and claims.
type Table = BTreeMap<String, (String, Value)>;

fn table() -> Table {
    let definition: toml::Table = PRESET.parse().unwrap();
    let gateway = &definition["gateway"];
    let mut found = Table::new();
    for group in gateway["calls"].as_array().unwrap() {
        let prefix = group.get("prefix").unwrap_or(&gateway["prefix"]).as_str().unwrap();
        let claims = serde_json::to_string(&group["claims"]).unwrap();
        let claims = claims.replace("{{ param.room }}", ROOM).replace("{{ param.source }}", ROOM);
        let claims = claims.replace("{{ param.destination }}", OTHER);
        for class in ["read", "write", "destroy", "secret"] {
            for (name, path) in group.get(class).and_then(toml::Value::as_table).into_iter().flatten() {
                let path = format!("{prefix}{}", path.as_str().unwrap());
                found.insert(name.clone(), (path, serde_json::from_str(&claims).unwrap()));
            }
        }
    }
    found
}

/// Each claim of a set, taken out.
fn fewer(claims: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (kind, grants) in claims.as_object().unwrap() {
        for name in grants.as_object().unwrap().keys() {
            let mut less = claims.clone();
            less[kind].as_object_mut().unwrap().remove(name);
            all.push((format!("{kind}.{name}"), less));
        }
    }
    all
}

/// The bodies of operations of which other programs do the work, beside a server and behind a Redis. What a call must be allowed is
/// judged before they are asked.
fn bodies_for_others() -> Vec<(&'static str, Value)> {
    let (egress, ingress) = (json!({"egress_id": "EG_1"}), json!({"ingress_id": "IN_1"}));
    let (room, trunk, rule) =
        (json!({"room_name": ROOM}), json!({"sip_trunk_id": "ST_1"}), json!({"sip_dispatch_rule_id": "SDR_1"}));
    let number = json!({"trunk": {"name": "t", "numbers": ["+15550100"]}});
    vec![
        ("egress.stop", egress.clone()),
        ("egress.layout", egress.clone()),
        ("egress.stream", egress),
        ("egress.start_web", json!({"url": "https://pages.example"})),
        ("egress.start", room.clone()),
        ("egress.start_room", room.clone()),
        ("egress.start_participant", json!({"room_name": ROOM, "identity": "alice"})),
        ("egress.start_tracks", room.clone()),
        ("egress.start_track", json!({"room_name": ROOM, "track_id": "TR_1"})),
        ("ingress.list", json!({})),
        ("ingress.create", json!({"input_type": "RTMP_INPUT", "room_name": ROOM, "participant_identity": "camera"})),
        ("ingress.update", ingress.clone()),
        ("ingress.delete", ingress),
        ("sip.trunks", json!({})),
        ("sip.inbound_list", json!({})),
        ("sip.inbound_get", trunk.clone()),
        ("sip.inbound_create", number.clone()),
        ("sip.inbound_update", trunk.clone()),
        ("sip.outbound_list", json!({})),
        ("sip.outbound_get", trunk.clone()),
        ("sip.outbound_create", json!({"trunk": {"name": "t", "address": "sip.example", "numbers": ["+15550100"]}})),
        ("sip.outbound_update", trunk.clone()),
        ("sip.trunk_delete", trunk.clone()),
        ("sip.rules", json!({})),
        ("sip.rule_create", json!({"name": "r", "rule": {"dispatchRuleDirect": {"roomName": ROOM}}})),
        ("sip.rule_update", rule.clone()),
        ("sip.rule_delete", rule),
        ("sip.call", json!({"sip_trunk_id": "ST_1", "sip_call_to": "+15550101", "room_name": ROOM})),
        ("sip.transfer", json!({"participant_identity": "alice", "room_name": ROOM, "transfer_to": "tel:+15550102"})),
    ]
}

/// The bodies of operations that a server by itself has.
fn bodies() -> Vec<(&'static str, Value)> {
    let (room, alice) = (json!({"room": ROOM}), json!({"room": ROOM, "identity": "alice"}));
    let with = |of: &Value, more: Value| {
        let mut own = of.clone();
        own.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        own
    };
    vec![
        ("room.create", json!({"name": ROOM})),
        ("room.list", json!({})),
        ("room.metadata", with(&room, json!({"metadata": "m"}))),
        ("room.send", with(&room, json!({"data": "aGVsbG8=", "topic": "chat"}))),
        ("room.rpc", with(&room, json!({"destination_identity": "alice", "method": "m", "response_timeout_ms": 100}))),
        ("participant.list", room.clone()),
        ("participant.get", alice.clone()),
        ("participant.update", with(&alice, json!({"metadata": "m"}))),
        ("participant.subscribe", with(&alice, json!({"track_sids": ["TR_1"], "subscribe": true}))),
        ("participant.mute", with(&alice, json!({"track_sid": "TR_1", "muted": true}))),
        ("participant.move", with(&alice, json!({"destination_room": OTHER}))),
        ("participant.forward", with(&alice, json!({"destination_room": OTHER}))),
        ("dispatch.create", with(&room, json!({"agent_name": "scribe"}))),
        ("dispatch.list", room.clone()),
        ("dispatch.delete", with(&room, json!({"dispatch_id": "AD_1"}))),
        ("egress.list", json!({})),
        ("participant.remove", alice),
        ("room.delete", room),
    ]
}

/// A call made at the server itself: status and text.
async fn ask(server: SocketAddr, path: &str, claims: &Value, body: &Value) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("http://{server}{path}")).bearer_auth(token(claims));
    let answer = request.header("Content-Type", "application/json").body(body.to_string()).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.text().await.unwrap())
}

/// The call is refused with any of the claims fewer, and with all of them it is not.
async fn needs_all(server: SocketAddr, name: &str, path: &str, claims: &Value, body: &Value) {
    for (missing, less) in fewer(claims) {
        let (status, text) = ask(server, path, &less, body).await;
        assert!([401, 403].contains(&status), "{name} without {missing}: {status} {text}");
    }
    let (status, text) = ask(server, path, claims, body).await;
    assert!(![401, 403, 404].contains(&status) || text.contains("not_found"), "{name}: {status} {text}");
}

/// LiveKit takes each call with the claims of the definition, and refuses it with any one of them fewer.
#[tokio::test(flavor = "multi_thread")]
async fn claims_are_the_least_that_livekit_takes() {
    let (address, _server) = livekit_server(None).await;
    let _alice = alice(address).await;
    let table = table();
    for (name, body) in bodies() {
        let (path, claims) = &table[name];
        needs_all(address, name, path, claims, &body).await;
    }
}

/// The same for what others do. Nobody does it here, for which the server waits some seconds each time.
#[tokio::test(flavor = "multi_thread")]
async fn claims_for_the_work_of_others_are_the_least_too() {
    let (address, _server) = livekit_server(None).await;
    let mut table = table();
    let mut asked = JoinSet::new();
    for (name, body) in bodies_for_others() {
        let (path, claims) = table.remove(name).unwrap();
        asked.spawn(async move { needs_all(address, name, &path, &claims, &body).await });
    }
    asked.join_all().await;
    for (name, _) in bodies() {
        table.remove(name);
    }
    // A cloud's alone: the server does not have them.
    assert!(table.keys().all(|name| name.starts_with("connector.")), "{:?}", table.keys());
}

/// The gateway before the server; the caller `shop` may do this. Gives the address at which the server is at `/`.
async fn gateway(server: SocketAddr, allow: &[&str]) -> (Program, tempfile::TempDir, String) {
    let (mount, folder) = (own_address(), tempfile::tempdir().unwrap());
    let (key, secret) = (folder.path().join("key"), folder.path().join("secret"));
    std::fs::write(&key, KEY).unwrap();
    std::fs::write(&secret, SECRET).unwrap();
    let rest = format!(
        "[gateway]\nlisten = \"{}\"\n[[gateway.mounts]]\nprovider = \"live\"\nlisten = \"{mount}\"\n\
         [gateway.callers.shop]\nkey_files = [\"{}\"]\n[[gateway.callers.shop.grants]]\nprovider = \"live\"\n\
         allow = {allow:?}\n[providers.live]\npreset = \"livekit\"\napi_url = \"http://{server}\"\n\
         api_key = \"{LIVEKIT_KEY}\"\napi_secret_file = \"{}\"\n",
        own_address(),
        key.display(),
        secret.display()
    );
    (Program::start(&rest, &[], &[]).await, folder, format!("http://{mount}"))
}

/// What an SDK calls, in an order in which each finds what it is about.
fn calls() -> Vec<(&'static str, Value)> {
    let alice = json!({"room": ROOM, "identity": "alice"});
    let with = |more: Value| {
        let mut own = alice.clone();
        own.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        own
    };
    let room = json!({"room": ROOM});
    vec![
        ("room.create", json!({"name": ROOM, "metadata": "m"})),
        ("room.list", json!({"names": [ROOM]})),
        ("room.metadata", json!({"room": ROOM, "metadata": "n"})),
        ("room.send", json!({"room": ROOM, "text": "hello"})),
        ("participant.list", room.clone()),
        ("participant.get", alice.clone()),
        ("participant.update", with(json!({"metadata": "m"}))),
        ("participant.subscribe", with(json!({"track": "TR_1"}))),
        ("participant.mute", with(json!({"track": "TR_1"}))),
        ("participant.move", with(json!({"to": OTHER}))),
        ("participant.forward", with(json!({"to": OTHER}))),
        ("dispatch.create", json!({"room": ROOM, "agent": "scribe"})),
        ("dispatch.list", room.clone()),
        ("dispatch.delete", json!({"room": ROOM, "dispatch": "AD_1"})),
        ("egress.list", room.clone()),
        ("egress.stop", json!({"egress": "EG_1"})),
        ("participant.remove", alice.clone()),
        ("room.delete", room),
    ]
}

/// What they do through the gateway, the server does; and what one grant fewer is about, it is not asked for.
#[tokio::test(flavor = "multi_thread")]
async fn sdks_do_what_they_are_granted_and_nothing_else() {
    let (address, _server) = livekit_server(None).await;
    let calls = calls();
    let names: Vec<&str> = calls.iter().map(|(name, _)| *name).collect();
    let order: Vec<Value> = calls.iter().map(|(name, argument)| json!([name, argument])).collect();
    for program in ["gateway.mjs", "gateway.py"] {
        let ask = |url: &str| {
            let order = json!({"library": "livekit", "url": url, "id": "shop", "key": KEY, "calls": order});
            judge(program, order).as_array().unwrap().clone()
        };
        let _alice = alice(address).await;
        let (_program, _files, url) = gateway(address, &names).await;
        let mut done = Vec::new();
        for (name, outcome) in names.iter().zip(ask(&url)) {
            match outcome["error"]["code"].as_str() {
                None => done.push(*name),
                Some(code) => {
                    let is_beyond = BEYOND.contains(&code) || outcome.to_string().contains("not implemented");
                    assert!(is_beyond, "{program}: {name}: {outcome}");
                }
            }
        }
        for name in ["room.create", "room.list", "room.send", "participant.get", "participant.remove", "room.delete"] {
            assert!(done.contains(&name), "{program}: {name} is not among {done:?}");
        }
        // All but one, for each: what is left out is refused here.
        let (_program, _files, url) = gateway(address, &["room.list"]).await;
        for (name, outcome) in names.iter().zip(ask(&url)) {
            let told = (outcome["error"]["status"].as_u64(), outcome["error"]["code"].as_str());
            let wanted = if *name == "room.list" { (None, None) } else { (Some(403), Some("operation_denied")) };
            assert_eq!(told, wanted, "{program}: {name}: {outcome}");
        }
    }
}
