//! Judges what the gate hands out for the sample definition, by other means than its own.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::sample::Made;

/// Its operations, each with its path below the base and its query parameters.
const OPERATIONS: [(&str, &str, &str, &[&str]); 13] = [
    ("GET", "user.list", "users", &["limit", "cursor"]),
    ("GET", "user.get", "users/{user}", &["limit", "cursor"]),
    ("DELETE", "user.delete", "users/{user}", &["limit", "cursor"]),
    ("GET", "app.me", "apps/a 1/users/me", &[]),
    ("GET", "app.user", "apps/a 1/users/{user}", &[]),
    ("POST", "app.event", "apps/a 1/events", &[]),
    ("POST", "room.send", "rooms", &["room"]),
    ("POST", "room.mute", "rooms/{room}/mute", &["room"]),
    ("POST", "move", "moves", &[]),
    ("POST", "broadcast", "broadcast", &[]),
    ("POST", "note", "notes", &[]),
    ("POST", "message.send", "rooms/{room}/messages", &[]),
    ("PUT", "file.put", "files/{file}", &[]),
];

/// The call goes to the base, and is the operation that it is said to be, with the parameters that were checked.
pub(in crate::gateway) fn operation(made: &Made) {
    let url = &made.call.url;
    assert_eq!((url.scheme(), url.host_str(), url.port(), url.username()), ("https", Some("api.example"), None, ""));
    let path: Vec<String> = url.path_segments().into_iter().flatten().map(decoded).collect();
    assert_eq!(path.first().map(String::as_str), Some("v1"));
    let path = path.get(1..).unwrap_or_default();
    for segment in path {
        assert!(!matches!(segment.as_str(), "" | "." | "..") && !segment.contains(['/', '\\', '%']), "{segment:?}");
    }
    let method = if made.call.method == "HEAD" { "GET" } else { made.call.method.as_str() };
    let fits = |(own, _, pattern, _): &&(&str, &str, &str, &[&str])| {
        let pattern: Vec<&str> = pattern.split('/').collect();
        *own == method
            && pattern.len() == path.len()
            && pattern.iter().zip(path).all(|(own, text)| own == text || own.starts_with('{'))
    };
    // The one with the fewest parameters is the most exact.
    let found = OPERATIONS.iter().filter(fits).min_by_key(|(_, _, pattern, _)| pattern.matches('{').count());
    assert_eq!(found.map(|(_, name, ..)| *name), Some(made.operation.as_str()));
    let Some((_, _, pattern, query)) = found else { return };
    for (own, text) in pattern.split('/').zip(path) {
        let name = own.strip_prefix('{').and_then(|own| own.strip_suffix('}'));
        assert!(name.is_none_or(|name| has(made, name, text)), "{own} {text:?}");
    }
    let mut seen = Vec::new();
    for (name, value) in url.query_pairs() {
        assert!(query.contains(&name.as_ref()) && !seen.contains(&name), "{name:?}");
        assert!(has(made, &name, &value), "{name:?} {value:?}");
        seen.push(name);
    }
}

fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

fn has(made: &Made, name: &str, value: &str) -> bool {
    made.parameters.iter().any(|(own, text)| own == name && text == value)
}

/// The JSON that arrives is what `serde_json` reads in what was sent, with what is ours, and without what is forbidden.
pub(in crate::gateway) fn body(made: &Made, sent: &[u8], user: Option<&str>) {
    // Halves of a character in a value that passes as it is: no reader of ours takes them.
    let Ok(mut expected) = serde_json::from_slice::<Value>(if sent.is_empty() { b"{}" } else { sent }) else { return };
    let Some(body) = &made.call.body else { return };
    let read: Value = serde_json::from_slice(body).unwrap_or_default();
    let put = |into: Option<&mut Value>, name: &str, value: Value| {
        into.and_then(Value::as_object_mut).map(|members| members.insert(name.to_owned(), value))
    };
    if let Some(user) = user {
        put(Some(&mut expected), "senderId", json!(user));
    }
    if made.operation == "broadcast" {
        put(Some(&mut expected), "app_id", json!("mine"));
        if expected.get("scope").is_none() {
            put(Some(&mut expected), "scope", json!({}));
        }
        put(expected.get_mut("scope"), "tenant", json!(7));
    }
    assert_eq!(read, expected);
    assert!(user.is_some() || read.get("senderId").is_none());
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if made.operation.starts_with("room.") {
        assert!(read.get("permission").is_none());
        let users: Vec<&Value> = match read.get("users") {
            Some(Value::Array(items)) => items.iter().collect(),
            Some(Value::Object(members)) => members.values().collect(),
            _ => Vec::new(),
        };
        assert!(users.iter().all(|user| user.get("role").is_none()));
    }
    let is_checked = matches!(made.operation.as_str(), "room.send" | "room.mute" | "broadcast" | "note");
    if let Some(room) = read.get("room").filter(|_| is_checked) {
        assert!(has(made, "room", &text(room)), "{read}");
    }
    if made.operation == "broadcast" {
        let rooms = read.get("rooms").and_then(Value::as_array);
        assert!(rooms.into_iter().flatten().all(|room| has(made, "room", &text(room))), "{read}");
    }
    if made.operation == "move" {
        let rooms = ["from", "to"].into_iter().filter_map(|name| read.get(name));
        assert!(rooms.into_iter().all(|room| has(made, "room", &text(room))), "{read}");
    }
    if made.operation == "note" {
        let known = ["room", "text", "to", "senderId"];
        assert!(read.as_object().is_some_and(|own| own.keys().all(|name| known.contains(&name.as_str()))), "{read}");
    }
}

/// The string that a reader of protobuf who forgives everything takes for this field: the last one.
pub(in crate::gateway) fn last_string(message: &[u8], wanted: u64) -> Option<String> {
    let mut rest = message.iter().copied();
    let mut found = None;
    let varint = |rest: &mut dyn Iterator<Item = u8>| {
        let mut number = 0_u64;
        for n in 0..10 {
            let byte = rest.next()?;
            number |= u64::from(byte & 0x7f).wrapping_shl(7 * n);
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    };
    while let Some(tag) = varint(&mut rest) {
        let skipped = match tag & 7 {
            0 => {
                varint(&mut rest);
                continue;
            }
            1 => 8,
            5 => 4,
            _ => usize::try_from(varint(&mut rest)?).ok()?,
        };
        let bytes: Vec<u8> = rest.by_ref().take(skipped).collect();
        if tag & 7 == 2 && tag >> 3 == wanted {
            found = String::from_utf8(bytes).ok();
        }
    }
    found
}
