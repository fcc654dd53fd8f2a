//! Puts the operator's table over a preset: settings fill the places in braces, other keys win.

use serde::Deserialize;
use serde_json::{Map, Value};

/// A setting that a preset declares.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    /// What it is, for messages and pages.
    about: String,
    /// Used where the operator gives none. An empty list says that there may be none.
    default: Option<Value>,
    /// Whether it may be a list of texts. A text that is nothing but its place, standing in a list, becomes all of them.
    #[serde(default)]
    list: bool,
    /// Characters beside letters and digits; texts of a setting without it may hold anything visible.
    characters: Option<String>,
}

/// Keys of the operator's table that are no part of the definition's text.
const OWN: [&str; 1] = ["preset"];

/// The definition with everything filled in. Settings come from the top level of `own`; the rest of it is laid over
/// the preset, table by table.
pub(super) fn settle(
    mut preset: Map<String, Value>,
    own: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<(String, String)>> {
    let mut errors = Vec::new();
    let mut values: Vec<(String, Vec<String>)> = Vec::new();
    let declared = match preset.remove("settings").map(serde_json::from_value::<Map<String, Value>>) {
        Some(Ok(declared)) => declared,
        _ => Map::new(),
    };
    for (name, setting) in &declared {
        let setting: Setting = match serde_json::from_value(setting.clone()) {
            Ok(setting) => setting,
            Err(error) => {
                errors.push((name.clone(), format!("is declared wrongly: {error}")));
                continue;
            }
        };
        match own.get(name).or(setting.default.as_ref()) {
            None => errors.push((name.clone(), format!("is missing: {}", setting.about))),
            Some(given) => match texts(given, &setting) {
                Ok(texts) => values.push((name.clone(), texts)),
                Err(problem) => errors.push((name.clone(), problem)),
            },
        }
    }
    let rest = own.iter().filter(|(key, _)| !declared.contains_key(*key) && !OWN.contains(&key.as_str()));
    for (key, value) in rest {
        lay(&mut preset, key, value);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let filled = preset.into_iter().map(|(key, value)| (key, fill(value, &values))).collect();
    Ok(filled)
}

fn texts(given: &Value, setting: &Setting) -> Result<Vec<String>, String> {
    let one = |value: &Value| {
        let text = value.as_str().filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| format!("must be text: {}", setting.about))?;
        let fits = |c: char| match &setting.characters {
            Some(more) => c.is_ascii_alphanumeric() || more.contains(c),
            None => c.is_ascii_graphic() || c == ' ',
        };
        let fine = text.chars().all(fits);
        fine.then(|| text.to_owned()).ok_or_else(|| format!("\"{text}\" holds what it must not: {}", setting.about))
    };
    let may_be_none = matches!(&setting.default, Some(Value::Array(none)) if none.is_empty());
    match given {
        Value::Array(list) if setting.list && (!list.is_empty() || may_be_none) => list.iter().map(one).collect(),
        Value::Array(_) => {
            Err(format!("must be {}: {}", if setting.list { "a text or texts" } else { "one text" }, setting.about))
        }
        value => one(value).map(|text| vec![text]),
    }
}

/// Tables are merged, anything else is replaced.
fn lay(table: &mut Map<String, Value>, key: &str, value: &Value) {
    match (table.get_mut(key), value) {
        (Some(Value::Object(below)), Value::Object(over)) => {
            for (key, value) in over {
                lay(below, key, value);
            }
        }
        _ => {
            table.insert(key.to_owned(), value.clone());
        }
    }
}

fn fill(value: Value, values: &[(String, Vec<String>)]) -> Value {
    match value {
        Value::String(text) => Value::String(values.iter().fold(text, |text, (name, texts)| {
            texts.first().map_or(text.clone(), |first| text.replace(&format!("{{{name}}}"), first))
        })),
        Value::Array(list) => {
            let mut filled = Vec::new();
            for item in list {
                let place = |text: &str| values.iter().find(|(name, _)| text == format!("{{{name}}}"));
                match item.as_str().and_then(place) {
                    Some((_, texts)) => filled.extend(texts.iter().cloned().map(Value::String)),
                    None => filled.push(fill(item, values)),
                }
            }
            Value::Array(filled)
        }
        Value::Object(table) => {
            Value::Object(table.into_iter().map(|(key, value)| (key, fill(value, values))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    fn preset() -> Map<String, Value> {
        object(json!({
            "settings": {
                "team": { "about": "the team", "characters": "-" },
                "audience": { "about": "the audience", "list": true },
                "path": { "about": "a path", "default": "keys" },
                "types": { "about": "the types", "default": [], "list": true },
            },
            "jwt": { "issuer": "https://{team}.example", "audience": ["{audience}"], "types": ["{types}"], "url": "https://{team}.example/{path}" },
        }))
    }

    #[test]
    fn settings_fill_their_places_and_keys_win() {
        let own = json!({ "preset": "x", "team": "acme", "audience": ["a", "b"], "namespace": "n", "jwt": { "leeway": "5s" } });
        let settled = settle(preset(), &object(own)).expect("settled");
        let expected = json!({
            "jwt": {
                "issuer": "https://acme.example", "audience": ["a", "b"], "types": [],
                "url": "https://acme.example/keys", "leeway": "5s",
            },
            "namespace": "n",
        });
        assert_eq!(Value::Object(settled), expected);
    }

    #[test]
    fn what_is_missing_or_does_not_fit_is_told() {
        let errors = settle(preset(), &object(json!({ "team": "evil.example/", "audience": [], "types": "" })));
        let errors = errors.expect_err("refused");
        let told: Vec<_> = errors.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(told, ["team", "audience", "types"]);
        let errors = settle(preset(), &Map::new()).expect_err("refused");
        assert_eq!(errors[0], ("team".to_owned(), "is missing: the team".to_owned()));
    }
}
