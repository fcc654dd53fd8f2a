//! A request as the SDK sent it, and where in it things stand. What comes twice is not there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, Method};
use serde_json::{Map, Value};
use url::Url;

use super::{NotShown, Place};
use crate::decode::form;
use crate::provider::template::RequestText;

/// A request as the SDK sent it, below its mount.
#[derive(Clone, Copy)]
pub struct Presented<'r> {
    /// Its method.
    pub method: &'r Method,
    /// Its path, as sent.
    pub path: &'r str,
    /// Its query, as sent.
    pub query: Option<&'r str>,
    /// Every header line.
    pub headers: &'r HeaderMap,
    /// Its whole body, where that was read.
    pub body: Option<&'r [u8]>,
}

impl<'r> Presented<'r> {
    /// The only line of a header.
    pub(in crate::provider) fn line(&self, name: &HeaderName) -> Result<&'r str, NotShown> {
        let mut lines = self.headers.get_all(name).iter();
        // G-14: two keys
        match (lines.next(), lines.next()) {
            (Some(line), None) => line.to_str().map_err(|_not_text| NotShown::KeyMalformed),
            _ => Err(NotShown::KeyMissing),
        }
    }

    /// What stands behind a word in the only line of a header; the whole line where the word is empty.
    pub(super) fn word(&self, name: &HeaderName, word: &str) -> Result<&'r str, NotShown> {
        let line = self.line(name)?;
        if word.is_empty() {
            return Ok(line);
        }
        let (own, rest) = line.split_once(' ').ok_or(NotShown::KeyMalformed)?;
        Some(rest).filter(|_| own.eq_ignore_ascii_case(word)).ok_or(NotShown::KeyMalformed)
    }

    /// User and password, with the colon between them (RFC 7617).
    pub(super) fn basic(&self) -> Result<String, NotShown> {
        let encoded = self.word(&AUTHORIZATION, "basic")?;
        let pair = STANDARD.decode(encoded).ok().and_then(|pair| String::from_utf8(pair).ok());
        pair.ok_or(NotShown::KeyMalformed)
    }

    /// The value of a query parameter that is there once.
    pub(in crate::provider) fn parameter(&self, name: &str) -> Result<String, NotShown> {
        let pairs = form::pairs(self.query.unwrap_or_default().as_bytes()).ok_or(NotShown::KeyMalformed)?;
        let mut values = pairs.into_iter().filter(|(own, _)| own == name).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            _ => Err(NotShown::KeyMissing),
        }
    }

    /// Its address below the mount, without the query parameter called `without`. Scheme and host are of no meaning.
    pub(in crate::provider) fn address(&self, without: Option<&str>) -> Result<Url, NotShown> {
        let mut url = Url::parse("http://localhost/").map_err(|_error| NotShown::KeyMalformed)?;
        url.set_path(self.path);
        // What was signed is what was sent: what a parser of addresses rewrites is not.
        if url.path() != self.path {
            return Err(NotShown::KeyMalformed);
        }
        let is_kept = |pair: &&str| {
            let name = form::pairs(pair.as_bytes()).and_then(|pairs| pairs.into_iter().next()).map(|(name, _)| name);
            !pair.is_empty() && (without.is_none() || name.as_deref() != without)
        };
        let pairs: Vec<&str> = self.query.unwrap_or_default().split('&').filter(is_kept).collect();
        url.set_query(Some(pairs.join("&").as_str()).filter(|query| !query.is_empty()));
        Ok(url)
    }

    /// The request, as a signature sees it; `url` is its address.
    pub(in crate::provider) fn text<'t>(&self, url: &'t Url) -> RequestText<'t>
    where
        'r: 't,
    {
        RequestText::of(self.method, url, self.body)
    }

    /// What stands at `place`.
    pub(super) fn at(&self, place: &Place, claims: Option<&Map<String, Value>>) -> Result<String, NotShown> {
        match place {
            Place::Query(name) => self.parameter(name),
            Place::Header(name) => self.line(name).map(str::to_owned),
            Place::Claim(name) => match claims.and_then(|claims| claims.get(name)) {
                Some(Value::String(text)) => Ok(text.clone()),
                Some(Value::Number(number)) => Ok(number.to_string()),
                Some(_) => Err(NotShown::KeyMalformed),
                None => Err(NotShown::KeyMissing),
            },
        }
    }
}

impl std::fmt::Debug for Presented<'_> {
    /// Headers and queries hold keys, and bodies personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presented").field("method", self.method).finish_non_exhaustive()
    }
}
