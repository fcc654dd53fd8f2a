//! Reads wanted members out of a JSON object in one pass, and refuses what two readers could take differently: a wanted
//! member that is there twice, and deep nesting anywhere.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Levels of lists and objects at most.
const MOST_LEVELS: u8 = 16;

/// Which members are wanted, by name; those of objects below in turn.
#[derive(Debug, Default)]
pub(in crate::identity) struct Wanted {
    members: Vec<Member>,
    slots: usize,
}

/// A wanted member.
#[derive(Debug)]
struct Member {
    name: String,
    slot: usize,
    below: Vec<Self>,
}

/// Where the value of a wanted member will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identity) struct Slot(usize);

/// A value, as far as anybody asks.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::identity) enum Said<'t> {
    Text(Cow<'t, str>),
    Whole(i64),
    Real(f64),
    Flag(bool),
    /// Texts only.
    Texts(Vec<Cow<'t, str>>),
    Null,
    /// Objects, lists of anything else, and numbers beyond all use.
    Other,
}

/// The values of one object.
#[derive(Debug)]
pub(in crate::identity) struct Values<'t>(Vec<Option<Said<'t>>>);

impl Wanted {
    /// Wants the member at `path`, which is not empty.
    pub(in crate::identity) fn want(&mut self, path: impl IntoIterator<Item = impl AsRef<str>>) -> Slot {
        let mut level = &mut self.members;
        let mut found = 0;
        for name in path {
            let name = name.as_ref();
            let at = level.iter().position(|member| member.name == name).unwrap_or_else(|| {
                level.push(Member { name: name.to_owned(), slot: self.slots, below: Vec::new() });
                self.slots += 1;
                level.len() - 1
            });
            let Some(member) = level.get_mut(at) else { break };
            found = member.slot;
            level = &mut member.below;
        }
        Slot(found)
    }

    /// The wanted values in `text`, which is one object; `None` where it is not, or can be read in two ways.
    pub(in crate::identity) fn read<'t>(&self, text: &'t [u8]) -> Option<Values<'t>> {
        let mut values = Vec::new();
        values.resize_with(self.slots, || None);
        let mut reader = serde_json::Deserializer::from_slice(text);
        let object = Object { members: &self.members, values: &mut values, levels: MOST_LEVELS };
        reader.deserialize_map(object).ok()?;
        reader.end().ok()?;
        Some(Values(values))
    }
}

impl<'t> Values<'t> {
    /// The value there; absent and null are one.
    pub(in crate::identity) fn at(&self, slot: Slot) -> Option<&Said<'t>> {
        self.0.get(slot.0)?.as_ref().filter(|said| **said != Said::Null)
    }

    /// Whether the member is there at all.
    pub(in crate::identity) fn has(&self, slot: Slot) -> bool {
        self.0.get(slot.0).is_some_and(Option::is_some)
    }

    /// The text there.
    pub(in crate::identity) fn text(&self, slot: Slot) -> Option<&str> {
        match self.at(slot) {
            Some(Said::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// An object of which `members` are wanted.
struct Object<'w, 't> {
    members: &'w [Member],
    values: &'w mut [Option<Said<'t>>],
    levels: u8,
}

impl<'t> Visitor<'t> for Object<'_, 't> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            let Some(member) = self.members.iter().find(|member| member.name == *name) else {
                map.next_value_seed(Skipped(below(self.levels)?))?;
                continue;
            };
            let twice = || A::Error::custom("a member is there twice");
            // T-21: repeated member
            if self.values.get(member.slot).ok_or_else(twice)?.is_some() {
                return Err(twice());
            }
            let wanted = Value { below: &member.below, values: self.values, levels: below(self.levels)? };
            let said = map.next_value_seed(wanted)?;
            *self.values.get_mut(member.slot).ok_or_else(twice)? = Some(said);
        }
        Ok(())
    }
}

/// A name, borrowed where it has no escapes.
struct Name<'t>(Cow<'t, str>);

impl<'t> serde::Deserialize<'t> for Name<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'t> Visitor<'t> for Text {
            type Value = Name<'t>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'t str) -> Result<Name<'t>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Name<'t>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The value of a wanted member.
struct Value<'w, 't> {
    below: &'w [Member],
    values: &'w mut [Option<Said<'t>>],
    levels: u8,
}

impl<'t> DeserializeSeed<'t> for Value<'_, 't> {
    type Value = Said<'t>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Said<'t>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for Value<'_, 't> {
    type Value = Said<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'t str) -> Result<Said<'t>, E> {
        Ok(Said::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Said<'t>, E> {
        Ok(Said::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Said<'t>, E> {
        Ok(Said::Whole(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Said<'t>, E> {
        Ok(i64::try_from(number).map_or(Said::Other, Said::Whole))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Said<'t>, E> {
        Ok(Said::Real(number))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Said<'t>, E> {
        Ok(Said::Flag(flag))
    }

    fn visit_unit<E: Error>(self) -> Result<Said<'t>, E> {
        Ok(Said::Null)
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut list: A) -> Result<Said<'t>, A::Error> {
        let levels = below(self.levels)?;
        let mut texts = Vec::new();
        let mut all = true;
        while let Some(said) = list.next_element_seed(Value { below: &[], values: &mut [], levels })? {
            match said {
                Said::Text(text) => texts.push(text),
                _ => all = false,
            }
        }
        Ok(if all { Said::Texts(texts) } else { Said::Other })
    }

    fn visit_map<A: MapAccess<'t>>(self, map: A) -> Result<Said<'t>, A::Error> {
        Object { members: self.below, values: self.values, levels: self.levels }.visit_map(map)?;
        Ok(Said::Other)
    }
}

/// A value that nobody wants.
struct Skipped(u8);

impl<'t> DeserializeSeed<'t> for Skipped {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for Skipped {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut list: A) -> Result<(), A::Error> {
        let levels = below(self.0)?;
        while list.next_element_seed(Self(levels))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<(), A::Error> {
        let levels = below(self.0)?;
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(Self(levels))?;
        }
        Ok(())
    }
}

/// One level further down.
fn below<E: Error>(levels: u8) -> Result<u8, E> {
    levels.checked_sub(1).ok_or_else(|| E::custom("nested too deep")) // T-24: depth
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'t>(wanted: &Wanted, text: &'t str) -> Option<Values<'t>> {
        wanted.read(text.as_bytes())
    }

    #[test]
    fn wanted_members_are_found_at_every_level() {
        let mut wanted = Wanted::default();
        let (sub, roles, both) =
            (wanted.want(["sub"]), wanted.want(["realm_access", "roles"]), wanted.want(["realm_access"]));
        assert_eq!(wanted.want(["sub"]), sub);
        let text = r#"{"x":[1,{"sub":"no"}],"sub":"al\u0069ce","realm_access":{"z":null,"roles":["a","b"]},"e":1.5}"#;
        let values = read(&wanted, text).expect("an object");
        assert_eq!(values.text(sub), Some("alice"));
        assert_eq!(values.at(roles), Some(&Said::Texts(vec!["a".into(), "b".into()])));
        assert_eq!(values.at(both), Some(&Said::Other));
        assert!(read(&wanted, "{}").expect("an object").at(sub).is_none());
        let null = read(&wanted, r#"{"sub":null}"#).expect("an object");
        assert!(null.at(sub).is_none() && null.has(sub));
    }

    /// T-21: duplicate names, also where one of them is escaped, and inside objects that are looked into.
    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let mut wanted = Wanted::default();
        wanted.want(["sub"]);
        wanted.want(["a", "b"]);
        for text in [
            r#"{"sub":"a","sub":"a"}"#,
            r#"{"sub":null,"sub":"a"}"#,
            r#"{"sub":"a","s\u0075b":"b"}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":{},"a":{"b":2}}"#,
            r#"{"sub":"a"}{}"#,
            r#"{"sub":"a"} x"#,
            r#"["sub"]"#,
            r#"{"sub":"a",}"#,
            r#"{"x":1e400}"#,
            "{\"sub\":\"\\ud800\"}",
            "",
            "null",
            "{",
        ] {
            assert!(read(&wanted, text).is_none(), "{text}");
        }
        assert!(wanted.read(b"{\"sub\":\"\xff\"}").is_none());
    }

    /// T-24: nesting is bounded wherever it is.
    #[test]
    fn nesting_is_bounded() {
        let mut wanted = Wanted::default();
        wanted.want(["sub"]);
        let nested = |name: &str, levels: usize| format!("{{\"{name}\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        let objects = |levels: usize| format!("{}1{}", "{\"x\":".repeat(levels), "}".repeat(levels));
        for name in ["sub", "other"] {
            assert!(read(&wanted, &nested(name, 15)).is_some());
            assert!(read(&wanted, &nested(name, 16)).is_none());
            assert!(read(&wanted, &nested(name, 8_000)).is_none());
        }
        assert!(read(&wanted, &objects(16)).is_some());
        assert!(read(&wanted, &objects(17)).is_none());
    }
}
