//! Client libraries before real servers.

use serde_json::json;

use super::{PATH, asked, assert_in_time, assert_renewed, before, play, route};
use crate::parts::liveblocks::{self, Liveblocks};
use crate::parts::synapse::{JWT_AUDIENCE, JWT_ISSUER, JWT_SECRET, SERVER_NAME, Synapse};
use crate::presets::today;

/// The library asks again half a minute before the end, and refuses a token that it has seen before: so each request has a
/// token of its own.
#[tokio::test(flavor = "multi_thread")]
async fn liveblocks_client() {
    let server = Liveblocks::start().await;
    let lines = format!(
        "api_url = \"{}\"\ntokens = \"access\"\npermissions = {{ \"alice:*\" = [\"*:write\"] }}\n",
        server.base_url()
    );
    let routes = route(PATH, "client", "liveblocks", &lines);
    let mut order = json!({"server": server.base_url(), "rooms": ["alice:notes", "alice:plans"], "ttl": 3600});
    let secrets = [("LIVEBLOCKS_SECRET_KEY", liveblocks::SECRET)];
    let seen = play("liveblocks", today(), &routes, secrets, order.clone()).await;
    assert_eq!(seen["entered"], json!(["connected", "connected"]), "{seen}");
    assert_eq!(asked(&seen), ["POST /chat/token 200", "POST /chat/token 200"]);
    assert_eq!(seen["asked"][0]["body"], "{\"room\":\"alice:notes\"}");
    assert_in_time(&seen["tokens"]);
    order["cached"] = json!(true);
    let cached = play("liveblocks", today(), &routes, secrets, order).await;
    assert_eq!(cached["entered"][0], "connected", "{cached}");
    let complaint = cached["entered"][1].as_str().unwrap();
    assert!(complaint.contains("token was issued from the backend before"), "{complaint}");
    let order = json!({"server": server.base_url(), "rooms": ["alice:notes"], "refused": true});
    let refused = play("liveblocks", today(), &routes, secrets, order).await;
    assert_eq!(asked(&refused), ["POST /chat/token 401"]);
    let complaint = refused["entered"][0].as_str().unwrap();
    assert!(complaint.contains("401 returned by POST"), "{complaint}");
}

/// Both ways into a Matrix server: as the admin's guest, and with a login of one's own.
#[tokio::test(flavor = "multi_thread")]
async fn matrix_js_sdk() {
    let synapse = Synapse::start().await;
    let url = synapse.base_url();
    let lines = format!("api_url = \"{url}\"\nserver_name = \"{SERVER_NAME}\"\n");
    let routes = route(PATH, "session", "synapse", &lines);
    let order = json!({"server": url, "jwt": false, "ttl": 3600});
    let secrets = [("SYNAPSE_ADMIN_TOKEN", synapse.admin_token())];
    let seen = play("matrix", today(), &routes, secrets, order).await;
    assert_eq!(seen["users"], json!(["@alice:chat.test", "@alice:chat.test"]), "{seen}");
    assert_renewed(&seen["tokens"]);

    let lines = format!(
        "public_api_url = \"{url}\"\nserver_name = \"{SERVER_NAME}\"\nissuer = \"{JWT_ISSUER}\"\naudience = \"{JWT_AUDIENCE}\"\n"
    );
    let routes = route(PATH, "session", "synapse-jwt", &lines);
    let order = json!({"server": url, "jwt": true, "ttl": 300});
    // Four and a half minutes back: Synapse has its own clock, and takes no token of a later time.
    let seen = play("matrix", before(today(), 270), &routes, [("SYNAPSE_JWT_SECRET", JWT_SECRET)], order).await;
    assert_eq!(seen["users"], json!(["@alice:chat.test", "@alice:chat.test"]), "{seen}");
    assert_eq!(seen["devices"], 1, "the page keeps its device: {seen}");
    assert_renewed(&seen["tokens"]);
}
