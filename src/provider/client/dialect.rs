//! The auth endpoint of a provider's own client library: what it takes, and a session and a failure in its form.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS};

use super::inputs::Inputs;
use crate::provider::mint::Minted;
use crate::provider::template::json::{JsonTemplate, MissingValue};
use crate::provider::template::text::TextTemplate;
use crate::provider::template::{FailureView, Profile, SessionView, Variables};
use crate::provider::user::UserId;

/// What a header value of ours may not hold unencoded, beside everything that is not ASCII.
pub const HEADER_TEXT: &AsciiSet = &CONTROLS.add(b'%').add(b' ').add(b'"').add(b',').add(b';').add(b'\\');

/// A definition's `[client]`, compiled.
#[derive(Debug)]
pub struct Dialect {
    pub(in crate::provider) gets: bool,
    pub(in crate::provider) posts: bool,
    pub(in crate::provider) status: StatusCode,
    pub(in crate::provider) body: Body,
    pub(in crate::provider) headers: Vec<(HeaderName, TextTemplate)>,
    /// Names of further members of the session.
    pub(in crate::provider) members: Vec<String>,
    pub(in crate::provider) inputs: Arc<Inputs>,
    pub(in crate::provider) statuses: BTreeMap<u16, StatusCode>,
    pub(in crate::provider) error: Option<Body>,
}

/// A body and its type.
#[derive(Debug)]
pub(in crate::provider) struct Body {
    pub(in crate::provider) content_type: &'static str,
    pub(in crate::provider) template: BodyTemplate,
}

#[derive(Debug)]
pub(in crate::provider) enum BodyTemplate {
    Json(JsonTemplate),
    Text(TextTemplate),
}

impl Dialect {
    /// Whether the library asks with this method.
    pub fn takes(&self, method: &Method) -> bool {
        self.posts && *method == Method::POST || self.gets && matches!(*method, Method::GET | Method::HEAD)
    }

    /// Its methods, for `Allow`.
    pub const fn methods(&self) -> &'static str {
        match (self.gets, self.posts) {
            (true, true) => "GET, HEAD, POST, OPTIONS",
            (true, false) => "GET, HEAD, OPTIONS",
            (false, _) => "POST, OPTIONS",
        }
    }

    /// Status of an answer with a session.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// What an answer with a session is said to be.
    pub const fn content_type(&self) -> &'static str {
        self.body.content_type
    }

    /// What a request may add.
    pub const fn inputs(&self) -> &Arc<Inputs> {
        &self.inputs
    }

    /// Body and further headers of an answer with a session, for a user and what the request added; `None` where a value
    /// is missing that must be there.
    pub fn session(
        &self,
        minted: &Minted,
        api_url: &str,
        profile: &Profile<'_>,
        inputs: &[Option<&str>],
    ) -> Option<(Bytes, HeaderMap)> {
        let user = UserId::default();
        let Minted { token, expires, user_id, extra, .. } = minted;
        let session =
            SessionView { token, expires: *expires, api_url, user_id, profile, extra, members: &self.members };
        let rendered = self.render(&Variables { session: Some(&session), inputs, ..Variables::of(&user, profile) });
        if let Err(missing) = &rendered {
            tracing::warn!(member = missing.0, "a required value of the definition is missing");
        }
        rendered.ok()
    }

    fn render(&self, variables: &Variables<'_>) -> Result<(Bytes, HeaderMap), MissingValue> {
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, template) in &self.headers {
            // T-75: values in headers
            let Some(text) = template.render_encoded(variables, HEADER_TEXT)? else { continue };
            let value = HeaderValue::try_from(text).map_err(|_error| MissingValue(name.to_string()))?;
            headers.insert(name, value);
        }
        Ok((self.body.render(variables)?, headers))
    }

    /// The status that the library must see in place of ours.
    pub fn status_for(&self, status: StatusCode) -> StatusCode {
        self.statuses.get(&status.as_u16()).copied().unwrap_or(status)
    }

    /// A failure in the form that the library understands, and its type; `None` where it takes ours.
    pub fn failure(&self, failure: &FailureView<'_>) -> Option<(Bytes, &'static str)> {
        let body = self.error.as_ref()?;
        let (user, profile) = (UserId::default(), Profile::default());
        let variables = Variables { failure: Some(failure), ..Variables::of(&user, &profile) };
        body.render(&variables).ok().map(|bytes| (bytes, body.content_type))
    }
}

impl Body {
    fn render(&self, variables: &Variables<'_>) -> Result<Bytes, MissingValue> {
        let bytes = match &self.template {
            BodyTemplate::Json(template) => {
                let mut out = Vec::with_capacity(template.size_hint());
                template.render(variables, &mut out)?;
                out
            }
            BodyTemplate::Text(template) => template.render(variables)?.unwrap_or_default().into_bytes(),
        };
        // Exact size: a cached answer carries no slack.
        Ok(Bytes::from(bytes.into_boxed_slice()))
    }
}
