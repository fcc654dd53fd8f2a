//! JSON in which no member comes twice, at no depth, because readers differ on which of two counts (T-21), and which nests
//! no deeper than its reader allows (T-24).
//!
//! What is read is a [`Value`], whose [`Value::pointer`] looks up a JSON pointer (RFC 6901). A value takes up to some forty
//! times the bytes of its text, so the text is bounded before it comes here.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a text is not read. It names nothing of what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is no JSON text in UTF-8 (RFC 8259), or not of the kind that is wanted.
    #[error("not the JSON that is wanted")]
    Malformed,
    /// An object has two members of one name, as they are after decoding.
    #[error("a member comes twice")]
    Twice,
    /// There are more levels than allowed.
    #[error("nested too deep")]
    TooDeep,
}

/// The value of a text with this many levels of lists and objects at most; a text or a number has none.
pub fn value(text: &[u8], levels: u8) -> Result<Value, Fault> {
    let fault = Cell::new(Fault::Malformed);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Strict { levels, fault: &fault }.deserialize(&mut reader);
    let whole = value.and_then(|value| reader.end().map(|()| value));
    whole.map_err(|_its_text_may_be_shown| fault.get())
}

/// The members of an object with this many levels at most, its own included.
pub fn object(text: &[u8], levels: u8) -> Result<Map<String, Value>, Fault> {
    match value(text, levels)? {
        Value::Object(members) => Ok(members),
        _ => Err(Fault::Malformed),
    }
}

/// Reads a value of at most this many levels.
#[derive(Clone, Copy)]
struct Strict<'f> {
    levels: u8,
    /// Why it is not read, where that is not for its syntax.
    fault: &'f Cell<Fault>,
}

impl Strict<'_> {
    fn refuse<T, E: Error>(self, fault: Fault) -> Result<T, E> {
        self.fault.set(fault);
        Err(E::custom(fault))
    }

    /// One level further down.
    fn below<E: Error>(self) -> Result<Self, E> {
        match self.levels.checked_sub(1) {
            Some(levels) => Ok(Self { levels, ..self }),
            None => self.refuse(Fault::TooDeep), // T-24: depth
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
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
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            let value = object.next_value_seed(member)?;
            // T-21: repeated member
            if members.insert(name, value).is_some() {
                return self.refuse(Fault::Twice);
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Map<String, Value>, Fault> {
        object(text.as_bytes(), 16)
    }

    #[test]
    fn what_is_read_is_what_is_written() {
        let text = r#"{"b":{"a":[-1,2.5,null,true,"x"]},"a/b":18446744073709551615}"#;
        let value = value(text.as_bytes(), 3).expect("read");
        assert_eq!(value.to_string(), text, "members keep their order");
        assert_eq!(value.pointer("/b/a/4"), Some(&Value::from("x")));
        assert_eq!(value.pointer("/a~1b"), Some(&Value::from(u64::MAX)));
        for text in ["7", "\"x\"", "null", "[]", " [1] "] {
            assert!(super::value(text.as_bytes(), 1).is_ok(), "{text}");
            assert_eq!(read(text), Err(Fault::Malformed), "{text} is no object");
        }
    }

    /// T-21: also where one of two names is escaped, and whether or not the member is read.
    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":null,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":{"a":1,"a":2}}"#,
            r#"{"b":[{"a":1,"a":2}]}"#,
            r#"{"a":{},"a":{"b":2}}"#,
        ] {
            assert_eq!(read(text), Err(Fault::Twice), "{text}");
        }
        for text in
            [r#"{"a":"\ud800"}"#, r#"{"a":1e400}"#, r#"{"a":1,}"#, r#"{"a":1} x"#, "{} {}", "{", "", "{a:1}", "{\"a\"}"]
        {
            assert_eq!(read(text), Err(Fault::Malformed), "{text}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}", 16), Err(Fault::Malformed));
    }

    /// T-24: nesting is bounded wherever it is.
    #[test]
    fn nesting_is_bounded() {
        let lists = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        let objects = |levels: usize| format!("{}1{}", "{\"x\":".repeat(levels), "}".repeat(levels));
        assert!(read(&lists(15)).is_ok() && read(&objects(16)).is_ok());
        for deep in [lists(16), lists(8_000), objects(17), objects(8_000), "{\"a\":".to_owned() + &"[".repeat(8_000)] {
            assert_eq!(read(&deep), Err(Fault::TooDeep), "{}", deep.len());
        }
        assert!(object(lists(63).as_bytes(), 64).is_ok());
        assert_eq!(object(lists(64).as_bytes(), 64), Err(Fault::TooDeep));
        // The parser's own bound is above every other: it keeps the stack.
        assert_eq!(object(lists(8_000).as_bytes(), u8::MAX), Err(Fault::Malformed));
    }

    proptest::proptest! {
        #[test]
        fn objects_are_read_as_other_readers_do(members in proptest::collection::btree_map("[a-c]{1,2}", 0_u8..9, 0..4)) {
            let text = serde_json::to_string(&members).expect("JSON");
            let expected: Map<String, Value> = serde_json::from_str(&text).expect("an object");
            proptest::prop_assert_eq!(object(text.as_bytes(), 1), Ok(expected));
        }

        /// No text makes the reader panic, and what it reads, another reader reads likewise.
        #[test]
        fn any_text_is_read_or_not(text in "[\\[\\]{}\":,a0 ]{0,24}") {
            if let Ok(value) = value(text.as_bytes(), 4) {
                proptest::prop_assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(value));
            }
        }
    }
}
