//! What the settings that a definition declares come to: what is given, and then defaults, which may refer to it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Key, Mistake, Mistakes, Setting, SettingKind, checked, fill, settings_in};

/// Names of those that the operator must give: no default says what they are, and they may not be left out, or the default
/// of one that may not be left out refers to them.
pub fn required<'s>(declared: impl Iterator<Item = (&'s String, &'s Setting)> + Clone) -> BTreeSet<&'s str> {
    let needed_by = |name: &str| declared.clone().any(|(_, other)| !other.optional && refers(other, |to| to == name));
    let is_required = |name: &str, setting: &Setting| {
        setting.default.is_none() && setting.part_of.is_none() && (!setting.optional || needed_by(name))
    };
    declared.clone().filter(|(name, setting)| is_required(name, setting)).map(|(name, _)| name.as_str()).collect()
}

/// Whether the default of this setting refers to such a one.
fn refers(setting: &Setting, to: impl Fn(&str) -> bool) -> bool {
    setting.default.as_ref().is_some_and(|default| settings_in(default).iter().any(|name| to(name)))
}

/// Names of those without a value only because their defaults refer, by others or not, to one that the operator must give.
fn followers<'s>(waiting: &[(&'s String, &'s Setting)], required: &BTreeSet<&'s str>) -> BTreeSet<&'s str> {
    let mut told = required.clone();
    while let Some((name, _)) =
        waiting.iter().find(|(name, setting)| !told.contains(name.as_str()) && refers(setting, |to| told.contains(to)))
    {
        told.insert(name);
    }
    told.difference(required).copied().collect()
}

/// Settings by name, checked.
#[derive(Debug, Default)]
pub struct Settled {
    /// Those that have a value.
    pub values: BTreeMap<String, Value>,
    /// Those that are optional and have none.
    pub unset: BTreeSet<String>,
}

impl Settled {
    /// Takes what an operator gives for a setting.
    pub fn give(&mut self, name: &str, setting: &Setting, given: Value) -> Result<(), Mistake> {
        let value = checked(setting, given).map_err(|mistake| mistake.within(Key::of(name)))?;
        self.values.insert(name.to_owned(), value);
        Ok(())
    }

    /// Gives all other settings their defaults.
    pub fn complete<'s>(&mut self, declared: impl Iterator<Item = (&'s String, &'s Setting)>, mistakes: &mut Mistakes) {
        let mut waiting: Vec<_> = declared.filter(|(name, _)| !self.values.contains_key(*name)).collect();
        loop {
            let before = waiting.len();
            waiting.retain(|(name, setting)| {
                let Some(default) = &setting.default else { return true };
                // The others hold templates, which are filled in for each mint.
                let is_filled = matches!(setting.kind, SettingKind::Text | SettingKind::Url);
                if is_filled && settings_in(default).iter().any(|needed| !self.values.contains_key(needed)) {
                    return true;
                }
                let given = if is_filled { self.filled(default) } else { Ok(default.clone()) };
                let outcome = given.and_then(|value| self.give(name, setting, value));
                if let Err(Mistake { problem, .. }) = outcome {
                    mistakes.refuse(Key::of(*name), format!("its default {problem}"));
                }
                false
            });
            if waiting.len() == before {
                break;
            }
        }
        let required = required(waiting.iter().copied());
        let follow = followers(&waiting, &required);
        for (name, setting) in &waiting {
            let name = name.as_str();
            if setting.optional && !required.contains(name) {
                self.unset.insert(name.to_owned());
            } else if !follow.contains(name) && !mistakes.iter().any(|mistake| mistake.key.names().next() == Some(name))
            {
                let mut instead =
                    setting.env.as_ref().map(|variable| format!(", or set {variable}")).unwrap_or_default();
                if setting.optional {
                    let others = waiting.iter().filter(|(_, other)| refers(other, |to| to == name));
                    let others: Vec<_> = others.map(|(other, _)| other.as_str()).collect();
                    instead.extend([", or write ", &others.join(" and ")]);
                }
                let about = setting.about.trim_end_matches('.');
                let problem = format!("is missing; write {name} = \"…\"{instead} ({about})");
                mistakes.refuse(Key::of(name), problem);
            }
        }
    }

    fn filled(&self, default: &Value) -> Result<Value, Mistake> {
        fill(default.clone(), &self.values, &[], &Key::default())?.ok_or_else(|| "has no value".into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::definition::read;

    /// What is wrong where nothing is given for these settings.
    fn told(declared: Value) -> Vec<String> {
        let mut mistakes = Mistakes::default();
        let declared: BTreeMap<String, Setting> = read(&declared, &mut mistakes).expect("settings");
        Settled::default().complete(declared.iter(), &mut mistakes);
        mistakes.iter().map(|mistake| mistake.key.to_string()).collect()
    }

    #[test]
    fn what_follows_from_a_missing_setting_is_not_missing() {
        let follows = |of: &str| json!({ "about": "a", "default": format!("x-{{{{ config.{of} }}}}") });
        let (needed, optional) = (json!({ "about": "a" }), json!({ "about": "a", "optional": true }));
        for (declared, missing) in [
            (json!({ "a": needed, "b": follows("a"), "c": follows("b") }), vec!["a"]),
            (json!({ "a": optional, "b": follows("a") }), vec!["a"]),
            (json!({ "a": optional }), vec![]),
            (json!({ "a": needed, "b": needed }), vec!["a", "b"]),
            (json!({ "a": { "about": "a", "default": "x" }, "b": follows("a") }), vec![]),
        ] {
            assert_eq!(told(declared.clone()), missing, "{declared}");
        }
    }
}
