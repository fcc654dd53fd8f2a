//! `docs/openapi.json`: made from the table of outcomes, and what the running service answers agrees with it.
//! `UPDATE_PAGES=1` writes it.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Map, Value, json};
use sidemint::inbound::Outcome;
use strum::VariantArray as _;

use crate::client::Answer;
use crate::docs::root;
use crate::errors::{by_the_request, by_the_surroundings};
use crate::judge::judge;

/// The methods of a session route.
const ASKING: [&str; 2] = ["get", "post"];

/// The methods of a session route on which a request may end so.
const fn methods(outcome: Outcome) -> &'static [&'static str] {
    match outcome {
        Outcome::Ok => &ASKING,
        Outcome::SignedOut | Outcome::SignedOutHere => &["delete"],
        Outcome::Options => &["options"],
        // Of subrequest routes, of webhooks, and of paths that are none; the last one has no operation here.
        Outcome::Anonymous
        | Outcome::Timeout
        | Outcome::Unsupported
        | Outcome::WebhookUnavailable
        | Outcome::NotFound
        | Outcome::MethodNotAllowed => &[],
        _ => &["get", "post", "delete"],
    }
}

/// What each status says, and with which codes.
fn responses(method: &str) -> Value {
    let mut by_status: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
    for &outcome in Outcome::VARIANTS.iter().filter(|outcome| methods(**outcome).contains(&method)) {
        by_status.entry(outcome.row().status.as_str().to_owned()).or_default().push(outcome);
    }
    let one = |(status, outcomes): (String, Vec<Outcome>)| (status, response(&outcomes));
    by_status.into_iter().map(one).collect::<Map<_, _>>().into()
}

fn response(outcomes: &[Outcome]) -> Value {
    let row = outcomes[0].row();
    let codes: Vec<&str> = outcomes.iter().map(|outcome| outcome.row().code).collect();
    let header = |name: &str| (name.to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
    let mut headers = Map::from_iter([header("X-Request-Id")]);
    let description = match outcomes[0] {
        Outcome::Ok => "A session.",
        Outcome::SignedOut => "The sessions of the user are forgotten here.",
        Outcome::Options => "What is allowed, also as the answer to the preflight of a listed origin.",
        _ => row.error,
    };
    let schema = match outcomes[0] {
        Outcome::Ok => json!({"$ref": "#/components/schemas/Session"}),
        Outcome::SignedOut => return json!({"description": description, "headers": headers}),
        Outcome::Options => {
            headers.extend([header("Allow")]);
            return json!({"description": description, "headers": headers});
        }
        _ => json!({"allOf": [{"$ref": "#/components/schemas/Error"}], "properties": {"code": {"enum": codes}}}),
    };
    if outcomes.contains(&Outcome::Unauthorized) {
        headers.extend([header("WWW-Authenticate")]);
    }
    if matches!(row.status.as_u16(), 429 | 503) {
        headers.extend([header("Retry-After")]);
    }
    json!({"description": description, "headers": headers, "content": {"application/json": {"schema": schema}}})
}

fn document() -> Value {
    let inputs = json!({
        "description": "The inputs of the preset, where it has some. Without any: no body, or {}.",
        "required": false,
        "content": {"application/json": {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}},
    });
    let client = json!({
        "description": "What the client library of the provider takes. Statuses and bodies are those that the preset's [client] names; the codes of \
                        the session route are in the service's log.",
    });
    let text = json!({"type": "string"});
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "sidemint",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The routes that pages and apps ask. Paths are the operator's: these are those of the shipped config.toml and of the pages. Who the \
                            user is says the proxy, the application or a signed token (docs/identity.md), so no parameter here names one.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:8080"}],
        "paths": {
            "/api/chat/session": {
                "get": {"operationId": "getSession", "summary": "The session of the user", "security": [], "responses": responses("get")},
                "post": {
                    "operationId": "postSession",
                    "summary": "The session of the user",
                    "security": [],
                    "requestBody": inputs,
                    "responses": responses("post"),
                },
                "delete": {"operationId": "signOut", "summary": "Forgets the sessions of the user", "security": [], "responses": responses("delete")},
                "options": {"operationId": "preflight", "summary": "What is allowed", "security": [], "responses": responses("options")},
            },
            "/chat/token": {
                "get": {"operationId": "getClientToken", "summary": "A token, asked for by a provider's client library", "security": [], "responses": {"default": client}},
                "post": {"operationId": "postClientToken", "summary": "A token, asked for by a provider's client library", "security": [], "responses": {"default": client}},
            },
        },
        "components": {
            "schemas": {
                "Session": {
                    "type": "object",
                    "required": ["token", "expiresAt", "apiUrl", "chatUserId", "displayName"],
                    "properties": {
                        "token": {"type": "string", "minLength": 1},
                        "expiresAt": {"type": ["string", "null"], "format": "date-time", "description": "null: the token has no end."},
                        "apiUrl": text,
                        "chatUserId": {"type": "string", "minLength": 1},
                        "displayName": text,
                    },
                    "additionalProperties": {"description": "A preset may add members."},
                },
                "Error": {
                    "type": "object",
                    "required": ["error", "code", "requestId"],
                    "properties": {
                        "error": {"type": "string", "description": "For people."},
                        "code": {"type": "string", "description": "For programs, and stable: docs/errors.md."},
                        "requestId": text,
                    },
                },
            },
            "headers": {
                "X-Request-Id": {"description": "What the operator finds in the log.", "schema": text},
                "Retry-After": {"description": "Seconds. Missing where nothing is known.", "schema": {"type": "integer", "minimum": 1}},
                "Allow": {"schema": text},
                "WWW-Authenticate": {"schema": text},
            },
        },
    })
}

#[test]
fn the_description_is_that_of_the_table() {
    let path = root().join("docs/openapi.json");
    let fresh = format!("{:#}\n", document());
    if std::env::var_os("UPDATE_PAGES").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    let own = fs::read_to_string(&path).unwrap_or_default();
    assert!(own == fresh, "docs/openapi.json is not that of the table of outcomes: UPDATE_PAGES=1 writes it");
}

/// An answer of the service, as the judge takes it.
fn seen(outcome: Outcome, answer: &Answer) -> Value {
    let body = if answer.body.is_empty() { Value::Null } else { answer.json() };
    let headers: Vec<&str> = ["x-request-id", "retry-after", "allow", "www-authenticate"]
        .into_iter()
        .filter(|name| answer.header(name).is_some())
        .collect();
    json!({"method": methods(outcome)[0], "status": answer.status.to_string(), "headers": headers, "body": body})
}

/// Each answer that the service can be brought to give on a session route is described, and what is described is well formed.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_answers_as_it_is_described() {
    let mut provoked = Box::pin(by_the_request()).await;
    provoked.extend(by_the_surroundings().await);
    let answers: Vec<Value> = provoked
        .iter()
        .filter(|(outcome, _)| !methods(*outcome).is_empty())
        .map(|(outcome, answer)| seen(*outcome, answer))
        .collect();
    assert!(answers.len() >= 20, "{}", answers.len());
    let wrong = judge("openapi.py", json!({"document": document(), "path": "/api/chat/session", "answers": answers}));
    assert_eq!(wrong, json!([]));
    // The judge refuses what is not described.
    let body = json!({"error": "Unauthorized", "code": "unauthorised", "requestId": "1"});
    let strange = json!([{"method": "get", "status": "401", "headers": [], "body": body}, {"method": "get", "status": "418", "headers": [], "body": null}]);
    let wrong = judge("openapi.py", json!({"document": document(), "path": "/api/chat/session", "answers": strange}));
    assert_eq!(wrong.as_array().map(Vec::len), Some(2), "{wrong}");
}
