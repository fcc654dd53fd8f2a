//! Questions that are answered here and not delivered: proven ones, and handshakes that an operator allows.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use super::Head;
use crate::decode::members::{Found, Places};
use crate::decode::percent;
use crate::definition::Mistake;
use crate::provider::webhook::{Challenge, HandshakeMethod};
use crate::webhook::keys::Ring;
use crate::webhook::refusal::Reason;

/// Bytes of an answer at most.
const MOST: usize = 256;

/// What a question is answered with. A text is `text/plain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing but success.
    Empty,
    /// Visible ASCII, 256 bytes at most.
    Text(String),
    /// An origin that may post, for `WebHook-Allowed-Origin` (`CloudEvents`).
    Origin(HeaderValue),
}

/// A proven question.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// The place where the body says that it is one.
    at: usize,
    /// What stands there then.
    is: Vec<String>,
    /// The place of the text of the answer.
    answer: Option<usize>,
}

/// A question that nothing proves.
#[derive(Clone, Debug)]
pub(super) enum Handshake {
    /// `GET` with a text to send back, and perhaps a secret beside it.
    Echo {
        query: String,
        /// The parameter, and the setting of the secret.
        require: Option<(String, String)>,
    },
    /// `HEAD`.
    Head,
    /// `OPTIONS` with an origin.
    Origin { header: HeaderName, allow: Vec<String> },
}

impl Question {
    /// From a challenge of the definition with a pointer. `places` are those that are read of a body.
    pub(super) fn compile(own: &Challenge, at: &str, places: &mut Places) -> Result<Self, Mistake> {
        if own.query.is_some() || own.require.is_some() || own.header.is_some() || !own.allow.is_empty() {
            return Err("has members of an unproven question beside json; write json, is and answer".into());
        }
        let answer = own.answer.as_ref().map(|answer| answer.text.json.clone());
        let is_pointer = |at: &str| at.starts_with('/');
        if let Some(wrong) = [Some(at), answer.as_deref()].into_iter().flatten().find(|at| !is_pointer(at)) {
            return Err(format!("\"{wrong}\" is no JSON Pointer; write \"/{wrong}\"").into());
        }
        let is = own.is.as_ref().map_or(&[][..], |is| is.as_slice()).to_vec();
        if is.is_empty() {
            return Err(Mistake::new("is", "is missing; say what stands there in a question"));
        }
        Ok(Self { at: places.add(at), is, answer: answer.map(|at| places.add(&at)) })
    }

    /// The answer, where a body that holds `said` is this question.
    pub(super) fn answer(&self, said: &Found) -> Option<Result<Answer, Reason>> {
        let told = said.at(self.at)?.as_str()?;
        if !self.is.iter().any(|is| is == told) {
            return None;
        }
        let Some(at) = self.answer else { return Some(Ok(Answer::Empty)) };
        let text = said.at(at).and_then(Value::as_str).unwrap_or_default();
        Some(visible(text).ok_or(Reason::BadBody))
    }
}

impl Handshake {
    /// From a challenge of the definition with a method.
    pub(super) fn compile(own: &Challenge, method: HandshakeMethod) -> Result<Self, Mistake> {
        if own.is.is_some() || own.answer.is_some() {
            return Err("has members of a proven question beside method; remove is and answer".into());
        }
        match method {
            HandshakeMethod::Get => {
                let query = own
                    .query
                    .clone()
                    .ok_or_else(|| Mistake::new("query", "is missing; say which parameter is sent back"))?;
                let require = own.require.as_ref().map(|require| (require.query.clone(), require.secret.clone()));
                Ok(Self::Echo { query, require })
            }
            HandshakeMethod::Head => Ok(Self::Head),
            HandshakeMethod::Options => {
                let header = own.header.as_ref().and_then(|name| name.parse().ok());
                let header =
                    header.ok_or_else(|| Mistake::new("header", "is missing; say which header names the origin"))?;
                if own.allow.is_empty() {
                    return Err(Mistake::new("allow", "is empty; list the origins that may post"));
                }
                Ok(Self::Origin { header, allow: own.allow.clone() })
            }
        }
    }

    /// The answer, where `head` is this question.
    pub(super) fn answer(&self, head: &Head<'_>, ring: &Ring) -> Option<Result<Answer, Reason>> {
        match self {
            Self::Echo { query, require } if *head.method == Method::GET => {
                let secret = |name: &String| ring.required(name);
                let is_right = require.as_ref().is_none_or(|(parameter, name)| {
                    let sent = parameter_of(head.query, parameter);
                    secret(name).zip(sent).is_some_and(|(secret, sent)| secret.is(sent.as_bytes())) // W-15: verify token
                });
                let text = parameter_of(head.query, query).filter(|_| is_right);
                Some(text.as_deref().and_then(visible).ok_or(Reason::Mismatch))
            }
            Self::Head if *head.method == Method::HEAD => Some(Ok(Answer::Empty)),
            Self::Origin { header, allow } if *head.method == Method::OPTIONS => {
                let origin =
                    only(head.headers, header).filter(|origin| allow.iter().any(|own| own.as_str() == *origin)); // W-15: listed origin
                Some(origin.cloned().map(Answer::Origin).ok_or(Reason::Mismatch))
            }
            _ => None,
        }
    }
}

/// The value of a header that stands there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// A text that no browser takes for anything else, and that breaks no line.
fn visible(text: &str) -> Option<Answer> {
    let is_visible = (1..=MOST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()); // W-15: visible ASCII
    is_visible.then(|| Answer::Text(text.to_owned()))
}

/// A query parameter that stands there once, decoded.
fn parameter_of(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter(|(own, _)| percent::decode(own.as_bytes()).is_some_and(|own| own == name));
    let (_, value) = values.next().filter(|_| values.next().is_none())?;
    percent::decode(value.as_bytes()).map(Cow::into_owned)
}
