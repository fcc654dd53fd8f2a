//! Reads what was written into a type of ours, and reports every mistake at its key and in words for people.

use figment::error::{Actual, Kind};
use figment::value::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Key, Mistakes, did_you_mean};

/// Reads `written`, and notes mistakes with keys below it.
///
/// serde stops at the first one, so a mistake that is noted is taken out, and the rest is read again. What is left is
/// handed on, so that later stages report their mistakes in the same run; it is never served.
pub fn read<T: DeserializeOwned>(written: &impl Serialize, mistakes: &mut Mistakes) -> Option<T> {
    let mut value = mistakes.note(Value::serialize(written).map_err(|error| error.to_string()))?;
    let mut taken: Vec<Vec<String>> = Vec::new();
    loop {
        let error = match value.deserialize::<T>() {
            Ok(read) => return Some(read),
            Err(error) => error,
        };
        let path = path_of(&error);
        // What was taken out is not missing.
        if taken.contains(&path) {
            return None;
        }
        mistakes.refuse(key(&path), problem(&error.kind));
        if !take_out(&mut value, &path) {
            return None;
        }
        taken.push(path);
    }
}

/// Where a mistake is, from the value that was read.
fn path_of(error: &figment::Error) -> Vec<String> {
    let mut path = error.path.clone();
    let last = match &error.kind {
        Kind::UnknownField(field, _) => Some(field.as_str()),
        Kind::MissingField(field) => Some(field.as_ref()),
        _ => None,
    };
    if let Some(last) = last.filter(|last| path.last().map(String::as_str) != Some(last)) {
        path.push(last.to_owned());
    }
    path
}

/// A path whose numbers are items of lists.
fn key(path: &[String]) -> Key {
    path.iter().fold(Key::default(), |key, name| match name.parse() {
        Ok(n) => key.item(n),
        Err(_) => key.below(name),
    })
}

/// Takes the value at `path` out; `false` when there is none.
fn take_out(value: &mut Value, path: &[String]) -> bool {
    match (value, path) {
        (Value::Dict(_, members), [last]) => members.remove(last).is_some(),
        (Value::Dict(_, members), [first, rest @ ..]) => {
            members.get_mut(first).is_some_and(|below| take_out(below, rest))
        }
        (Value::Array(_, items), [index, rest @ ..]) => {
            let Some(at) = index.parse().ok().filter(|at: &usize| *at < items.len()) else { return false };
            if rest.is_empty() {
                items.remove(at);
                return true;
            }
            items.get_mut(at).is_some_and(|below| take_out(below, rest))
        }
        _ => false,
    }
}

fn problem(kind: &Kind) -> String {
    match kind {
        Kind::UnknownField(field, known) => {
            let meant = did_you_mean(field, *known);
            format!("unknown key; known here: {}{meant}", known.join(", "))
        }
        Kind::MissingField(_) => "is missing".to_owned(),
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            format!("is {}, write {}", shown(found), wanted(expected))
        }
        Kind::UnknownVariant(found, known) => {
            let meant = did_you_mean(found, *known);
            format!("\"{found}\" is not one of {}{meant}", known.join(", "))
        }
        other => other.to_string(),
    }
}

/// A value of another type, as its author sees it.
pub fn shown(found: &Actual) -> String {
    match found {
        Actual::Str(text) => format!("\"{text}\""),
        Actual::Bool(flag) => flag.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

/// A type of ours in words for people.
fn wanted(expected: &str) -> &str {
    match expected.split_once(' ') {
        Some(("enum", _)) => "text",
        Some(("struct", _)) => "a table",
        _ => match expected {
            "u32" => "a whole number, 0 or more",
            "a boolean" => "true or false",
            "a string" => "text",
            "a sequence" => "a list",
            "a map" => "a table",
            other => other,
        },
    }
}
