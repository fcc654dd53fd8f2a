//! Client libraries before strict stand-ins of their providers. Where a library calls for tokens, our own module gives them as well.

use serde_json::{Value, json};
use sidemint::provider::{Alg, generate};

use super::{PATH, asked, assert_renewed, before, play, route};
use crate::harness::NOW;
use crate::presets::{stand_in, today};

/// The secret of Centrifugo, and of LiveKit with its key.
pub const SECRET: &str = "46b38493-147e-4e3f-86e0-dc5ec54f5133";
pub const LIVEKIT_KEY: &str = "APIvectorKey0001";
const GET: &str = "GET /chat/token 200";

const ABLY_KEY: &str = "I2E_JQ.OqUdfg:EVKVTdS7cCyt65aL-h3qYwA_hTVlMblbtDyDn91G7Kk";

/// What Ably's client sees with `authUrl`; of a user who is signed out where it is `refused`.
async fn ably_sees(preset: &str, refused: bool) -> Value {
    let routes = route(PATH, "client", preset, "capability = { \"chat:*\" = [\"subscribe\", \"publish\"] }");
    let order = json!({"key": ABLY_KEY, "ttl": 3600, "refused": refused});
    play("ably", NOW, &routes, [("ABLY_API_KEY", ABLY_KEY)], order).await
}

/// It asks without a query at first, later with the client id that it has learnt.
#[tokio::test(flavor = "multi_thread")]
async fn ably_takes_a_jwt_or_redeems_a_token_request() {
    for (preset, start) in [("ably", "eyJ"), ("ably-token-request", "I2E_JQ.OqUdfg.redeemed-")] {
        let seen = ably_sees(preset, false).await;
        assert_eq!((&seen["users"], &seen["state"]), (&json!(["alice", "alice"]), &json!("connected")), "{seen}");
        assert_eq!(asked(&seen), [GET, "GET /chat/token?clientId=alice 200"]);
        assert!(seen["tokens"][0]["token"].as_str().unwrap().starts_with(start), "{seen}");
        assert_renewed(&seen["tokens"]);
    }
}

/// After a 401 it would ask again for ever.
#[tokio::test(flavor = "multi_thread")]
async fn ably_gives_up_where_no_user_is_signed_in() {
    let seen = ably_sees("ably", true).await;
    assert_eq!((asked(&seen), &seen["reason"]), (vec!["GET /chat/token 403".to_owned()], &json!(403)), "{seen}");
}

/// What Centrifugo's client sees with a connection and a subscription, before the server at this address or a stand-in; of a
/// user who is signed out where it is `refused`.
async fn centrifuge_sees(server: Option<&str>, refused: bool) -> Value {
    // A real server has its own clock: ours is behind, so that it sees the first tokens end within a minute, when others are
    // handed out, and the second ones are of its own time.
    let (time, passes) = server.map_or((NOW, 600), |_| (before(today(), 541), 541));
    let url = "public_api_url = \"https://push.example.com\"\n";
    let channels = format!("{url}allow_channels = [\"team:news\"]\n");
    let routes = route(PATH, "client", "centrifugo", url)
        + &route("/chat/subscription", "client", "centrifugo-subscription", &channels);
    let order = json!({
        "subscription": "/chat/subscription", "channel": "team:news", "other": "team:staff", "secret": SECRET,
        "passes": passes, "server": server, "refused": refused,
    });
    let secrets = [("CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY", SECRET)];
    play("centrifuge", time, &routes, secrets, order).await
}

/// Both tokens are renewed, and the connection goes on.
pub async fn centrifuge_renews(server: Option<&str>) {
    let seen = centrifuge_sees(server, false).await;
    assert_eq!((&seen["states"], &seen["lost"]), (&json!(["connected", "subscribed"]), &json!([])), "{seen}");
    assert_eq!((&seen["present"], &seen["denied"]), (&json!(["alice"]), &json!("unauthorized")), "{seen}");
    assert_renewed(&seen["connection"]);
    assert_renewed(&seen["subscription"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn centrifuge_gives_up_where_no_user_is_signed_in() {
    let seen = centrifuge_sees(None, true).await;
    assert_eq!(asked(&seen), ["GET /chat/token 403"]);
    assert_eq!(seen["lost"][0]["reason"], "unauthorized", "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn centrifuge() {
    centrifuge_renews(None).await;
}

/// The session that Google gives for the token renews itself; when it has ended, the page signs in with another token.
#[tokio::test(flavor = "multi_thread")]
async fn firebase() {
    let key = generate(Alg::Rs256).unwrap();
    let (email, pem) = ("signer@chat-test.iam.gserviceaccount.com", key.expose_text().unwrap());
    let account = json!({"client_email": email, "project_id": "chat-test", "private_key": pem}).to_string();
    let routes = route(PATH, "session", "firebase", "");
    let order = json!({"email": email, "pem": pem, "ttl": 3600});
    let seen = play("firebase", NOW, &routes, [("FIREBASE_SERVICE_ACCOUNT", account.as_str())], order).await;
    assert_eq!((&seen["users"], &seen["ended"]), (&json!(["alice", "alice"]), &json!("auth/user-token-expired")));
    assert_eq!(asked(&seen), [GET, GET]);
    assert_renewed(&seen["tokens"]);
}

/// LiveKit's client joins a room twice, on the server at this address or a stand-in.
///
/// A real server has its own clock: ours is behind, so that the second token is one of its own time.
pub async fn livekit_renews(server: Option<&str>) {
    let ttl = 21_600;
    let time = server.map_or(NOW, |_| before(today(), ttl - 30));
    let routes = route(PATH, "client", "livekit", "allow_rooms = [\"lobby\"]\n");
    let url = server.unwrap_or("wss://media.example");
    let order = json!({"room": "lobby", "key": LIVEKIT_KEY, "secret": SECRET, "ttl": ttl, "server": server});
    let secrets = [("LIVEKIT_API_KEY", LIVEKIT_KEY), ("LIVEKIT_API_SECRET", SECRET), ("LIVEKIT_URL", url)];
    let seen = play("livekit-client", time, &routes, secrets, order).await;
    let joined = json!({"serverUrl": url, "own": {"room": "lobby", "identity": "alice", "name": "Alice"}});
    assert_eq!(seen["seen"], json!([joined, joined]), "{seen}");
    assert_eq!(asked(&seen), ["POST /chat/token 201", "POST /chat/token 201"]);
    assert_renewed(&seen["tokens"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn livekit_client() {
    livekit_renews(None).await;
}

/// A signature is for one socket and ends with it: each connection has its own.
#[tokio::test(flavor = "multi_thread")]
async fn pusher_js() {
    let app = "app_id = \"3\"\napp_key = \"278d425bdf160c739803\"\ncluster = \"eu\"\n";
    let info = "user_info = { name = \"{{ user.name? }}\" }\n";
    let channels = format!("{app}{info}channels = [\"private-alice-*\", \"presence-lobby\"]\n");
    let routes = route("/chat/user", "client", "pusher", &format!("{app}{info}"))
        + &route("/chat/channel", "client", "pusher-channel", &channels);
    let order = json!({
        "user_path": "/chat/user", "channel_path": "/chat/channel", "key": "278d425bdf160c739803", "secret": SECRET,
        "channels": ["private-alice-notes", "presence-lobby"], "refused": "private-staff",
    });
    let seen = play("pusher-js", NOW, &routes, [("PUSHER_SECRET", SECRET)], order).await;
    assert_eq!(seen["denied"], 403, "{seen}");
    let [first, second] = [&seen["connections"][0], &seen["connections"][1]];
    for connection in [first, second] {
        let mut events = connection.as_array().unwrap_or_else(|| panic!("{seen}")).clone();
        for event in &mut events {
            event.as_object_mut().unwrap().remove("auth").expect("a signature");
        }
        let info = json!({"name": "Alice"});
        let expected = json!([
            {"event": "signin", "user": {"id": "alice", "user_info": info}},
            {"event": "subscribe", "channel": "presence-lobby", "user": {"user_id": "alice", "user_info": info}},
            {"event": "subscribe", "channel": "private-alice-notes", "user": null},
        ]);
        assert_eq!(Value::from(events), expected);
    }
    assert_ne!(first[0]["auth"], second[0]["auth"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sendbird_chat() {
    let api = stand_in("sendbird").await.unwrap();
    let id = "2D7B4CDB-932F-4082-9B09-A1153792DC8D";
    let lines = format!("app_id = \"{id}\"\napi_url = \"{}\"\n", api.api_url);
    let routes = route(PATH, "session", "sendbird", &lines);
    for module in [false, true] {
        let order = json!({"app_id": id, "ttl": 3600, "module": module});
        let seen = play("sendbird", NOW, &routes, [("SENDBIRD_API_TOKEN", api.secret)], order).await;
        assert_eq!((&seen["user"], &seen["state"]), (&json!("alice"), &json!("OPEN")), "{seen}");
        assert_renewed(&seen["tokens"]);
    }
}

/// The provider of tokens is called when Stream says that one has ended, not before.
#[tokio::test(flavor = "multi_thread")]
async fn stream_chat() {
    let api = stand_in("stream").await.unwrap();
    let key = "ym4hhpnpvx2j";
    let routes = route(PATH, "session", "stream", &format!("api_url = \"{}\"\n", api.api_url));
    for module in [false, true] {
        let order = json!({"key": key, "secret": api.secret, "ttl": 3600, "module": module});
        let secrets = [("STREAM_API_KEY", key), ("STREAM_API_SECRET", api.secret)];
        let seen = play("stream-chat", NOW, &routes, secrets, order).await;
        assert_eq!(asked(&seen), [GET, GET]);
        assert_renewed(&seen["tokens"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn talkjs() {
    let api = stand_in("talkjs").await.unwrap();
    let routes = route(PATH, "session", "talkjs", &format!("api_url = \"{}\"\n", api.api_url));
    for module in [false, true] {
        let order = json!({"app_id": "tAbc123", "secret": api.secret, "ttl": 3600, "module": module});
        let secrets = [("TALKJS_APP_ID", "tAbc123"), ("TALKJS_SECRET_KEY", api.secret)];
        let seen = play("talkjs", NOW, &routes, secrets, order).await;
        assert_eq!(asked(&seen), [GET, GET]);
        assert_renewed(&seen["tokens"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twilio_conversations() {
    let sid = |kind: &str| format!("{kind}{}", "0123456789abcdef".repeat(2));
    let (account, service) = (sid("AC"), sid("IS"));
    let routes = route(PATH, "session", "twilio", &format!("service_sid = \"{service}\"\n"));
    for module in [false, true] {
        let order =
            json!({"account": account, "service_sid": service, "secret": SECRET, "ttl": 3600, "module": module});
        let key = sid("SK");
        let secrets =
            [("TWILIO_ACCOUNT_SID", account.as_str()), ("TWILIO_API_KEY", &key), ("TWILIO_API_SECRET", SECRET)];
        let seen = play("twilio", NOW, &routes, secrets, order).await;
        assert_eq!((&seen["user"], &seen["state"]), (&json!("alice"), &json!("connected")), "{seen}");
        assert_eq!(asked(&seen), [GET, GET]);
        assert_renewed(&seen["tokens"]);
    }
}
