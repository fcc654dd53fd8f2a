//! JSON in headers: a string with its quotes (AWS API Gateway), or the object that holds claims.
//!
//! A member that comes twice is refused at every depth: readers differ on which one counts (T-21).

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::identity::request::encoding::Undecodable;

/// The text of a JSON string.
pub(in crate::identity) fn text(value: &[u8]) -> Result<String, Undecodable> {
    serde_json::from_slice(value).map_err(|_| Undecodable)
}

/// The texts of a JSON list.
pub(in crate::identity) fn texts(value: &[u8]) -> Result<Vec<String>, Undecodable> {
    serde_json::from_slice(value).map_err(|_| Undecodable)
}

/// The members of a JSON object.
pub(in crate::identity) fn object(text: &str) -> Result<Map<String, Value>, Undecodable> {
    match serde_json::from_str(text) {
        Ok(Strict(Value::Object(members))) => Ok(members),
        _ => Err(Undecodable),
    }
}

/// A value in which no member comes twice. How deep it may be is bounded by the parser.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, Strict(value))) = object.next_entry::<String, Strict>()? {
            // T-21: repeated claim
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member came twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_lose_their_quotes() {
        for (value, expected) in [
            (r#""alice""#, "alice"),
            (r#""J\u00f6rg""#, "Jörg"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""a\"b\\c""#, "a\"b\\c"),
            ("\"Jörg\"", "Jörg"),
        ] {
            assert_eq!(text(value.as_bytes()).as_deref(), Ok(expected), "{value}");
        }
        for value in
            ["alice", "'alice'", "\"alice", "\"a\"\"b\"", "1", "null", "true", "{}", "[]", r#""\ud800""#, "\"a\u{1}\""]
        {
            assert_eq!(text(value.as_bytes()), Err(Undecodable), "{value}");
        }
        assert_eq!(text(b"\"caf\xe9\""), Err(Undecodable));
    }

    #[test]
    fn a_member_that_comes_twice_is_refused_at_every_depth() {
        assert!(object(r#"{"a":1,"b":{"a":[-1,2.5,null,true,"x"]}}"#).is_ok());
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":{"a":1,"a":2}}"#,
            r#"{"b":[{"a":1,"a":2}]}"#,
            "[]",
            "null",
            "{} {}",
            "{\"a\":1e400}",
        ] {
            assert_eq!(object(text), Err(Undecodable), "{text}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(4000), "]".repeat(4000));
        assert_eq!(object(&deep), Err(Undecodable));
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_comes_back(plain in "\\PC{0,40}", ascii in proptest::prelude::any::<bool>()) {
            let escaped = |c: char| {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat()
            };
            let value = if ascii {
                format!("\"{}\"", plain.chars().map(escaped).collect::<String>())
            } else {
                serde_json::to_string(&plain).expect("JSON")
            };
            proptest::prop_assert!(text(value.as_bytes()).as_deref() == Ok(plain.as_str()));
        }

        #[test]
        fn objects_are_read_as_anybody_reads_them(members in proptest::collection::btree_map("[a-c]{1,2}", 0_u8..9, 0..4)) {
            let text = serde_json::to_string(&members).expect("JSON");
            let expected: Map<String, Value> = serde_json::from_str(&text).expect("an object");
            proptest::prop_assert_eq!(object(&text), Ok(expected));
        }
    }
}
