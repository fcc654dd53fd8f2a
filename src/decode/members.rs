//! Reads out of a JSON text what JSON Pointers (RFC 6901) lead to, and skips the rest without keeping it.
//!
//! Where one of two members of one name would be on the way, nothing is read: readers differ on which of them counts
//! (T-21).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// The places that are read.
#[derive(Debug, Default)]
pub struct Places {
    root: Node,
    count: usize,
}

/// A place of the text, and those below it that are read.
#[derive(Debug, Default)]
struct Node {
    /// Where its value goes, if it is read itself.
    slot: Option<usize>,
    below: Vec<Below>,
}

#[derive(Debug)]
struct Below {
    name: String,
    /// The name as an index of a list.
    index: Option<usize>,
    node: Node,
}

/// What stands at the places: texts and whole numbers. Anything else is not read.
#[derive(Debug, PartialEq)]
pub struct Found(Vec<Option<Value>>);

impl Places {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Reads what `pointer` leads to as well; the result is the number of the place.
    pub fn add(&mut self, pointer: &str) -> usize {
        let mut node = &mut self.root;
        for token in pointer.split('/').skip(1) {
            let name = token.replace("~1", "/").replace("~0", "~");
            let known = node.below.iter().position(|below| below.name == name);
            let at = known.unwrap_or_else(|| {
                // No sign and no leading zero (RFC 6901, 4).
                let index = name.parse().ok().filter(|index: &usize| index.to_string() == name);
                node.below.push(Below { name, index, node: Node::default() });
                node.below.len() - 1
            });
            node = match node.below.get_mut(at) {
                Some(below) => &mut below.node,
                None => return 0,
            };
        }
        *node.slot.get_or_insert_with(|| {
            self.count += 1;
            self.count - 1
        })
    }

    /// What stands at the places of `text`; `None` where it is no JSON text in UTF-8, has more than this many levels of
    /// lists and objects, or has two members of one name on the way to a place.
    pub fn read(&self, text: &[u8], levels: u8) -> Option<Found> {
        let mut found = vec![None; self.count];
        let mut reader = serde_json::Deserializer::from_slice(text);
        let place = Place { node: Some(&self.root), levels, found: &mut found };
        place.deserialize(&mut reader).and_then(|()| reader.end()).ok()?;
        Some(Found(found))
    }
}

impl Found {
    /// What stands at the place of this number.
    pub fn at(&self, place: usize) -> Option<&Value> {
        self.0.get(place)?.as_ref()
    }
}

/// Reads one value: what is wanted of it, or nothing.
struct Place<'p> {
    node: Option<&'p Node>,
    levels: u8,
    found: &'p mut Vec<Option<Value>>,
}

impl<'p> Place<'p> {
    /// The same one level further down.
    fn below<'b, E: Error>(&'b mut self, node: Option<&'p Node>) -> Result<Place<'b>, E>
    where
        'p: 'b,
    {
        // W-10: depth of JSON
        let levels = self.levels.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))?;
        Ok(Place { node, levels, found: self.found })
    }

    fn note(self, value: impl FnOnce() -> Value) {
        if let Some(slot) = self.node.and_then(|node| node.slot).and_then(|slot| self.found.get_mut(slot)) {
            *slot = Some(value());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.note(|| Value::from(number));
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.note(|| Value::from(number));
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.note(|| Value::from(text));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let own = self.node;
        for index in 0_usize.. {
            let of_index = |node: &'_ Node| node.below.iter().position(|below| below.index == Some(index));
            let at = own.and_then(|node| node.below.get(of_index(node)?));
            let element = self.below(at.map(|below| &below.node))?;
            if list.next_element_seed(element)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        let own = self.node.map_or(&[][..], |node| &node.below);
        let mut seen = vec![false; own.len()];
        while let Some(at) = object.next_key_seed(Name(own))? {
            let before = at.and_then(|at| Some(std::mem::replace(seen.get_mut(at)?, true)));
            // T-21: repeated member on the way
            if before == Some(true) {
                return Err(A::Error::custom("a member comes twice"));
            }
            let member = self.below(at.and_then(|at| own.get(at)).map(|below| &below.node))?;
            object.next_value_seed(member)?;
        }
        Ok(())
    }
}

/// Which of these a member is.
struct Name<'n>(&'n [Below]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|below| below.name == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pointers: &[&str], text: &str) -> Option<Vec<Option<Value>>> {
        let mut places = Places::default();
        let numbers: Vec<usize> = pointers.iter().map(|pointer| places.add(pointer)).collect();
        let found = places.read(text.as_bytes(), 8)?;
        Some(numbers.into_iter().map(|number| found.at(number).cloned()).collect())
    }

    #[test]
    fn what_pointers_lead_to_is_read() {
        let text =
            r#"{"a":{"b/c":"x","n":-7,"l":[1,{"t":"y"}]},"":"empty","big":18446744073709551615,"f":1.5,"s":" \u0041"}"#;
        let pointers =
            ["/a/b~1c", "/a/n", "/a/l/1/t", "/", "/big", "/s", "/a/b~1c", "/f", "/a", "/none", "/a/l/01/t", "/a/n/x"];
        let found = read(&pointers, text).expect("JSON");
        let value: Value = serde_json::from_str(text).expect("JSON");
        for (pointer, found) in pointers.iter().zip(found) {
            let whole = value.pointer(pointer).filter(|own| own.is_string() || own.is_i64() || own.is_u64());
            assert_eq!(found.as_ref(), whole, "{pointer}");
        }
        assert_eq!(read(&[""], "\"alone\""), Some(vec![Some("alone".into())]));
        assert_eq!(read(&[""], "{}"), Some(vec![None]));
    }

    /// T-21: a member on the way that comes twice could be read in two ways; others are not looked at.
    #[test]
    fn a_member_that_comes_twice_is_not_read() {
        for text in [r#"{"a":{"b":1},"a":{}}"#, r#"{"a":{"b":1,"b":1}}"#, r#"{"a":{"b":1},"\u0061":{}}"#] {
            assert_eq!(read(&["/a/b"], text), None, "{text}");
        }
        assert_eq!(read(&["/a/b"], r#"{"x":1,"x":2,"a":{"b":3}}"#), Some(vec![Some(3.into())]));
    }

    #[test]
    fn what_is_no_json_or_too_deep_is_not_read() {
        for text in ["", "{", "{\"a\":1}x", "{\"a\":1e999}", "[1,]", "{\"a\":\"\u{1}\"}"] {
            assert_eq!(read(&["/a"], text), None, "{text}");
        }
        assert_eq!(Places::default().read(b"\"\xff\"", 1), None);
        let lists = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(read(&["/a"], &lists(8)).is_some());
        for levels in [9, 500_000] {
            assert_eq!(read(&["/a"], &lists(levels)), None, "{levels}");
        }
    }

    proptest::proptest! {
        /// It reads what another reader finds, or nothing where that one may have chosen.
        #[test]
        fn it_reads_what_others_read(text in "[\\[\\]{}\":,ab0 ]{0,24}", pointer in "(/[ab0]{0,1}){0,3}") {
            if let Some(found) = read(&[&pointer], &text) {
                let value: Value = serde_json::from_str(&text).expect("what is read is JSON");
                let whole = value.pointer(&pointer).filter(|own| own.is_string() || own.is_u64());
                proptest::prop_assert_eq!(found[0].as_ref(), whole);
            }
        }
    }
}
