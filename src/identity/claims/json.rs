//! The one reader of JSON that tells of a user: an object in which no member comes twice, at no depth, because readers
//! differ on which of two counts (T-21).

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use super::Claims;

/// Levels of lists and objects at most.
const MOST_LEVELS: u8 = 16;

/// The members of a JSON object; `None` where the text is no object, or can be read in two ways.
pub(in crate::identity) fn object(text: &[u8]) -> Option<Claims> {
    serde_json::from_slice(text).ok().map(|Object(members)| members)
}

/// An object within other JSON, read likewise.
pub(in crate::identity) struct Object(pub(in crate::identity) Claims);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Strict(MOST_LEVELS).deserialize(deserializer)? {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(D::Error::custom("not an object")),
        }
    }
}

/// Reads a value of at most this many levels.
#[derive(Clone, Copy)]
struct Strict(u8);

impl Strict {
    /// One level further down.
    fn below<E: Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("nested too deep")) // T-24: depth
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
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

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let element = self.below()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(element)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let member = self.below()?;
        let mut members = Claims::new();
        while let Some(name) = object.next_key::<String>()? {
            let value = object.next_value_seed(member)?;
            // T-21: repeated member
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

    /// T-21: also where one of two names is escaped, and whether or not the member is read.
    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        assert!(object(br#"{"a":1,"b":{"a":[-1,2.5,null,true,"x"]}}"#).is_some());
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":null,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":{"a":1,"a":2}}"#,
            r#"{"b":[{"a":1,"a":2}]}"#,
            r#"{"a":{},"a":{"b":2}}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":1e400}"#,
            r#"{"a":1,}"#,
            r#"{"a":1} x"#,
            "{} {}",
            "[]",
            "null",
            "{",
            "",
        ] {
            assert!(object(text.as_bytes()).is_none(), "{text}");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_none());
    }

    /// T-24: nesting is bounded wherever it is.
    #[test]
    fn nesting_is_bounded() {
        let lists = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        let objects = |levels: usize| format!("{}1{}", "{\"x\":".repeat(levels), "}".repeat(levels));
        assert!(object(lists(15).as_bytes()).is_some() && object(objects(16).as_bytes()).is_some());
        for deep in [lists(16), lists(8_000), objects(17), objects(8_000)] {
            assert!(object(deep.as_bytes()).is_none(), "{}", deep.len());
        }
    }

    proptest::proptest! {
        #[test]
        fn objects_are_read_as_anybody_reads_them(members in proptest::collection::btree_map("[a-c]{1,2}", 0_u8..9, 0..4)) {
            let text = serde_json::to_string(&members).expect("JSON");
            let expected: Claims = serde_json::from_str(&text).expect("an object");
            proptest::prop_assert_eq!(object(text.as_bytes()), Some(expected));
        }
    }
}
