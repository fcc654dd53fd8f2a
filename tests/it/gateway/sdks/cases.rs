//! Each library: how it is built, what it calls, what arrives, and what in that is proof or chance.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::recorder::Request;
use crate::fakes::http::Script;
use crate::judge::judge;

/// How a proof is judged.
#[derive(Clone, Copy)]
pub enum Proven {
    /// As Basic with the whole key, or with an id before it.
    Basic,
    /// As a bearer token.
    Bearer,
    /// By LiveKit's own verifier.
    LiveKit,
    /// By Pusher's own signer.
    Pusher,
    /// As a server token of Stream's.
    Stream,
    /// As this header.
    Key(&'static str),
}

/// One call of a library.
pub struct Call {
    /// The name of the gateway's operation, and of the judge's call.
    pub name: &'static str,
    pub argument: Value,
    /// Method and path.
    pub arrives: &'static str,
}

/// One library in one language.
pub struct Case {
    pub program: &'static str,
    pub sdk: &'static str,
    /// The definition behind the gateway.
    pub preset: &'static str,
    /// Its settings but for address and secret, as lines of TOML.
    pub settings: &'static str,
    /// The setting with the secret.
    pub secret: &'static str,
    /// What the provider knows.
    pub id: &'static str,
    pub key: &'static str,
    /// How the library wants a key to look; `KEY` stands for the caller's.
    pub shape: &'static str,
    /// Whether it gives its key to TLS alone.
    pub tls: bool,
    /// More for the constructor.
    pub options: Value,
    pub calls: Vec<Call>,
    /// Headers that the definition hands on.
    pub headers: Vec<&'static str>,
    /// Headers and query names that prove who calls.
    pub proofs: Vec<&'static str>,
    /// Headers, and pointers into JSON, whose values are another one each time.
    pub random: Vec<&'static str>,
    /// How the provider's proof is judged.
    pub proven: Proven,
    /// What the library tells of a refusal: members of its error.
    pub refused: Value,
    /// What the provider answers, so that the library has what it needs.
    pub answers: fn(&Request) -> Script,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.sdk, self.program)
    }
}

impl Case {
    /// What a library told of a failure, of that which `refused` says.
    pub fn told(&self, outcome: &Value) -> Value {
        let names = self.refused.as_object().unwrap().keys();
        names.map(|name| (name.clone(), outcome["error"][name].clone())).collect()
    }

    /// A request carries the proof of the provider's own account.
    pub fn assert_proven(&self, request: &Request) {
        let authorization = || request.header("authorization").unwrap_or_else(|| panic!("{self}: {request:?}"));
        match self.proven {
            Proven::Basic => {
                let key = if self.id.is_empty() { self.key.to_owned() } else { format!("{}:{}", self.id, self.key) };
                assert_eq!(authorization(), format!("Basic {}", STANDARD.encode(key)), "{self}");
            }
            Proven::Key(name) => assert_eq!(request.header(name), Some(self.key), "{self}"),
            Proven::Bearer => assert_eq!(authorization(), format!("Bearer {}", self.key), "{self}"),
            Proven::LiveKit => {
                let token = authorization().strip_prefix("Bearer ").unwrap();
                let verdict = judge("livekit.mjs", json!({"key": self.id, "secret": self.key, "token": token}));
                assert_eq!(verdict["claims"]["iss"], json!(self.id), "{self}: {verdict}");
            }
            Proven::Pusher => {
                let at: i64 = request.parameter("auth_timestamp").unwrap().parse().unwrap();
                let known = ["auth_key", "auth_timestamp", "auth_version", "auth_signature", "body_md5"];
                let params: Value = request.query().into_iter().filter(|(name, _)| !known.contains(&&**name)).collect();
                let body = String::from_utf8(request.body.clone()).unwrap();
                let mut order = json!({"method": request.method, "path": request.path(), "params": params});
                if !body.is_empty() {
                    order["body"] = json!(body);
                }
                let signed =
                    judge("pusher.mjs", json!({"key": self.id, "secret": self.key, "at": at, "request": order}));
                let signed = signed.as_str().unwrap();
                let signature = request.parameter("auth_signature").unwrap();
                // Its Python library signs the digest of no body as well.
                if self.program != "gateway.py" || !body.is_empty() {
                    assert!(signed.ends_with(&format!("auth_signature={signature}")), "{self}: {signed} {request:?}");
                }
            }
            Proven::Stream => {
                let checks = json!({"algorithms": ["HS256"]});
                let verdict =
                    judge("jose.mjs", json!({"token": authorization(), "secret": self.key, "checks": checks}));
                assert_eq!(verdict["claims"]["server"], json!(true), "{self}: {verdict}");
                assert_eq!(request.parameter("api_key").as_deref(), Some(self.id), "{self}");
                assert_eq!(request.header("stream-auth-type"), Some("jwt"), "{self}");
            }
        }
    }
}

const SECRET: &str = "real0123456789abcdef0123456789abcdef";

fn call(name: &'static str, argument: Value, arrives: &'static str) -> Call {
    Call { name, argument, arrives }
}

pub fn livekit(program: &'static str) -> Case {
    let calls = vec![
        call("room.create", json!({"name": "shop-1", "metadata": "m"}), "POST /twirp/livekit.RoomService/CreateRoom"),
        call("room.list", json!({"names": ["shop-1"]}), "POST /twirp/livekit.RoomService/ListRooms"),
        call(
            "room.metadata",
            json!({"room": "shop-1", "metadata": "ä\"\\"}),
            "POST /twirp/livekit.RoomService/UpdateRoomMetadata",
        ),
        call("room.send", json!({"room": "shop-1", "text": "hello"}), "POST /twirp/livekit.RoomService/SendData"),
        call("participant.list", json!({"room": "shop-1"}), "POST /twirp/livekit.RoomService/ListParticipants"),
        call(
            "participant.update",
            json!({"room": "shop-1", "identity": "alice", "metadata": "m", "attributes": {"a": "b"}}),
            "POST /twirp/livekit.RoomService/UpdateParticipant",
        ),
        call("dispatch.list", json!({"room": "shop-1"}), "POST /twirp/livekit.AgentDispatchService/ListDispatch"),
        call("egress.list", json!({"room": "shop-1"}), "POST /twirp/livekit.Egress/ListEgress"),
        call("room.delete", json!({"room": "shop-1"}), "POST /twirp/livekit.RoomService/DeleteRoom"),
    ];
    Case {
        program,
        sdk: "livekit",
        preset: "livekit",
        settings: "api_key = \"APIreal\"",
        secret: "api_secret",
        id: "APIreal",
        key: SECRET,
        shape: "KEY",
        tls: false,
        options: json!({}),
        calls,
        headers: vec!["x-livekit-request-id"],
        proofs: vec!["authorization"],
        random: vec!["x-livekit-request-id", "/nonce"],
        proven: Proven::LiveKit,
        refused: json!({"status": 403, "code": "operation_denied"}),
        answers: |request| match request.header("content-type") {
            Some("application/protobuf") => Script::text(200, "application/protobuf", ""),
            _ => Script::json(200, &json!({})),
        },
    }
}

pub fn stream() -> Case {
    let calls = vec![
        call("user.upsert", json!({"id": "alice", "name": "Alice"}), "POST /users"),
        call("user.query", json!({"id": {"$in": ["alice", "a b"]}}), "GET /users"),
        call("channel.create", json!({"channel": "lobby", "by": "alice"}), "POST /channels/messaging/lobby/query"),
        call("channel.update", json!({"channel": "lobby", "name": "n"}), "POST /channels/messaging/lobby"),
        call(
            "message.send",
            json!({"channel": "lobby", "text": "hi", "by": "alice"}),
            "POST /channels/messaging/lobby/message",
        ),
        call("message.delete", json!({"message": "m-1"}), "DELETE /messages/m-1"),
        call("user.delete", json!({"user": "alice"}), "DELETE /users/alice"),
    ];
    Case {
        program: "gateway.mjs",
        sdk: "stream",
        preset: "stream",
        settings: "api_key = \"appkey\"",
        secret: "api_secret",
        id: "appkey",
        key: SECRET,
        shape: "KEY",
        tls: false,
        options: json!({}),
        calls,
        headers: vec!["x-stream-client", "x-client-request-id", "stream-auth-type"],
        proofs: vec!["authorization", "api_key"],
        random: vec!["x-client-request-id"],
        proven: Proven::Stream,
        refused: json!({"status": 403}),
        answers: |_| {
            Script::json(
                200,
                &json!({"users": [], "channel": {"cid": "messaging:lobby"}, "members": [], "messages": []}),
            )
        },
    }
}

pub fn pusher(program: &'static str) -> Case {
    let calls = vec![
        call(
            "event.trigger",
            json!({"channels": ["shop-1", "shop-2"], "data": {"ä": "=&?"}}),
            "POST /apps/4242/events",
        ),
        call("event.batch", json!({"channel": "shop-1"}), "POST /apps/4242/batch_events"),
        call("channel.list", json!({"filter_by_prefix": "presence-", "info": "user_count"}), "GET /apps/4242/channels"),
        call(
            "channel.get",
            json!({"channel": "presence-a", "info": "user_count,subscription_count"}),
            "GET /apps/4242/channels/presence-a",
        ),
        call("channel.users", json!({"channel": "presence-a"}), "GET /apps/4242/channels/presence-a/users"),
        call("user.disconnect", json!({"user": "alice"}), "POST /apps/4242/users/alice/terminate_connections"),
    ];
    let mut case = Case {
        program,
        sdk: "pusher",
        preset: "pusher",
        settings: "app_id = \"4242\"\napp_key = \"appkey\"\npublic_api_url = \"https://ws.example\"",
        secret: "app_secret",
        id: "appkey",
        key: SECRET,
        shape: "KEY",
        tls: false,
        options: json!({"app": "4242"}),
        calls,
        headers: vec!["x-pusher-library"],
        proofs: vec!["auth_key", "auth_timestamp", "auth_version", "auth_signature", "body_md5"],
        random: Vec::new(),
        proven: Proven::Pusher,
        refused: json!({}),
        answers: |_| Script::json(200, &json!({})),
    };
    // The Python library asks for a path without the app here, which Pusher does not have.
    if program == "gateway.py" {
        case.calls.pop();
    }
    case
}

pub fn ably(program: &'static str) -> Case {
    // The Python library writes a channel into the path as it is.
    let [publish, history] = match program {
        "gateway.py" => ["POST /channels/shop:1/messages", "GET /channels/shop:1/messages"],
        _ => ["POST /channels/shop%3A1/messages", "GET /channels/shop%3A1/messages"],
    };
    let calls = vec![
        call("message.publish", json!({"channel": "shop:1", "data": "hi"}), publish),
        call("message.history", json!({"channel": "shop:1"}), history),
        call("presence.get", json!({"channel": "shop-1"}), "GET /channels/shop-1/presence"),
    ];
    Case {
        program,
        sdk: "ably",
        preset: "ably",
        settings: "",
        secret: "api_key",
        id: "",
        key: "app123.key456:real0123456789abcdef0123456789",
        shape: "shop.gateway:KEY",
        tls: program == "gateway.py",
        options: json!({}),
        calls,
        headers: vec!["x-ably-version", "ably-agent"],
        proofs: vec!["authorization"],
        random: vec!["/0/id", "/id"],
        proven: Proven::Basic,
        refused: json!({"status": 403, "code": 40300}),
        answers: |request| match &*request.method {
            "GET" => Script::json(200, &json!([])),
            _ => Script::json(201, &json!({})),
        },
    }
}

pub fn liveblocks() -> Case {
    let calls = vec![
        call("room.create", json!({"room": "shop-1"}), "POST /v2/rooms"),
        call("room.list", json!({}), "GET /v2/rooms"),
        call("room.get", json!({"room": "shop-1"}), "GET /v2/rooms/shop-1"),
        call("room.update", json!({"room": "shop-1", "metadata": {"a": "b"}}), "POST /v2/rooms/shop-1"),
        call("room.users", json!({"room": "shop:1"}), "GET /v2/rooms/shop%3A1/active-users"),
        call(
            "room.broadcast",
            json!({"room": "shop-1", "event": {"a": [1, 2.5, "ä"]}}),
            "POST /v2/rooms/shop-1/broadcast-event",
        ),
        call("room.delete", json!({"room": "shop-1"}), "DELETE /v2/rooms/shop-1"),
    ];
    Case {
        program: "gateway.mjs",
        sdk: "liveblocks",
        preset: "liveblocks",
        settings: "",
        secret: "secret_key",
        id: "",
        key: "sk_real0123456789abcdef0123456789",
        shape: "sk_KEY",
        tls: false,
        options: json!({}),
        calls,
        headers: Vec::new(),
        proofs: vec!["authorization"],
        random: Vec::new(),
        proven: Proven::Bearer,
        refused: json!({"status": 403}),
        answers: |_| Script::json(200, &json!({"data": [], "nextCursor": null})),
    }
}

pub fn twilio(program: &'static str) -> Case {
    let conversation = "CH0123456789abcdef0123456789abcdef";
    let calls = vec![
        call(
            "conversation.create",
            json!({"name": "a & b=ä"}),
            "POST /v1/Services/IS0123456789abcdef0123456789abcdef/Conversations",
        ),
        call("conversation.list", json!({}), "GET /v1/Services/IS0123456789abcdef0123456789abcdef/Conversations"),
        call(
            "conversation.get",
            json!({"conversation": conversation}),
            "GET /v1/Services/IS0123456789abcdef0123456789abcdef/Conversations/CH0123456789abcdef0123456789abcdef",
        ),
        call(
            "message.send",
            json!({"conversation": conversation, "text": "1 + 1"}),
            "POST /v1/Services/IS0123456789abcdef0123456789abcdef/Conversations/CH0123456789abcdef0123456789abcdef/Messages",
        ),
        call(
            "conversation.delete",
            json!({"conversation": conversation}),
            "DELETE /v1/Services/IS0123456789abcdef0123456789abcdef/Conversations/CH0123456789abcdef0123456789abcdef",
        ),
    ];
    Case {
        program,
        sdk: "twilio",
        preset: "twilio",
        settings: "account_sid = \"AC0123456789abcdef0123456789abcdef\"\napi_key_sid = \"SK0123456789abcdef0123456789abcdef\"\n\
                   service_sid = \"IS0123456789abcdef0123456789abcdef\"",
        secret: "api_key_secret",
        id: "SK0123456789abcdef0123456789abcdef",
        key: SECRET,
        shape: "KEY",
        tls: false,
        options: json!({"account": "AC0123456789abcdef0123456789abcdef"}),
        calls,
        headers: Vec::new(),
        proofs: vec!["authorization"],
        random: Vec::new(),
        proven: Proven::Basic,
        refused: json!({"status": 403}),
        answers: |request| match &*request.method {
            "DELETE" => Script::Answer { status: 204, headers: Vec::new(), body: Vec::new() },
            "GET" => Script::json(200, &json!({"conversations": [], "meta": {"key": "conversations", "page": 0}})),
            _ => Script::json(201, &json!({"sid": "CH1"})),
        },
    }
}

pub fn centrifugo() -> Case {
    let calls = vec![
        call("channel.publish", json!({"channel": "shop:1", "data": {"ä": [1, 2.5]}}), "POST /api/publish"),
        call("channel.broadcast", json!({"channels": ["shop:1", "shop:2"], "data": "hi"}), "POST /api/broadcast"),
        call("channel.presence_stats", json!({"channel": "shop:1"}), "POST /api/presence_stats"),
        call("channel.history", json!({"channel": "shop:1", "limit": 10}), "POST /api/history"),
        call("channel.list", json!({"pattern": "shop:*"}), "POST /api/channels"),
        call("user.subscribe", json!({"user": "alice", "channel": "shop:1"}), "POST /api/subscribe"),
        call("user.disconnect", json!({"user": "alice"}), "POST /api/disconnect"),
        call("channel.history_remove", json!({"channel": "shop:1"}), "POST /api/history_remove"),
    ];
    Case {
        program: "gateway.py",
        sdk: "centrifugo",
        preset: "centrifugo",
        settings: "",
        secret: "api_key",
        id: "",
        key: SECRET,
        shape: "KEY",
        tls: false,
        options: json!({}),
        calls,
        headers: Vec::new(),
        proofs: vec!["x-api-key"],
        random: Vec::new(),
        proven: Proven::Key("x-api-key"),
        refused: json!({"status": 403}),
        answers: |_| Script::json(200, &json!({"result": {"channels": {}, "publications": []}})),
    }
}
