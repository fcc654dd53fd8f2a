//! The first thing that a value is not right in: where, and what to write instead.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use crate::definition::did_you_mean;

/// Why a value cannot be read into a type.
#[derive(Debug)]
pub(super) struct Fault {
    /// Members and items around it, from the inside out.
    around: Vec<String>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Unknown(String, &'static [&'static str]),
    Missing(&'static str),
    /// What is there, and what is expected.
    Other(String, String),
    Variant(String, &'static [&'static str]),
    Said(String),
}

impl Fault {
    /// The same one, where the value stands as `name` in another.
    pub(super) fn within(mut self, name: impl Into<String>) -> Self {
        self.around.push(name.into());
        self
    }

    /// Where it is, from the outside in.
    pub(super) fn path(&self) -> Vec<String> {
        let own = match &self.kind {
            Kind::Unknown(name, _) => Some(name.as_str()),
            Kind::Missing(name) => Some(*name),
            Kind::Other(..) | Kind::Variant(..) | Kind::Said(_) => None,
        };
        self.around.iter().rev().map(String::as_str).chain(own).map(str::to_owned).collect()
    }

    /// The rest of a sentence that begins with the place.
    pub(super) fn problem(&self) -> String {
        match &self.kind {
            Kind::Unknown(name, known) => {
                format!("unknown key; known here: {}{}", known.join(", "), did_you_mean(name, *known))
            }
            Kind::Missing(_) => "is missing".to_owned(),
            Kind::Other(found, wanted) => format!("is {found}, write {wanted}"),
            Kind::Variant(found, known) => {
                format!("\"{found}\" is not one of {}{}", known.join(", "), did_you_mean(found, *known))
            }
            Kind::Said(said) => said.clone(),
        }
    }
}

impl From<Kind> for Fault {
    fn from(kind: Kind) -> Self {
        Self { around: Vec::new(), kind }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem())
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(said: T) -> Self {
        Kind::Said(said.to_string()).into()
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Kind::Other(shown(found), in_words(&wanted.to_string())).into()
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::invalid_type(found, wanted)
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Kind::Variant(found.to_owned(), known).into()
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Kind::Unknown(name.to_owned(), known).into()
    }

    fn missing_field(name: &'static str) -> Self {
        Kind::Missing(name).into()
    }
}

/// A value of another type, as its author sees it.
pub(super) fn shown(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Str(text) => format!("\"{text}\""),
        Unexpected::Bool(flag) => flag.to_string(),
        Unexpected::Signed(number) => number.to_string(),
        Unexpected::Unsigned(number) => number.to_string(),
        Unexpected::Float(number) => number.to_string(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

/// What serde expects, in words for people.
fn in_words(wanted: &str) -> String {
    let words = match wanted.split_once(' ') {
        Some(("enum", _)) => "text",
        Some(("struct", _)) => "a table",
        _ => match wanted {
            "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
            "i8" | "i16" | "i32" | "i64" => "a whole number",
            "f32" | "f64" => "a number",
            "a boolean" => "true or false",
            "a string" => "text",
            "a sequence" => "a list",
            "a map" => "a table",
            other => other,
        },
    };
    words.to_owned()
}
