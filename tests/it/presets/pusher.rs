//! Pusher Channels: the published examples, and signatures equal to the official library's. Its client is in `clients`.

use serde_json::{Value, json};
use sidemint::config::Environment;

use super::{on, post_form, refusal, route, sign_out};
use crate::fakes::http::{Call, Script};
use crate::fakes::provider::Fake;
use crate::harness::{NOW, SESSION, clock, draw};
use crate::judge::judge;

/// From Pusher's description of its signatures, as the results below.
const KEY: &str = "278d425bdf160c739803";
const SECRET: &str = "7ad3773142a6692b25b8";
const SECRETS: [(&str, &str); 4] =
    [("PUSHER_APP_ID", "3"), ("PUSHER_KEY", KEY), ("PUSHER_SECRET", SECRET), ("PUSHER_CLUSTER", "eu")];
const CHANNELS: &str =
    "channels = [\"private-foobar\", \"presence-lobby\", \"private-user-{{ user.id }}\", \"private-news-*\"]";

/// What the official library signs.
fn theirs(more: Value) -> Value {
    let mut order = json!({"key": KEY, "secret": SECRET, "socket_id": "1234.1234"});
    order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    judge("pusher.mjs", order)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_published_examples_come_out() {
    let service = on("pusher", "", SECRETS).await;
    let session = post_form(&service, "12345", "socket_id=1234.1234").await.json();
    let signature = "4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba";
    assert_eq!(session["auth"], format!("{KEY}:{signature}"));
    assert_eq!((&session["user_data"], &session["expiresAt"]), (&json!("{\"id\":\"12345\"}"), &Value::Null));
    assert_eq!(session["apiUrl"], "https://ws-eu.pusher.com");
    let service = on("pusher-channel", CHANNELS, SECRETS).await;
    let session = post_form(&service, "12345", "socket_id=1234.1234&channel_name=private-foobar").await.json();
    let signature = "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4";
    assert_eq!((&session["auth"], session.get("channel_data")), (&json!(format!("{KEY}:{signature}")), None));
    assert!(!session.to_string().contains(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_are_those_of_the_official_library() {
    let info = "user_info = { name = \"{{ user.name? }}\", team = \"red\" }";
    let service = on("pusher", &format!("{info}\nwatchlist = [\"bob\", \"{{{{ user.id }}}}\"]"), SECRETS).await;
    let signed = post_form(&service, "alice", "socket_id=1234.1234").await.json();
    let user = json!({"id": "alice", "user_info": {"team": "red"}, "watchlist": ["bob", "alice"]});
    assert_eq!(json!({"auth": signed["auth"], "user_data": signed["user_data"]}), theirs(json!({"user": user})));
    let service = on("pusher-channel", &format!("{info}\n{CHANNELS}"), SECRETS).await;
    let signed = post_form(&service, "alice", "channel_name=presence-lobby&socket_id=1234.1234").await.json();
    let member = json!({"user_id": "alice", "user_info": {"team": "red"}});
    let expected = theirs(json!({"channel": "presence-lobby", "member": member}));
    assert_eq!(json!({"auth": signed["auth"], "channel_data": signed["channel_data"]}), expected);
}

/// A socket id with a colon could turn one signature into another: `1.1::user::{…}` into a sign-in.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_socket_id_is_a_socket_id() {
    for (preset, more) in [("pusher", ""), ("pusher-channel", "&channel_name=private-foobar")] {
        let service = on(preset, if more.is_empty() { "" } else { CHANNELS }, SECRETS).await;
        for socket in
            ["", "1", "1.1:private-x", "1.1::user::%7B%22id%22:%22bob%22%7D", "1.1%0A", "x1.1", "1.1.", "%D9%A1.%D9%A1"]
        {
            let answer = post_form(&service, "alice", &format!("socket_id={socket}{more}")).await;
            assert_eq!((answer.status, answer.code().as_str()), (400, "input_invalid"), "{preset} {socket}");
        }
        let twice = post_form(&service, "alice", &format!("socket_id=1.1&socket_id=2.2{more}")).await;
        assert_eq!(twice.code(), "input_invalid");
        assert_eq!(service.session("alice").await.code(), "input_invalid", "there is no socket");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_channels_that_the_operator_allows_are_joined() {
    let service = on("pusher-channel", CHANNELS, SECRETS).await;
    let join = async |user: &str, channel: &str| {
        let answer = post_form(&service, user, &format!("socket_id=1.1&channel_name={channel}")).await;
        (answer.status, answer.code())
    };
    for channel in ["private-foobar", "presence-lobby", "private-user-alice", "private-news-", "private-news-a.b"] {
        assert_eq!(join("alice", channel).await, (200, String::new()), "{channel}");
    }
    let refused = (403, "input_refused".to_owned());
    for channel in
        ["private-user-bob", "private-lobby", "presence-foobar", "private-foobar2", "private-x", "private-news"]
    {
        assert_eq!(join("alice", channel).await, refused, "{channel}");
    }
    let invalid = (400, "input_invalid".to_owned());
    for channel in
        ["", "lobby", "public-x", "private-", "private-a:b", "private-a%0A", "%23server-to-user-bob", "private-%C3%A4"]
    {
        assert_eq!(join("alice", channel).await, invalid, "{channel}");
    }
    // A list that allows everything is no reason to answer what no client can use.
    let service = on("pusher-channel", "channels = [\"private-*\", \"presence-*\"]", SECRETS).await;
    for (channel, status) in [
        ("private-encrypted-room", 400),
        ("private-encrypted-", 400),
        ("private-%65ncrypted-room", 400),
        ("private-encrypted", 200),
        ("private-encryptedroom", 200),
        ("private-Encrypted-room", 200),
        ("private-cache-x", 200),
        ("presence-encrypted-room", 200),
    ] {
        let answer = post_form(&service, "alice", &format!("socket_id=1.1&channel_name={channel}")).await;
        assert_eq!(answer.status, status, "{channel}");
    }
    let service = on("pusher-channel", "", SECRETS).await;
    let answer = post_form(&service, "alice", "socket_id=1.1&channel_name=private-foobar").await;
    assert_eq!(answer.code(), "input_refused", "without a list nothing is allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_a_channel_name_cannot_hold_are_refused() {
    let service = on("pusher", "", SECRETS).await;
    for user in ["auth0|a", "a b", "a:b", "a/b", "ä", ".", "..", &"a".repeat(129)] {
        let answer = post_form(&service, user, "socket_id=1.1").await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "user_id_invalid"), "{user}");
    }
    assert_eq!(post_form(&service, "Alice_1@example.com", "socket_id=1.1").await.status, 200);
}

/// Each socket has a signature of its own, and none is kept.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept() {
    let service = on("pusher", "", SECRETS).await;
    for _ in 0..2 {
        post_form(&service, "alice", "socket_id=1.1").await;
    }
    let minted = format!("sidemint_sessions_total{{how=\"minted\",route=\"{SESSION}\"}}");
    assert!((service.metric(&minted).await - 2.0).abs() < 0.1);
}

/// The HTTP API, as far as it ends connections: with the query that the official library signs.
fn api(call: &Call) -> Script {
    let request = json!({"method": call.method, "path": call.path, "body": "{}"});
    let mut expected: Vec<String> = theirs(json!({"request": request, "at": NOW.as_seconds()}))
        .as_str()
        .map(|query| query.split('&').map(str::to_owned).collect())
        .unwrap();
    let mut query: Vec<String> = call.query.split('&').map(str::to_owned).collect();
    expected.sort();
    query.sort();
    Script::json(if query == expected && call.body == b"{}" { 200 } else { 401 }, &json!({}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_ends_connections() {
    for preset in ["pusher", "pusher-channel"] {
        let fake = Fake::start(api).await;
        let service = on(preset, &format!("api_url = \"{}\"\nretries = 0", fake.base_url()), SECRETS).await;
        assert_eq!(sign_out(&service, "alice").await.status, 204);
        assert_eq!(sign_out(&service, "alice@example.com").await.status, 204);
        let path = "POST /apps/3/users/alice";
        assert_eq!(
            fake.asked(),
            [format!("{path}/terminate_connections"), format!("{path}%40example.com/terminate_connections")]
        );
    }
}

#[test]
fn a_server_of_ones_own_needs_addresses_and_no_cluster() {
    let secrets = [("PUSHER_APP_ID", "app"), ("PUSHER_KEY", "key"), ("PUSHER_SECRET", SECRET)];
    let told = refusal("pusher", "", secrets);
    assert!(told.contains("api_url") && told.contains("is missing"), "{told}");
    let told = draw(&route("pusher", ""), &Environment::of(SECRETS), clock()).expect("fine");
    assert!(told.plans()[0].provider.cautions().is_empty(), "what is bound to a socket ends with it");
    let told = refusal("pusher", "channels = [\"private-*\"]", secrets);
    assert!(told.contains("no such setting"), "{told}");
    let told = refusal("pusher-channel", "channels = [\"private-{{ user.id }}*\"]", SECRETS);
    assert!(told.contains("write a separator"), "{told}");
}
