//! What a request adds: query, body and headers taken apart, and held against the inputs that the provider's definition
//! declares. Whatever could be read in two ways is refused.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::inbound::reply::Outcome;
use crate::inbound::request::Request;
use crate::inbound::request::body::{Body, BodyLimits};
use crate::metrics::Label as _;
use crate::provider::{Given, InputFault, Inputs};

/// The inputs, in the order of the definition's names.
pub(crate) type Read = Result<Vec<Option<String>>, Fault>;

/// Why input is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) outcome: Outcome,
    /// For the request line.
    pub(crate) reason: &'static str,
}

/// Neither JSON object nor form, or not decodable.
const MALFORMED: Fault = Fault { outcome: Outcome::InputInvalid, reason: "input_malformed" };

impl From<InputFault> for Fault {
    fn from(fault: InputFault) -> Self {
        Self { outcome: Outcome::InputInvalid, reason: fault.label() }
    }
}

/// The inputs of a request whose body says nothing, such as that of a GET (RFC 9110, 9.3.1).
pub(crate) fn without_body(request: &Request, inputs: &Inputs) -> Read {
    if inputs.is_empty() {
        return nothing(request).map(|()| Vec::new());
    }
    let query = request.query().map_or(Some(Vec::new()), pairs).ok_or(MALFORMED)?;
    Ok(inputs.read(&Given { query, body: Vec::new(), headers: &request.headers })?)
}

/// The inputs of a request whose body counts: so many bytes at most, and within this time.
pub(crate) async fn with_body(request: &Request, inputs: &Inputs, limits: BodyLimits) -> Read {
    if inputs.is_empty() {
        nothing(request)?;
    }
    let bytes = whole_body(request, limits).await?;
    of_body(request, inputs, bytes.as_deref(), None)
}

/// The body of a request; `None` where there is nothing in it.
pub(crate) async fn whole_body(request: &Request, limits: BodyLimits) -> Result<Option<Bytes>, Fault> {
    match request.body(limits).await {
        Body::Empty => Ok(None),
        Body::Whole(bytes) => Ok(Some(bytes)),
        Body::TooLarge => Err(Fault { outcome: Outcome::BodyTooLarge, reason: "body_too_large" }),
        Body::NoRoom => Err(Fault { outcome: Outcome::Overloaded, reason: "no_room" }),
        Body::Broken => Err(Fault { outcome: Outcome::InputInvalid, reason: "body_incomplete" }),
    }
}

/// The inputs of a request with a body that is here. A member called `apart` is none of them: it names the user.
pub(crate) fn of_body(request: &Request, inputs: &Inputs, bytes: Option<&[u8]>, apart: Option<&str>) -> Read {
    if inputs.is_empty() {
        nothing(request)?;
    }
    let query = request.query().map_or(Some(Vec::new()), pairs).ok_or(MALFORMED)?;
    let mut body = match bytes {
        None => Vec::new(),
        // Where a body must say nothing, its type does not matter either.
        Some(bytes) if inputs.is_empty() => members(bytes).ok_or(MALFORMED)?,
        Some(bytes) => body(&request.headers, bytes).ok_or(MALFORMED)?,
    };
    body.retain(|(name, _)| apart != Some(name.as_str()));
    Ok(inputs.read(&Given { query, body, headers: &request.headers })?)
}

/// The inputs of a subrequest, whose address and body are the user's own: those in headers.
pub(crate) fn of_headers(request: &Request, inputs: &Inputs) -> Read {
    if inputs.is_empty() {
        return Ok(Vec::new());
    }
    // T-09: joined inputs
    if request.asking(None).joins(inputs.headers()) {
        return Err(InputFault::Twice.into());
    }
    Ok(inputs.read(&Given { query: Vec::new(), body: Vec::new(), headers: &request.headers })?)
}

/// Refuses any query.
pub(crate) fn nothing(request: &Request) -> Result<(), Fault> {
    // T-34: undeclared query
    if request.query().is_some() { Err(InputFault::Undeclared.into()) } else { Ok(()) }
}

/// The members of a body, by its type: a JSON object, also where no type is told, or a form.
pub(crate) fn body(headers: &HeaderMap, bytes: &[u8]) -> Option<Vec<(String, Option<String>)>> {
    let mut lines = headers.get_all(CONTENT_TYPE).iter();
    let told = lines.next().map(HeaderValue::to_str).transpose().ok()?;
    if lines.next().is_some() {
        return None;
    }
    let media = told.map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match media.as_deref() {
        None | Some("application/json") => members(bytes),
        Some("application/x-www-form-urlencoded") => {
            let pairs = pairs(std::str::from_utf8(bytes).ok()?)?;
            Some(pairs.into_iter().map(|(name, text)| (name, Some(text))).collect())
        }
        Some(_) => None,
    }
}

/// The members of a JSON object, each as often as it was sent: most readers keep the last of two, some the first.
pub(crate) fn members(bytes: &[u8]) -> Option<Vec<(String, Option<String>)>> {
    struct Members;
    impl<'de> serde::de::Visitor<'de> for Members {
        type Value = Vec<(String, Option<String>)>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some((name, value)) = map.next_entry::<String, Value>()? {
                let text = if let Value::String(text) = value { Some(text) } else { None };
                members.push((name, text));
            }
            Ok(members)
        }
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let members = serde::Deserializer::deserialize_map(&mut reader, Members).ok()?;
    reader.end().ok()?;
    Some(members)
}

/// The pairs of a query or a form. Empty ones say nothing.
pub(crate) fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(name)?, decoded(value)?))
    };
    text.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

/// Text without `+` and percent encoding; `None` where readers differ: half an escape, or bytes that are not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut escapes = text.split('%').skip(1);
    let whole = escapes.all(|rest| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2);
    let spaced = text.replace('+', " "); // fuzzing: plus is a space
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    whole.then(|| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn texts(pairs: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
        owned(pairs).into_iter().map(|(name, text)| (name, Some(text))).collect()
    }

    fn typed(types: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for own in types {
            headers.append(CONTENT_TYPE, HeaderValue::from_static(own));
        }
        headers
    }

    #[test]
    fn pairs_are_decoded_once() {
        for (text, expected) in [
            ("", &[][..]),
            ("&&", &[]),
            ("room=lobby", &[("room", "lobby")]),
            ("a=1&b=2&a=3", &[("a", "1"), ("b", "2"), ("a", "3")]),
            ("room", &[("room", "")]),
            ("=", &[("", "")]),
            ("a=b=c", &[("a", "b=c")]),
            ("a+b=c+d%2B", &[("a b", "c d+")]),
            ("%72oom=l%6Fbby", &[("room", "lobby")]),
            ("a=%2541", &[("a", "%41")]),
            ("a=%26b%3D1", &[("a", "&b=1")]),
            ("a=%C3%A4", &[("a", "ä")]),
            ("a=ä", &[("a", "ä")]),
            ("a=%00", &[("a", "\0")]),
            ("a=1;b=2", &[("a", "1;b=2")]),
        ] {
            assert_eq!(pairs(text), Some(owned(expected)), "{text}");
        }
        for text in ["%", "a=%", "a=%4", "a=%4&b=1", "a=%zz", "a=%+1", "a=%ff", "%c3=x", "a=%C3%28", "a=%ä", "a=%%20"]
        {
            assert_eq!(pairs(text), None, "{text}");
        }
    }

    #[test]
    fn an_object_is_taken_apart_with_everything_that_came_twice() {
        for (text, expected) in [
            ("{}", vec![]),
            (" {\n} ", vec![]),
            ("{\"room\":\"lobby\"}", texts(&[("room", "lobby")])),
            ("{\"a\":\"1\",\"a\":\"2\"}", texts(&[("a", "1"), ("a", "2")])),
            ("{\"a\":\"1\",\"\\u0061\":\"2\"}", texts(&[("a", "1"), ("a", "2")])),
            ("{\"a\":null}", vec![("a".to_owned(), None)]),
            ("{\"a\":1}", vec![("a".to_owned(), None)]),
            ("{\"a\":[\"x\"]}", vec![("a".to_owned(), None)]),
            ("{\"a\":{\"b\":\"c\"}}", vec![("a".to_owned(), None)]),
        ] {
            assert_eq!(members(text.as_bytes()), Some(expected), "{text}");
        }
        for text in
            ["", "[]", "null", "\"x\"", "{", "{}{}", "{} x", "{\"a\"}", "{a:1}", "{\"a\":\"\\ud800\"}", "room=x"]
        {
            assert_eq!(members(text.as_bytes()), None, "{text}");
        }
        assert_eq!(members(b"{\"a\":\"\xff\"}"), None);
        assert_eq!(members("[".repeat(5000).as_bytes()), None);
        assert_eq!(members(format!("{{\"a\":{}", "[".repeat(5000)).as_bytes()), None);
    }

    #[test]
    fn the_type_of_a_body_says_how_it_is_read() {
        let (json, form) = (b"{\"room\":\"lobby\"}", b"room=lobby");
        let room = Some(texts(&[("room", "lobby")]));
        for types in [&[][..], &["application/json"], &["Application/JSON; charset=utf-8"], &["application/json ;x"]] {
            assert_eq!(body(&typed(types), json), room, "{types:?}");
            assert_eq!(body(&typed(types), form), None, "{types:?}");
        }
        for types in [["application/x-www-form-urlencoded"], ["application/x-www-form-urlencoded; charset=UTF-8"]] {
            assert_eq!(body(&typed(&types), form), room, "{types:?}");
        }
        for types in [
            &["text/plain"][..],
            &["multipart/form-data; boundary=x"],
            &["application/ld+json"],
            &["application/jsonx"],
            &["application/json, text/plain"],
            &[""],
            &["application/json", "application/json"],
            &["application/json", "application/x-www-form-urlencoded"],
        ] {
            assert_eq!(body(&typed(types), json), None, "{types:?}");
            assert_eq!(body(&typed(types), form), None, "{types:?}");
        }
        assert_eq!(body(&typed(&["application/x-www-form-urlencoded"]), b"a=\xff"), None);
    }

    proptest::proptest! {
        /// What is encoded as forms are is read as it was, and nothing makes the reader panic.
        #[test]
        fn pairs_survive_encoding(
            given in proptest::collection::vec((".{0,6}", ".{0,6}"), 0..4),
            garbage in "[%a-f0-9&=+ä]{0,12}",
        ) {
            let mut encoded = url::form_urlencoded::Serializer::new(String::new());
            encoded.extend_pairs(&given);
            proptest::prop_assert_eq!(pairs(&encoded.finish()), Some(given));
            let _maybe = pairs(&garbage);
        }
    }
}
