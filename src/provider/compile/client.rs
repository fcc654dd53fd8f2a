//! `[client]`: the auth endpoint of the provider's own client library.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, StatusCode, header};
use serde_json::Value;

use super::Compiler;
use crate::definition::Key;
use crate::provider::client::dialect::{Body, BodyTemplate, Dialect};
use crate::provider::client::inputs::Inputs;
use crate::provider::definition::{Client, ClientMethod, ContentType};
use crate::provider::template::TemplatePlace;
use crate::provider::template::text::TextTemplate;

/// Headers of an answer that are not for a definition to choose: they frame it, or protect it.
const OURS: [HeaderName; 18] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TRAILER,
    header::DATE,
    header::ALLOW,
    header::CACHE_CONTROL,
    header::PRAGMA,
    header::VARY,
    header::RETRY_AFTER,
    header::REFERRER_POLICY,
    header::WWW_AUTHENTICATE,
    header::X_CONTENT_TYPE_OPTIONS,
    HeaderName::from_static("cross-origin-resource-policy"),
    HeaderName::from_static("x-request-id"),
];

impl Compiler<'_> {
    /// The endpoint, still with the inputs of every other route; members of the session are in the scope.
    pub(super) fn client(&mut self) -> Option<Dialect> {
        let client = self.definition.client.as_ref()?;
        let gets = client.methods.contains(&ClientMethod::Get);
        let posts = client.methods.contains(&ClientMethod::Post);
        if !gets && !posts {
            self.refuse("client.methods", "is empty; write how the client asks: [\"GET\"], [\"POST\"] or both");
        }
        let status = StatusCode::from_u16(client.status).ok().filter(StatusCode::is_success);
        if status.is_none_or(|status| matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT)) {
            self.refuse("client.status", format!("is {}; write a status of success with a body: 200", client.status));
        }
        let before = std::mem::replace(&mut self.scope.place, TemplatePlace::Client);
        let body =
            self.client_body(&"client".into(), client.json.as_ref(), client.text.as_deref(), client.content_type);
        if body.is_none() && client.json.is_none() && client.text.is_none() {
            self.refuse("client", "has neither json nor text; an answer has a body");
        }
        let headers = self.client_headers(client);
        self.scope.place = TemplatePlace::Failure;
        let error = &client.error;
        let error = self.client_body(&"client.error".into(), error.json.as_ref(), error.text.as_deref(), None);
        self.scope.place = before;
        let statuses = self.client_statuses(client);
        let (members, inputs) = (self.scope.members.clone(), Arc::default());
        Some(Dialect { gets, posts, status: status?, body: body?, headers, members, inputs, statuses, error })
    }

    fn client_body(
        &mut self,
        place: &Key,
        json: Option<&Value>,
        text: Option<&str>,
        content_type: Option<ContentType>,
    ) -> Option<Body> {
        let (template, usual) = match (json, text) {
            (Some(value), None) => (BodyTemplate::Json(self.json(&place.below("json"), value)?), ContentType::Json),
            (None, Some(text)) => (BodyTemplate::Text(self.text(&place.below("text"), text)?), ContentType::Text),
            (None, None) => return None,
            (Some(_), Some(_)) => {
                self.refuse(place, "has both json and text; an answer has one body");
                return None;
            }
        };
        Some(Body { content_type: content_type.unwrap_or(usual).name(), template })
    }

    fn client_headers(&mut self, client: &Client) -> Vec<(HeaderName, TextTemplate)> {
        let mut headers = Vec::new();
        for (name, text) in &client.headers {
            let place = Key::from("client.headers").below(name);
            let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
                self.refuse(place, "is not a header name");
                continue;
            };
            // T-75: safe cookie
            let is_open_cookie = parsed == header::SET_COOKIE && !is_safe_cookie(text);
            if OURS.contains(&parsed) || parsed.as_str().starts_with("access-control-") {
                self.refuse(place, "frames or protects answers, and is set here");
            } else if is_open_cookie {
                self.refuse(
                    place,
                    "must be one cookie with a fixed name that only its server sees: NAME=…; Path=…; Secure; HttpOnly; \
                     SameSite=Strict (or Lax)",
                );
            } else {
                headers.extend(self.text(&place, text).map(|template| (parsed, template)));
            }
        }
        headers
    }

    fn client_statuses(&mut self, client: &Client) -> BTreeMap<u16, StatusCode> {
        let mut statuses = BTreeMap::new();
        for (ours, theirs) in &client.error.statuses {
            let is_failure = |status: &StatusCode| status.is_client_error() || status.is_server_error();
            let ours_is_one = ours.parse().ok().and_then(|own| StatusCode::from_u16(own).ok()).filter(is_failure);
            match (ours_is_one, StatusCode::from_u16(*theirs).ok().filter(is_failure)) {
                (Some(ours), Some(theirs)) => {
                    statuses.insert(ours.as_u16(), theirs);
                }
                _ => self.refuse("client.error.statuses", format!("{ours} = {theirs}: a failure is 400 to 599")),
            }
        }
        statuses
    }

    /// What requests of the client may add: the inputs, and what is ignored beside them.
    pub(super) fn client_inputs(&mut self, inputs: &Arc<Inputs>) -> Arc<Inputs> {
        let ignored = self.definition.client.as_ref().map_or(&[][..], |client| &client.ignored);
        if ignored.is_empty() {
            return Arc::clone(inputs);
        }
        let outcome = Inputs::clone(inputs).ignoring(ignored).map_err(|mistake| mistake.within("client.ignored"));
        self.mistakes.note(outcome).map(Arc::new).unwrap_or_default()
    }
}

/// Whether a cookie has a fixed name, and attributes that keep it from scripts, other sites and open networks.
fn is_safe_cookie(text: &str) -> bool {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().and_then(|pair| pair.split_once('=')).map_or("", |(name, _)| name);
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let attributes: Vec<String> = parts.map(str::to_ascii_lowercase).collect();
    let has = |wanted: &str| attributes.iter().any(|own| own == wanted);
    !name.is_empty()
        && name.bytes().all(is_token)
        && has("secure")
        && has("httponly")
        && (has("samesite=strict") || has("samesite=lax"))
}
