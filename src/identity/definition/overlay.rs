//! Puts the operator's table over a preset: settings fill their places, other keys win.

use serde_json::{Map, Value};

use super::keys::KID;
use super::presets::Preset;
use crate::definition::{Key, Mistakes, Settled, did_you_mean, fill, lay};

/// Top-level keys of a definition.
const KEYS: [&str; 10] =
    ["name", "summary", "namespace", "kind", "headers", "jwt", "claims", "keys", "metadata", "principal"];

/// Keys that are often written one table too high.
const BELOW: [&str; 15] = [
    "keys.url",
    "keys.discovery",
    "keys.file",
    "keys.pem_url",
    "keys.secret_file",
    "keys.form",
    "keys.network",
    "keys.max_age",
    "keys.refresh",
    "keys.ca_file",
    "keys.bearer_file",
    "jwt.issuer",
    "jwt.audience",
    "headers.subject",
    "claims.subject",
];

/// The definition with everything filled in. Settings come from the top level of `own`; the rest of it is laid over
/// the preset, table by table.
pub(super) fn settle(preset: Preset, own: &Map<String, Value>) -> Result<Value, Mistakes> {
    let Preset { settings, mut table } = preset;
    let (mut mistakes, mut settled) = (Mistakes::default(), Settled::default());
    for (key, value) in own.iter().filter(|(key, _)| *key != "preset") {
        if let Some(setting) = settings.get(key) {
            mistakes.note(settled.give(key, setting, value.clone()));
        } else if KEYS.contains(&key.as_str()) {
            lay(&mut table, key, value);
        } else {
            let own: Vec<&str> = settings.keys().map(String::as_str).collect();
            let list = if own.is_empty() { String::new() } else { format!("; its settings: {}", own.join(", ")) };
            let meant = match BELOW.iter().find(|below| below.rsplit('.').next() == Some(key)) {
                Some(below) => format!("; did you mean {below}?"),
                None => did_you_mean(key, own.iter().chain(&KEYS).chain(&BELOW)),
            };
            mistakes.refuse(Key::of(key), format!("unknown key; known here: {}{list}{meant}", KEYS.join(", ")));
        }
    }
    settled.complete(settings.iter(), &mut mistakes);
    let table = mistakes.or(table)?;
    Ok(fill(Value::Object(table), &settled.values, &[KID], &Key::default())?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    fn preset() -> Preset {
        let settings = json!({
            "team": { "about": "the team", "pattern": "[a-z-]+" },
            "audience": { "about": "the audience", "kind": "list" },
            "path": { "about": "a path", "default": "keys" },
            "types": { "about": "the types", "kind": "list", "optional": true },
        });
        let table = json!({
            "jwt": {
                "issuer": "https://{{ config.team }}.example", "audience": "{{ config.audience }}",
                "types": "{{ config.types? }}", "url": "https://{{ config.team }}.example/{{ config.path }}",
            },
        });
        Preset { settings: serde_json::from_value(settings).expect("settings"), table: object(table) }
    }

    #[test]
    fn settings_fill_their_places_and_keys_win() {
        let own = json!({ "preset": "x", "team": "acme", "audience": ["a", "b"], "namespace": "n", "jwt": { "max_age": "5s" } });
        let settled = settle(preset(), &object(own)).expect("settled");
        let expected = json!({
            "jwt": {
                "issuer": "https://acme.example", "audience": ["a", "b"],
                "url": "https://acme.example/keys", "max_age": "5s",
            },
            "namespace": "n",
        });
        assert_eq!(settled, expected);
    }

    #[test]
    fn what_is_missing_or_does_not_fit_is_told() {
        let told = |own: Value| {
            let mistakes = settle(preset(), &object(own)).expect_err("refused");
            mistakes.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            told(json!({ "team": "evil.example/", "audience": [], "types": 1, "colour": "red" })),
            [
                "team: does not match [a-z-]+ (the team)",
                "audience: is empty",
                "types: is not a list; write [\"…\", \"…\"]",
                "colour: unknown key; known here: name, summary, namespace, kind, headers, jwt, claims, keys, metadata, principal; \
                 its settings: audience, path, team, types",
            ]
        );
        let missing = told(json!({}));
        assert!(missing.contains(&"team: is missing; write team = \"…\" (the team)".to_owned()), "{missing:?}");
    }

    /// Definitions of operators were written with `{team}` once.
    #[test]
    fn an_old_placeholder_is_told_what_to_write() {
        let own = |jwt: Value| object(json!({ "team": "acme", "audience": "a", "jwt": jwt }));
        for (jwt, told) in [
            (
                json!({ "issuer": "https://{team}/" }),
                "jwt.issuer: \"https://{team}/\" holds {team}; write {{ config.team }}",
            ),
            (json!({ "url": "https://x/{kid}" }), "jwt.url: \"https://x/{kid}\" holds {kid}; write {{ token.kid }}"),
            (
                json!({ "issuer": ["{{ user.id }}"] }),
                "jwt.issuer[0]: unknown variable \"user.id\"; known: config.*, token.kid",
            ),
        ] {
            let mistakes = settle(preset(), &own(jwt)).expect_err("refused");
            assert_eq!(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>(), [told]);
        }
    }
}
