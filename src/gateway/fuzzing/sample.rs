//! A definition with what definitions have, and calls to it.

use std::sync::LazyLock;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use crate::gateway::gate::{Gate, Grants, Head, Hosts, Ours, Reading, Sent, read};
use crate::gateway::operation::{Operation, Parameters};
use crate::gateway::refusal::Refusal;
use crate::outbound;
use crate::provider::gateway::Gateway;

/// The definition. Its settings say `app_id = "a 1"`.
const TEXT: &str = r#"
    base = "https://api.example/v1"
    headers = ["x-sample"]
    idempotency = "x-call-id"
    as_user = { json = "/senderId", sent_as = "x-sample-user" }

    [[calls]]
    query = ["limit", "cursor"]
    read = { "user.list" = "GET /users", "user.get" = "GET /users/{user}" }
    destroy = { "user.delete" = "DELETE /users/{user}" }

    [[calls]]
    prefix = "/apps/{=config.app_id}"
    read = { "app.me" = "GET /users/me", "app.user" = "GET /users/{user}" }
    write = { "app.event" = "POST /events" }

    [[calls]]
    types = ["json", "form", "protobuf"]
    params = { room = { json = ["/room"], form = ["room"], proto = 1, query = ["room"] } }
    claims = { video = { room = "{{ param.room }}" } }
    forbid = [
        { json = ["/permission", "/users/*/role"], form = ["permission"], proto = 4 },
        { json = ["/loud"], form = ["loud"], proto = 9, in = ["room.mute"] },
    ]
    write = { "room.send" = "POST /rooms", "room.mute" = "POST /rooms/{room}/mute" }

    [[calls]]
    types = ["json", "form", "protobuf"]
    claims = { video = { room = "{{ param.from }}" } }
    write = { "move" = "POST /moves" }
    [calls.params]
    room = { json = ["/from", "/to"], form = ["from", "to"], proto = [1, 3] }
    from = { json = ["/from"], form = ["from"], proto = 1 }

    [[calls]]
    force = { "/app_id" = "mine", "/scope/tenant" = 7 }
    forbid = [{ json = ["/notes/[]/secret", "/notes/*/hidden"] }]
    params = { room = { json = ["/room", "/rooms/*"], pattern = "r-[a-z]+" } }
    write = { "broadcast" = "POST /broadcast" }

    [[calls]]
    only = [{ json = ["/text", "/to/*/id"] }]
    params = { room = { json = ["/room"] } }
    write = { "note" = "POST /notes" }

    [[calls]]
    as_user = "allowed"
    write = { "message.send" = "POST /rooms/{room}/messages" }

    [[calls]]
    types = ["any"]
    write = { "file.put" = "PUT /files/{file}" }
"#;

static GATE: LazyLock<Option<Gate>> = LazyLock::new(|| {
    let section = section(TEXT)?;
    Gate::compile(&section, &section.base.parse().ok()?, &ours()).ok()
});

/// Its gate.
pub(in crate::gateway) fn gate() -> Option<&'static Gate> {
    GATE.as_ref()
}

/// A section, with its settings.
pub(in crate::gateway) fn section(text: &str) -> Option<Gateway> {
    let mut section: Gateway = toml::from_str(text).ok()?;
    section.settings = [("app_id".to_owned(), "a 1".to_owned())].into();
    Some(section)
}

/// Where proofs and users stand.
pub(in crate::gateway) fn ours() -> Ours {
    let headers = ["authorization", "x-sample-user"].map(HeaderName::from_static).to_vec();
    Ours { headers, query: vec!["api_key".to_owned(), "signature".to_owned()] }
}

/// Everything, nothing, or rooms that begin with `mine`.
pub(in crate::gateway) enum Granted {
    All,
    #[cfg(test)]
    None,
    #[cfg(test)]
    Rooms,
}

impl Grants for Granted {
    fn allow(&self, _operation: &Operation) -> bool {
        match self {
            #[cfg(test)]
            Self::None => false,
            _ => true,
        }
    }

    fn permit(&self, operation: &Operation, parameters: &Parameters<'_>) -> bool {
        let is_mine = || {
            let mut rooms = parameters.of("room").peekable();
            operation.may_carry("room") && rooms.peek().is_some() && rooms.all(|room| room.starts_with("mine"))
        };
        match self {
            Self::All => true,
            #[cfg(test)]
            _ => is_mine(),
        }
    }
}

/// A request. Without a host, it is for this machine.
pub(in crate::gateway) struct Call<'u> {
    pub(in crate::gateway) method: Method,
    pub(in crate::gateway) uri: Uri,
    pub(in crate::gateway) headers: HeaderMap,
    pub(in crate::gateway) body: Option<Bytes>,
    pub(in crate::gateway) user: Option<&'u str>,
}

/// The call that a request became.
#[derive(Debug)]
pub(in crate::gateway) struct Made {
    pub(in crate::gateway) operation: String,
    pub(in crate::gateway) call: outbound::Call,
    pub(in crate::gateway) parameters: Vec<(String, String)>,
}

/// Takes all steps, as the gateway does.
pub(in crate::gateway) fn make(call: &Call<'_>, granted: &Granted) -> Result<Made, Refusal> {
    let gate = gate().ok_or(Refusal::Draining)?;
    let mut parts = Request::new(()).into_parts().0;
    (parts.method, parts.uri, parts.headers) = (call.method.clone(), call.uri.clone(), call.headers.clone());
    parts.headers.entry(HOST).or_insert(HeaderValue::from_static("localhost:8070"));
    let target = read(&parts, &Hosts::new(["sidemint.internal"]))?;
    let body = call.body.clone().filter(|body| !body.is_empty());
    let head =
        Head { method: &parts.method, target: &target, headers: &parts.headers, body: body.as_ref().map(|_| None) };
    let matched = gate.head(&head, granted)?;
    let sent = match matched.reading(false) {
        Reading::Whole(most) if body.as_ref().is_some_and(|body| body.len() > most) => {
            return Err(Refusal::BodyTooLarge);
        }
        Reading::Whole(_) => Sent::Whole(body.unwrap_or_default()),
        Reading::Nothing | Reading::Streamed(_) => Sent::Apart,
    };
    let made = matched.body(sent, call.user, granted)?;
    let parameters = made.parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok(Made { operation: made.operation.name().to_owned(), call: made.call, parameters })
}
