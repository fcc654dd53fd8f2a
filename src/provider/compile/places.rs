//! Where a mistake is reported: in the operator's own definition, in a variable, or in the provider's table.

use std::collections::BTreeMap;

use crate::config::{self, ConfigError, Environment};
use crate::definition::{Key, Mistake, Mistakes};
use crate::provider::definition::{Definition, Definitions, GatewaySection, settings};

/// Places of one provider.
#[derive(Debug)]
pub(in crate::provider) struct Places {
    provider: Key,
    /// The file of the definition, where it is the operator's.
    file: Option<String>,
    definition: Definition,
    /// The file of the table, and those of settings that stand elsewhere.
    origin: String,
    origins: BTreeMap<String, String>,
    /// Variables that give settings, by setting.
    variables: BTreeMap<String, String>,
}

impl Places {
    /// Finds the definition that `table` names, and says where mistakes in it and in the table are.
    pub(in crate::provider) fn of(
        name: &str,
        table: &config::Provider,
        environment: &Environment,
        definitions: &Definitions,
    ) -> Result<(Definition, Self), ConfigError> {
        let provider = Key::of("providers").below(name);
        let found = definitions.get(&table.preset);
        let (definition, file) = found.map_err(|mistake| {
            ConfigError::at(table.origin_of("preset"), mistake.within("preset").within(&provider))
        })?;
        let variable = |place: &String| settings::variable(&definition, &Key::of(place), &table.settings, environment);
        let keys = definition.settings.keys().flat_map(|name| [name.clone(), format!("{name}_file")]);
        let variables = keys.filter_map(|key| variable(&key).map(|variable| (key, variable))).collect();
        let places = Self {
            provider,
            file: file.map(str::to_owned),
            definition: definition.clone(),
            origin: table.origin.clone(),
            origins: table.origins.clone(),
            variables,
        };
        Ok((definition, places))
    }

    /// The mistake with its place.
    pub(in crate::provider) fn error(&self, mistake: Mistake) -> ConfigError {
        if let Some(key) = self.own_call(&mistake.key) {
            return ConfigError::at(
                self.origins.get("gateway").unwrap_or(&self.origin),
                Mistake { key, ..mistake }.within(&self.provider),
            );
        }
        // What is wrong in the operator's own definition is reported with its file.
        if let Some(file) = self.file.as_ref().filter(|_| self.definition.has(&mistake.key)) {
            return ConfigError::at(file, mistake);
        }
        let variable = self.variables.get(&mistake.key.to_string());
        let setting = mistake.key.names().next().unwrap_or_default();
        let origin = variable.or_else(|| self.origins.get(setting)).unwrap_or(&self.origin);
        ConfigError::at(origin, mistake.within(&self.provider))
    }

    /// The key in the provider's table, where it is about what the operator adds to the calls of the definition: groups
    /// behind those of the definition, and what is no part of a definition.
    fn own_call(&self, key: &Key) -> Option<Key> {
        let names: Vec<&str> = key.names().collect();
        let ["gateway", part, rest @ ..] = names.as_slice() else { return None };
        let own = Key::of("gateway").below(*part);
        let below = |key: Key, rest: &[&str]| rest.iter().fold(key, |key, name| key.below(*name));
        match (*part, rest) {
            ("lift", rest) => Some(below(own, rest)),
            ("calls", [item, rest @ ..]) => {
                let n: usize = item.trim_matches(['[', ']']).parse().ok()?;
                let groups = self.definition.gateway.as_ref().map_or(0, GatewaySection::groups);
                Some(below(own.item(n.checked_sub(groups)?), rest))
            }
            _ => None,
        }
    }

    /// Each mistake with its place.
    pub(in crate::provider) fn errors(&self, mistakes: Mistakes) -> Vec<ConfigError> {
        mistakes.into_iter().map(|mistake| self.error(mistake)).collect()
    }
}
