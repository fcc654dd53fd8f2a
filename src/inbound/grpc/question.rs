//! From a check to a request as the handlers see it.
//!
//! Two kinds of headers come in a check, and they are kept apart: those of the request that Envoy asks about, which may
//! name the user, and those of Envoy's own call, which may prove Envoy. Neither is ever looked for among the other.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::{HeaderMap as ProtoHeaders, HeaderValue as ProtoHeader, Metadata};
use envoy_types::pb::envoy::service::auth::v3::AttributeContext;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest;
use envoy_types::pb::google::protobuf::Value as ProtoValue;
use envoy_types::pb::google::protobuf::value::Kind;
use http::Method;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use serde_json::{Map, Number, Value};

use crate::identity::{ConnectionProof, Relayed};
use crate::inbound::request::Request;

/// Beyond it, doubles hold not every whole number, so two users could become one (T-15).
const LARGEST_WHOLE: f64 = 9_007_199_254_740_991.0;

/// What is not to the letter of HTTP.
struct Malformed;

/// The request that a check asks about.
pub(super) struct Question {
    pub(super) request: Request,
    /// Whether it holds what no request can hold. Nothing of it is known then.
    pub(super) is_malformed: bool,
}

impl Question {
    /// Reads a check. `own` are the header lines of the call itself.
    pub(super) fn of(own: HeaderMap, attributes: AttributeContext, connection: ConnectionProof) -> Self {
        let principal = attributes.source.map(|source| source.principal).unwrap_or_default(); // T-01: principal
        let mut relayed = Relayed::new(own, principal);
        tell(&mut relayed, attributes.metadata_context.unwrap_or_default());
        let request = attributes.request.and_then(|request| request.http).unwrap_or_default();
        let parts = Parts::of(request);
        let is_malformed = parts.is_err(); // T-57: malformed check
        let Parts { method, target, headers, joined } = parts.unwrap_or_default();
        if joined {
            relayed.mark_joined();
        }
        Self { request: Request::of_check(connection, method, target, headers, relayed), is_malformed }
    }
}

/// The parts of a request.
#[derive(Default)]
struct Parts {
    method: Method,
    target: Option<PathAndQuery>,
    headers: HeaderMap,
    /// Whether lines of one header were joined on the way.
    joined: bool,
}

impl Parts {
    fn of(request: HttpRequest) -> Result<Self, Malformed> {
        let method = Method::from_bytes(request.method.as_bytes()).map_err(|_| Malformed)?;
        let target = match request.path.as_str() {
            // CONNECT has none.
            "" => None,
            path => Some(path.parse().map_err(|_| Malformed)?),
        };
        let lines = request.header_map.unwrap_or_default();
        let joined = lines.headers.is_empty();
        // T-08: raw headers
        if !joined && !request.headers.is_empty() {
            // Sent in both forms, they could name two users.
            return Err(Malformed);
        }
        let mut headers = if joined { together(&request.headers)? } else { apart(lines)? };
        // A header of this name is not what Envoy went by.
        headers.remove(HOST); // T-12: host of the check
        if !request.host.is_empty() {
            headers.insert(HOST, HeaderValue::from_str(&request.host).map_err(|_| Malformed)?);
        }
        Ok(Self { method, target, headers, joined })
    }
}

/// Lines as they were sent (`encode_raw_headers`).
fn apart(lines: ProtoHeaders) -> Result<HeaderMap, Malformed> {
    // There is no saying how many will come, and a map of too many panics when it is made, but not when it is filled.
    let mut headers = HeaderMap::new(); // T-57: number of headers
    for ProtoHeader { key, value, raw_value } in lines.headers {
        if let Some(name) = name(&key)? {
            let bytes = match (value.is_empty(), raw_value.is_empty()) {
                (_, true) => value.into_bytes(),
                (true, false) => raw_value,
                (false, false) => return Err(Malformed), // T-08: value of a line
            };
            let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(bytes)).map_err(|_| Malformed)?;
            headers.try_append(name, value).map_err(|_| Malformed)?;
        }
    }
    Ok(headers)
}

/// Lines of which those of one name were joined.
fn together(lines: &HashMap<String, String>) -> Result<HeaderMap, Malformed> {
    let mut headers = HeaderMap::new();
    for (key, value) in lines {
        if let Some(name) = name(key)? {
            // Two keys that are one name were never joined, and stay two lines.
            let value = HeaderValue::from_str(value).map_err(|_| Malformed)?;
            headers.try_append(name, value).map_err(|_| Malformed)?;
        }
    }
    Ok(headers)
}

/// The name of a header; `None` for what is none, because it is part of the request line.
fn name(key: &str) -> Result<Option<HeaderName>, Malformed> {
    if key.starts_with(':') {
        return Ok(None);
    }
    HeaderName::from_bytes(key.as_bytes()).map(Some).map_err(|_| Malformed)
}

/// What filters of Envoy found out.
fn tell(relayed: &mut Relayed, metadata: Metadata) {
    for (filter, own) in metadata.filter_metadata {
        for (key, field) in own.fields {
            relayed.tell(&filter, key, value(field));
        }
    }
}

/// The same as JSON. How deep it may be is bounded by the decoder.
fn value(proto: ProtoValue) -> Value {
    match proto.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(number)) => self::number(number),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::BoolValue(yes)) => Value::Bool(yes),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(value).collect(),
        Some(Kind::StructValue(members)) => {
            Value::Object(members.fields.into_iter().map(|(name, member)| (name, value(member))).collect::<Map<_, _>>())
        }
    }
}

/// A number as the token had it: whole where that is certain.
fn number(double: f64) -> Value {
    let is_whole = double.fract() == 0.0 && double.abs() <= LARGEST_WHOLE; // T-15: whole numbers
    let whole = is_whole.then(|| format!("{double:.0}").parse::<i64>().ok()).flatten();
    whole.map(Number::from).or_else(|| Number::from_f64(double)).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T-15: no two numbers become one.
    #[test]
    fn numbers_are_whole_where_that_is_certain() {
        for (double, whole) in [
            (0.0, Some("0")),
            (-0.0, Some("0")),
            (42.0, Some("42")),
            (-7.0, Some("-7")),
            (LARGEST_WHOLE, Some("9007199254740991")),
            (LARGEST_WHOLE + 1.0, None),
            (1e300, None),
            (1.5, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            let told = number(double);
            let as_whole = told.as_i64().map(|whole| whole.to_string());
            assert_eq!(as_whole.as_deref(), whole, "{double}");
        }
    }
}
