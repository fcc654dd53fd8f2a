//! The values of settings: text, addresses, numbers, flags, tables and lists.

use serde_json::{Map, Value};
use url::Url;

use super::{Key, Mistake, Setting, SettingKind, did_you_mean, line, whole};

/// The value of a setting, as its kind wants it.
pub fn checked(setting: &Setting, value: Value) -> Result<Value, Mistake> {
    let value = match (setting.kind, value) {
        (SettingKind::Table, Value::Object(table)) => {
            return check_names(setting, &table).map(|()| Value::Object(table));
        }
        (SettingKind::Table, _) => return Err("is not a table; write [providers.NAME.…] below it".into()),
        (SettingKind::List, value) => return list(setting, value),
        (SettingKind::Flag, value) => {
            let flag = value.as_bool().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
            return flag.map(Value::Bool).ok_or_else(|| "is not true or false".into());
        }
        (SettingKind::Number, value) => {
            let number = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
            return number.map(Value::from).ok_or_else(|| "is not a whole number".into());
        }
        (_, Value::String(text)) if text.is_empty() => return Err("is empty".into()),
        (SettingKind::Url, Value::String(text)) => Value::String(address(&text)?),
        (_, Value::String(text)) => Value::String(text),
        // An environment variable such as 4711 was read as a number, and stays the text it was.
        (_, Value::Number(number)) => Value::String(number.to_string()),
        (_, Value::Bool(flag)) => Value::String(flag.to_string()),
        (_, other) => return Err(format!("is {other}; write text").into()),
    };
    let text = value.as_str().unwrap_or_default();
    line(text)?;
    check_text(setting, text)?;
    Ok(value)
}

/// Rules for text, and for each item of a list.
fn check_text(setting: &Setting, text: &str) -> Result<(), Mistake> {
    if !setting.one_of.is_empty() && !setting.one_of.iter().any(|allowed| allowed == text) {
        let meant = did_you_mean(text, &setting.one_of);
        return Err(format!("\"{text}\" is not one of {}{meant}", setting.one_of.join(", ")).into());
    }
    if let Some(pattern) = &setting.pattern
        && !whole(pattern)?.is_match(text)
    {
        // Not shown: it may be a secret that was put in the wrong place (T-36).
        return Err(format!("does not match {pattern} ({})", setting.about.trim_end_matches('.')).into());
    }
    Ok(())
}

/// A list, or one text that stands for a list of one. Items may be tables where no rule wants text.
fn list(setting: &Setting, value: Value) -> Result<Value, Mistake> {
    let items = match value {
        Value::Array(items) if items.is_empty() && !setting.optional => return Err("is empty".into()),
        Value::Array(items) => items,
        Value::String(text) => vec![Value::String(text)],
        _ => return Err("is not a list; write [\"…\", \"…\"]".into()),
    };
    if setting.pattern.is_some() || !setting.one_of.is_empty() {
        for (n, item) in items.iter().enumerate() {
            let checked = item.as_str().ok_or_else(|| "is not text".into()).and_then(|text| check_text(setting, text));
            checked.map_err(|mistake| mistake.within(Key::default().item(n)))?;
        }
    }
    Ok(Value::Array(items))
}

/// Members of a table that the definition knows: those that the operator must not give, or the only ones there are.
fn check_names(setting: &Setting, table: &Map<String, Value>) -> Result<(), Mistake> {
    let is_fixed = !setting.reserved.is_empty() || !setting.names.is_empty();
    for name in table.keys() {
        if is_fixed && name.contains("{{") {
            return Err(format!("holds \"{name}\": a name that varies could be a reserved one").into());
        }
        if setting.reserved.contains(name) {
            return Err(format!("holds \"{name}\", which the provider keeps for itself; remove it").into());
        }
        if !setting.names.is_empty() && !setting.names.contains(name) {
            let meant = did_you_mean(name, &setting.names);
            return Err(format!(
                "holds \"{name}\", which the provider does not know; it knows {}{meant}",
                setting.names.join(", ")
            )
            .into());
        }
    }
    Ok(())
}

fn address(text: &str) -> Result<String, Mistake> {
    line(text)?;
    // The parser of addresses would drop some blanks and encode others, and neither is meant.
    if text.chars().any(char::is_whitespace) {
        return Err("holds a blank, and no address has one; remove it".into());
    }
    let url = Url::parse(text).map_err(|error| {
        // What stands before an @ may be a password.
        let shown = text.rsplit_once('@').map_or_else(|| text.to_owned(), |(_, behind)| format!("…@{behind}"));
        format!("\"{shown}\" is not an address ({error})")
    })?;
    check_address(&url).map_err(|problem| format!("\"{}\" {problem}", redacted(&url)))?;
    Ok(text.strip_suffix('/').unwrap_or(text).to_owned())
}

/// An address that is safe to print: it may have been refused for the password in it.
fn redacted(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// Rules for every address that operators or definitions give.
pub fn check_address(url: &Url) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") {
        return Err("must begin with https://, http://, wss:// or ws://");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("has no host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or password; secrets go into files");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("holds a query or fragment; remove it");
    }
    Ok(())
}
