//! What a request adds: query, body and headers taken apart, and held against the inputs that the provider's definition
//! declares. Whatever could be read in two ways is refused.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;

use crate::decode::{form, json};
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

/// Levels of lists and objects in a body at most. What is read is text alone, so none is needed below the body's own.
const MOST_LEVELS: u8 = 16;

impl From<json::Fault> for Fault {
    fn from(fault: json::Fault) -> Self {
        match fault {
            json::Fault::Twice => InputFault::Twice.into(),
            json::Fault::Malformed | json::Fault::TooDeep => MALFORMED,
        }
    }
}

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
    let query = query(request)?;
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
    let query = query(request)?;
    let mut body = match bytes {
        None => Vec::new(),
        // Where a body must say nothing, its type does not matter either.
        Some(bytes) if inputs.is_empty() => members(bytes)?,
        Some(bytes) => body(&request.headers, bytes)?,
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

fn query(request: &Request) -> Result<Vec<(String, String)>, Fault> {
    request.query().map_or(Some(Vec::new()), |query| form::pairs(query.as_bytes())).ok_or(MALFORMED)
}

/// Refuses any query.
pub(crate) fn nothing(request: &Request) -> Result<(), Fault> {
    // T-34: undeclared query
    if request.query().is_some() { Err(InputFault::Undeclared.into()) } else { Ok(()) }
}

/// The members of a body, by its type: a JSON object, also where no type is told, or a form.
pub(crate) fn body(headers: &HeaderMap, bytes: &[u8]) -> Result<Vec<(String, Option<String>)>, Fault> {
    let mut lines = headers.get_all(CONTENT_TYPE).iter();
    let told = lines.next().map(HeaderValue::to_str).transpose().map_err(|_not_text| MALFORMED)?;
    if lines.next().is_some() {
        return Err(MALFORMED);
    }
    let media = told.map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match media.as_deref() {
        None | Some("application/json") => members(bytes),
        Some("application/x-www-form-urlencoded") => {
            let pairs = form::pairs(bytes).ok_or(MALFORMED)?;
            Ok(pairs.into_iter().map(|(name, text)| (name, Some(text))).collect())
        }
        Some(_) => Err(MALFORMED),
    }
}

/// The members of a JSON object.
fn members(bytes: &[u8]) -> Result<Vec<(String, Option<String>)>, Fault> {
    let text = |value: Value| if let Value::String(text) = value { Some(text) } else { None };
    let members = json::object(bytes, MOST_LEVELS)?;
    Ok(members.into_iter().map(|(name, value)| (name, text(value))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), Some((*text).to_owned()))).collect()
    }

    fn typed(types: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for own in types {
            headers.append(CONTENT_TYPE, HeaderValue::from_static(own));
        }
        headers
    }

    #[test]
    fn an_object_is_taken_apart() {
        for (text, expected) in [
            ("{}", vec![]),
            (" {\n} ", vec![]),
            ("{\"room\":\"lobby\"}", texts(&[("room", "lobby")])),
            ("{\"a\":null}", vec![("a".to_owned(), None)]),
            ("{\"a\":1}", vec![("a".to_owned(), None)]),
            ("{\"a\":[\"x\"]}", vec![("a".to_owned(), None)]),
            ("{\"a\":{\"b\":\"c\"}}", vec![("a".to_owned(), None)]),
        ] {
            assert_eq!(members(text.as_bytes()), Ok(expected), "{text}");
        }
        for text in ["", "[]", "null", "{", "{} x", "room=x"] {
            assert_eq!(members(text.as_bytes()), Err(MALFORMED), "{text}");
        }
        assert_eq!(members(b"{\"a\":\"1\",\"a\":\"2\"}"), Err(InputFault::Twice.into()));
    }

    #[test]
    fn the_type_of_a_body_says_how_it_is_read() {
        let (json, form) = (b"{\"room\":\"lobby\"}", b"room=lobby");
        let room = Ok(texts(&[("room", "lobby")]));
        for types in [&[][..], &["application/json"], &["Application/JSON; charset=utf-8"], &["application/json ;x"]] {
            assert_eq!(body(&typed(types), json), room, "{types:?}");
            assert_eq!(body(&typed(types), form), Err(MALFORMED), "{types:?}");
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
            assert_eq!(body(&typed(types), json), Err(MALFORMED), "{types:?}");
            assert_eq!(body(&typed(types), form), Err(MALFORMED), "{types:?}");
        }
        assert_eq!(body(&typed(&["application/x-www-form-urlencoded"]), b"a=\xff"), Err(MALFORMED));
    }
}
