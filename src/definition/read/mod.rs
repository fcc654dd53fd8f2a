//! Reads what was written into a type of ours, and reports every mistake at its key and in words for people.
//!
//! Everything that operators write comes through here, so that a type is read in one way, and compiled once.

mod deserializer;
mod fault;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Key, Mistakes};

use deserializer::{Written, unexpected};
use fault::Fault;

/// Reads `written`, and notes mistakes with keys below it.
///
/// serde stops at the first one, so a mistake that is noted is taken out, and the rest is read again. What is left is
/// handed on, so that later stages report their mistakes in the same run; it is never served.
pub fn read<T: DeserializeOwned>(written: &impl Serialize, mistakes: &mut Mistakes) -> Option<T> {
    let mut value = mistakes.note(serde_json::to_value(written).map_err(|error| error.to_string()))?;
    let mut taken: Vec<Vec<String>> = Vec::new();
    loop {
        let fault: Fault = match T::deserialize(Written(&value)) {
            Ok(read) => return Some(read),
            Err(fault) => fault,
        };
        let path = fault.path();
        // What was taken out is not missing.
        if taken.contains(&path) {
            return None;
        }
        mistakes.refuse(key(&path), fault.problem());
        if !take_out(&mut value, &path) {
            return None;
        }
        taken.push(path);
    }
}

/// What is written where something else is expected, as its author sees it.
pub fn shown(written: &impl Serialize) -> String {
    serde_json::to_value(written).map_or_else(|error| error.to_string(), |value| fault::shown(unexpected(&value)))
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
        (Value::Object(members), [last]) => members.shift_remove(last).is_some(),
        (Value::Object(members), [first, rest @ ..]) => {
            members.get_mut(first).is_some_and(|below| take_out(below, rest))
        }
        (Value::Array(items), [index, rest @ ..]) => {
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

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        number: Option<u8>,
        pair: (bool, String),
        one_of: Kind,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Plain,
        With(u8),
        Table { depth: i8 },
    }

    /// The mistakes of a sample with this member in the place of a good one.
    fn told(member: &str, written: Value) -> (Option<Sample>, Vec<String>) {
        let mut sample = json!({ "number": 1, "pair": [true, "a"], "one_of": "plain" });
        sample[member] = written;
        let mut mistakes = Mistakes::default();
        let read = read(&sample, &mut mistakes);
        (read, mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_form_of_a_type_is_read() {
        for (member, written, changed) in [
            ("number", json!(null), Sample { number: None, ..good() }),
            ("number", json!(255), Sample { number: Some(255), ..good() }),
            ("one_of", json!({ "with": 7 }), Sample { one_of: Kind::With(7), ..good() }),
            ("one_of", json!({ "table": { "depth": -3 } }), Sample { one_of: Kind::Table { depth: -3 }, ..good() }),
        ] {
            assert_eq!(told(member, written.clone()), (Some(changed), Vec::new()), "{member} = {written}");
        }
    }

    fn good() -> Sample {
        Sample { number: Some(1), pair: (true, "a".to_owned()), one_of: Kind::Plain }
    }

    #[test]
    fn every_mistake_is_at_its_key() {
        for (member, written, mistake) in [
            ("number", json!(256), "number: is 256, write a whole number, 0 or more"),
            ("number", json!("a"), "number: is \"a\", write a whole number, 0 or more"),
            ("pair", json!([true, 5]), "pair[1]: is 5, write text"),
            ("pair", json!([true, "a", "b"]), "pair: has 3 items, write 2"),
            ("pair", json!({}), "pair: is a table, write a tuple of size 2"),
            ("one_of", json!("plane"), "one_of: \"plane\" is not one of plain, with, table; did you mean plain?"),
            ("one_of", json!(false), "one_of: is false, write text"),
            ("one_of", json!({ "with": [] }), "one_of.with: is a list, write a whole number, 0 or more"),
            ("one_of", json!({ "plain": 1 }), "one_of.plain: is 1, write the name alone"),
            ("one_of", json!({ "table": { "depth": 1.5 } }), "one_of.table.depth: is 1.5, write a whole number"),
            ("pairs", json!(1), "pairs: unknown key; known here: number, pair, one_of; did you mean pair?"),
        ] {
            let (_, mistakes) = told(member, written.clone());
            assert_eq!(mistakes.first().map(String::as_str), Some(mistake), "{member} = {written}");
        }
    }
}
