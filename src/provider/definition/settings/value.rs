//! The values of settings: text, addresses, numbers, flags, tables and lists.

use serde_json::{Map, Value};
use url::Url;

use crate::config::did_you_mean;
use crate::provider::Alg;
use crate::provider::definition::pattern::whole;
use crate::provider::definition::{Setting, SettingKind};
use crate::provider::template;
use crate::secrets::line;

/// The value of a setting, as its kind wants it. `Err` is the rest of a sentence.
pub(super) fn checked(setting: &Setting, value: Value) -> Result<Value, String> {
    let value = match (setting.kind, value) {
        (SettingKind::Table, Value::Object(table)) => {
            return check_names(setting, &table).map(|()| Value::Object(table));
        }
        (SettingKind::Table, _) => return Err("is not a table; write [providers.NAME.…] below it".to_owned()),
        (SettingKind::List, Value::Array(list)) => return Ok(Value::Array(list)),
        (SettingKind::List, _) => return Err("is not a list; write [\"…\", \"…\"]".to_owned()),
        (SettingKind::Flag, value) => {
            let flag = value.as_bool().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
            return flag.map(Value::Bool).ok_or_else(|| "is not true or false".to_owned());
        }
        (SettingKind::Number, value) => {
            let number = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
            return number.map(Value::from).ok_or_else(|| "is not a whole number".to_owned());
        }
        (_, Value::String(text)) if text.is_empty() => return Err("is empty".to_owned()),
        (SettingKind::Url, Value::String(text)) => Value::String(address(&text)?),
        (_, Value::String(text)) => Value::String(text),
        // An environment variable such as 4711 was read as a number, and stays the text it was.
        (_, Value::Number(number)) => Value::String(number.to_string()),
        (_, Value::Bool(flag)) => Value::String(flag.to_string()),
        (_, other) => return Err(format!("is {other}; write text")),
    };
    let older = Alg::EdDsa.name();
    let is_newer = value == Alg::ED25519 && setting.one_of.iter().any(|allowed| allowed == older);
    let value = if is_newer { Value::from(older) } else { value };
    let text = value.as_str().unwrap_or_default();
    line(text)?;
    if !setting.one_of.is_empty() && !setting.one_of.iter().any(|allowed| allowed == text) {
        let meant = did_you_mean(text, &setting.one_of);
        return Err(format!("\"{text}\" is not one of {}{meant}", setting.one_of.join(", ")));
    }
    if let Some(pattern) = &setting.pattern
        && !whole(pattern)?.is_match(text)
    {
        // Not shown: it may be a secret that was put in the wrong place (T-36).
        return Err(format!("does not match {pattern}"));
    }
    Ok(value)
}

/// Members of a table that the definition knows: those that the operator must not give, or the only ones there are.
fn check_names(setting: &Setting, table: &Map<String, Value>) -> Result<(), String> {
    let is_fixed = !setting.reserved.is_empty() || !setting.names.is_empty();
    for name in table.keys() {
        if is_fixed && name.contains("{{") {
            return Err(format!("holds \"{name}\": a name that varies could be a reserved one"));
        }
        if setting.reserved.contains(name) {
            return Err(format!("holds \"{name}\", which the provider keeps for itself; remove it"));
        }
        if !setting.names.is_empty() && !setting.names.contains(name) {
            let meant = did_you_mean(name, &setting.names);
            return Err(format!(
                "holds \"{name}\", which the provider does not know; it knows {}{meant}",
                setting.names.join(", ")
            ));
        }
    }
    Ok(())
}

fn address(text: &str) -> Result<String, String> {
    line(text)?;
    // The parser of addresses would drop some blanks and encode others, and nobody means either.
    if text.chars().any(char::is_whitespace) {
        return Err("holds a blank, and no address has one; remove it".to_owned());
    }
    let url = Url::parse(text).map_err(|error| {
        // What stands before an @ may be a password.
        let shown = text.rsplit_once('@').map_or_else(|| text.to_owned(), |(_, behind)| format!("…@{behind}"));
        format!("\"{shown}\" is not an address ({error})")
    })?;
    template::text::check(&url).map_err(|problem| format!("\"{}\" {problem}", redacted(&url)))?;
    Ok(text.strip_suffix('/').unwrap_or(text).to_owned())
}

/// An address that is safe to print: it may have been refused for the password in it.
fn redacted(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}
