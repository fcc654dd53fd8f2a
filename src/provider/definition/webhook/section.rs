//! `[webhook]` as it stands in a definition, and how the settings of an operator get into it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Webhook;
use crate::definition::{Key, Mistake, Mistakes, Segment, Setting, fill, read, split};

/// `[webhook]` as it stands in a definition. Settings in it are filled in where a webhook names the provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct WebhookSection(Map<String, Value>);

/// Tables that are left out where the setting that says their place has no value.
const PLACED: [&str; 4] = ["time", "id", "event", "order"];
/// Members that say a place.
const PLACES: [&str; 4] = ["header", "json", "form", "member"];

impl WebhookSection {
    /// Whether it reads no settings. Then its shape is known without an operator.
    fn is_fixed(&self) -> bool {
        self.settings().is_empty()
    }

    /// Checks the shape of a section that reads no settings.
    pub(in crate::provider) fn check(&self) -> Result<(), Mistake> {
        if !self.is_fixed() {
            return Ok(());
        }
        match self.filled(&BTreeMap::new(), &BTreeMap::new()) {
            Ok(_) => Ok(()),
            Err(mistakes) => {
                Err(mistakes.into_iter().next().unwrap_or_else(|| "has no value".into()).within("webhook"))
            }
        }
    }

    /// Settings that are filled in, and whether each may be absent.
    pub fn settings(&self) -> BTreeMap<String, bool> {
        let mut found = BTreeMap::new();
        let mut left: Vec<&Value> = self.0.values().collect();
        while let Some(value) = left.pop() {
            match value {
                Value::String(text) => {
                    for segment in split(text).unwrap_or_default() {
                        let Segment::Expression(expression) = segment else { continue };
                        let Some(name) = expression.strip_prefix("config.") else { continue };
                        let (name, optional) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
                        let known = found.entry(name.trim_end().to_owned()).or_insert(true);
                        *known &= optional;
                    }
                }
                Value::Array(items) => left.extend(items),
                Value::Object(members) => left.extend(members.values()),
                _ => {}
            }
        }
        found
    }

    /// The setting that `member` names.
    pub(in crate::provider) fn named_by(&self, member: &str) -> Option<&str> {
        self.0.get(member)?.as_str()
    }

    /// The settings of the pair that counts where no table of keys is given.
    pub fn pair(&self) -> impl Iterator<Item = &str> {
        let pair = self.0.get("pair");
        ["id", "secret"].into_iter().filter_map(move |member| pair?.get(member)?.as_str())
    }

    /// Every setting that it names, secret ones too.
    pub fn names(&self) -> BTreeSet<String> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let mut names: BTreeSet<String> = self.settings().into_keys().collect();
        names.extend(["secret", "keys"].iter().filter_map(|member| text(self.0.get(*member))));
        names.extend(self.pair().map(str::to_owned));
        let challenges = self.0.get("challenge").and_then(Value::as_array);
        names.extend(challenges.into_iter().flatten().filter_map(|own| text(own.pointer("/require/secret"))));
        names
    }

    /// The section with the values of settings in it.
    pub fn filled(
        &self,
        values: &BTreeMap<String, Value>,
        declared: &BTreeMap<String, Setting>,
    ) -> Result<Webhook, Mistakes> {
        let mut mistakes = Mistakes::default();
        for (name, _) in self.settings().iter().filter(|(name, optional)| !**optional && !values.contains_key(*name)) {
            let about = declared.get(name).map_or("", |setting| setting.about.trim_end_matches('.'));
            mistakes.refuse(Key::of(name), format!("is missing; its webhooks need {name} = \"…\" ({about})"));
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let mut members = self.0.clone();
        // What is signed names things that a request has, and is filled in by itself.
        let text = members.remove("text");
        let key = Key::default();
        let filled = mistakes.note(fill(Value::Object(members), values, &[], &key)).flatten();
        let mut filled = match filled {
            Some(Value::Object(filled)) => filled,
            _ => Map::new(),
        };
        if let Some(text) = text {
            filled.extend(mistakes.note(signed(text, values)).map(|text| ("text".to_owned(), text)));
        }
        filled.retain(|name, table| {
            let had = |table: Option<&Value>| PLACES.iter().any(|place| table.and_then(|own| own.get(place)).is_some());
            !PLACED.contains(&name.as_str()) || had(Some(table)) || !had(self.0.get(name))
        });
        let webhook = read(&filled, &mut mistakes);
        match webhook {
            Some(webhook) => mistakes.or(webhook),
            None => Err(mistakes),
        }
    }
}

/// The text that is signed with settings in it; what a request has stays for later.
fn signed(text: Value, values: &BTreeMap<String, Value>) -> Result<Value, Mistake> {
    let Value::String(text) = text else { return Ok(text) };
    let mut filled = String::new();
    for segment in split(&text).map_err(|mistake| mistake.within("text"))? {
        match segment {
            Segment::Literal(literal) => filled.push_str(&literal),
            Segment::Expression(expression) => match expression.strip_prefix("config.") {
                Some(name) => filled.push_str(values.get(name).and_then(Value::as_str).unwrap_or_default()),
                None => filled.extend(["{{ ", &expression, " }}"]),
            },
        }
    }
    Ok(Value::String(filled))
}

/// In the schema of definitions, it is what it is filled to.
#[cfg(test)]
impl schemars::JsonSchema for WebhookSection {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Webhook::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Webhook::json_schema(generator)
    }
}
