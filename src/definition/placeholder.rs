//! `{{ … }}` in a definition: where it begins and ends, and the settings that it may stand for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Key, Mistake};

/// Text, or what stands in `{{ … }}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Text as it is.
    Literal(String),
    /// What stands between the braces, without blanks around it.
    Expression(String),
}

/// Splits `{{ … }}` from the text around it.
pub fn split(text: &str) -> Result<Vec<Segment>, Mistake> {
    let mut segments = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((expression, behind)) = split_end(after) else {
            return Err(format!("\"{text}\": «{{{{» without «}}}}»").into());
        };
        if !before.is_empty() {
            segments.push(Segment::Literal(before.to_owned()));
        }
        segments.push(Segment::Expression(expression.trim().to_owned()));
        rest = behind;
    }
    if rest.contains("}}") {
        return Err(format!("\"{text}\": «}}}}» without «{{{{»").into());
    }
    if !rest.is_empty() || segments.is_empty() {
        segments.push(Segment::Literal(rest.to_owned()));
    }
    Ok(segments)
}

/// Splits at the `}}` that ends an expression: one in quotes is text.
fn split_end(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '}') if text.get(at..)?.starts_with("}}") => return Some((text.get(..at)?, text.get(at + 2..)?)),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

/// The setting that an expression is, and whether it may be absent.
fn setting(expression: &str) -> Option<(&str, bool)> {
    let name = expression.strip_prefix("config.")?;
    Some(name.strip_suffix('?').map_or((name, false), |name| (name.trim_end(), true)))
}

/// Names of the settings that `{{ … }}` in `value` stands for.
pub fn settings_in(value: &Value) -> BTreeSet<String> {
    let segments = value.as_str().and_then(|text| split(text).ok()).unwrap_or_default();
    let name = |segment: &Segment| match segment {
        Segment::Expression(expression) => setting(expression).map(|(name, _)| name.to_owned()),
        Segment::Literal(_) => None,
    };
    segments.iter().filter_map(name).collect()
}

/// `value` with the settings in it filled in; `None` where it is an optional one that has no value.
///
/// As in templates of providers, a text that is nothing but one setting keeps the type of that setting, and an optional one
/// leaves out the member or item that it is. `others` are names that are filled in later. `key` is the place, for messages.
pub fn fill(
    value: Value,
    values: &BTreeMap<String, Value>,
    others: &[&str],
    key: &Key,
) -> Result<Option<Value>, Mistake> {
    let fill = |text: &str| {
        let settings = values.keys().map(|name| (name.as_str(), format!("config.{name}")));
        let later = others.iter().map(|name| (name.rsplit('.').next().unwrap_or(name), (*name).to_owned()));
        if let Some((old, new)) = settings.chain(later).find(|(old, _)| is_old(text, old)) {
            return Err(format!("\"{text}\" holds {{{old}}}; write {{{{ {new} }}}}").into());
        }
        fill_text(text, values, others)
    };
    fill_texts(value, &fill, key)
}

/// The same for values in which single braces have a meaning of their own: `/users/{user}`.
pub fn fill_between(
    value: Value,
    values: &BTreeMap<String, Value>,
    others: &[&str],
    key: &Key,
) -> Result<Option<Value>, Mistake> {
    fill_texts(value, &|text: &str| fill_text(text, values, others), key)
}

fn fill_texts(
    value: Value,
    fill: &impl Fn(&str) -> Result<Option<Value>, Mistake>,
    key: &Key,
) -> Result<Option<Value>, Mistake> {
    Ok(Some(match value {
        Value::String(text) => return fill(&text).map_err(|mistake| mistake.within(key)),
        Value::Array(items) => {
            let mut filled = Vec::with_capacity(items.len());
            for (n, item) in items.into_iter().enumerate() {
                filled.extend(fill_texts(item, fill, &key.item(n))?);
            }
            Value::Array(filled)
        }
        Value::Object(members) => {
            let mut filled = Map::new();
            for (name, member) in members {
                let key = key.below(&name);
                filled.extend(fill_texts(member, fill, &key)?.map(|member| (name, member)));
            }
            Value::Object(filled)
        }
        other => other,
    }))
}

fn fill_text(text: &str, values: &BTreeMap<String, Value>, others: &[&str]) -> Result<Option<Value>, Mistake> {
    let segments = split(text)?;
    let mut filled = String::new();
    for segment in &segments {
        let expression = match segment {
            Segment::Literal(text) => {
                filled.push_str(text);
                continue;
            }
            Segment::Expression(expression) => expression.as_str(),
        };
        if others.contains(&expression) {
            filled.extend(["{{ ", expression, " }}"]);
            continue;
        }
        let Some((name, optional)) = setting(expression) else {
            let known = [&["config.*"], others].concat().join(", ");
            return Err(format!("unknown variable \"{expression}\"; known: {known}").into());
        };
        match values.get(name) {
            Some(value) if segments.len() == 1 => return Ok(Some(value.clone())),
            Some(Value::String(text)) => filled.push_str(text),
            Some(Value::Array(_)) => {
                return Err(format!("\"{text}\" holds the list {name}, and a list stands alone").into());
            }
            Some(other) => filled.push_str(&other.to_string()),
            None if optional => return Ok(None),
            None => {
                let known = values.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                return Err(format!("no value for \"{expression}\"; settings with a value: {known}").into());
            }
        }
    }
    Ok(Some(Value::String(filled)))
}

/// Calls `found` with every text in `value` and its place.
pub fn each_text<'v>(value: &'v Value, place: &Key, found: &mut impl FnMut(&Key, &'v str)) {
    match value {
        Value::String(text) => found(place, text),
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                each_text(item, &place.item(n), found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                each_text(member, &place.below(name), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Names behind `room`, such as `config.`, in the expressions of `text`.
pub fn named_in(room: &str, text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for segment in split(text).unwrap_or_default() {
        let Segment::Expression(expression) = segment else { continue };
        for rest in expression.split(room).skip(1) {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
            names.push(rest.get(..end.unwrap_or(rest.len())).unwrap_or_default().to_owned());
        }
    }
    names
}

/// Whether `text` holds `{name}` in single braces, as settings of sources were once written.
fn is_old(text: &str, name: &str) -> bool {
    let old = format!("{{{name}}}");
    text.match_indices(&old).any(|(at, _)| !text.get(..at).is_some_and(|before| before.ends_with('{')))
}
