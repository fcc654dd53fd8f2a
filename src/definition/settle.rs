//! What the settings that a definition declares come to: what is given, and then defaults, which may refer to it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Key, Mistake, Mistakes, Setting, SettingKind, checked, fill, settings_in};

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
        for (name, setting) in waiting {
            if setting.optional {
                self.unset.insert(name.clone());
            } else if !mistakes.iter().any(|mistake| mistake.key.names().next() == Some(name)) {
                let instead = setting.env.as_ref().map(|variable| format!(", or set {variable}")).unwrap_or_default();
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
