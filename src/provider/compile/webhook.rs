//! What a webhook needs of a provider: the `[webhook]` of its definition with the operator's settings in it, and where its
//! secrets are. Nothing else of the provider is looked at, so that events are proven without an API key.

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::Regex;

use super::places::Places;
use crate::config::{self, ConfigError, Environment};
use crate::definition::{Key, Mistake, Mistakes};
use crate::provider::definition::settings::{self, Settings};
use crate::provider::definition::{Definition, Definitions, Webhook};
use crate::provider::keys::material::Cut;
use crate::secrets::SecretSource;

/// `[webhook]` of a definition, for one operator.
#[derive(Debug)]
pub struct WebhookSettings {
    webhook: Webhook,
    sources: BTreeMap<String, SecretSource>,
    patterns: BTreeMap<String, Regex>,
    pair_id: Option<PairId>,
    cautions: Vec<String>,
    places: Places,
}

/// A key id.
#[derive(Clone, Debug)]
pub enum PairId {
    /// As the operator wrote it.
    Text(String),
    /// The part of the secret that this finds.
    Part(Cut),
}

impl WebhookSettings {
    /// Reads the settings that `[webhook]` uses out of the `table` of the provider called `name`.
    pub fn configure(
        name: &str,
        table: &config::Provider,
        environment: &Environment,
        definitions: &Definitions,
    ) -> Result<Self, Vec<ConfigError>> {
        let (definition, places) = Places::of(name, table, environment, definitions).map_err(|error| vec![error])?;
        let read = Self::read(&definition, table, environment);
        match read {
            Ok(read) => Ok(read(places)),
            Err(mistakes) => Err(places.errors(mistakes)),
        }
    }

    /// The section, with settings in it.
    pub fn webhook(&self) -> &Webhook {
        &self.webhook
    }

    /// Where each secret that it names is.
    pub fn sources(&self) -> &BTreeMap<String, SecretSource> {
        &self.sources
    }

    /// What secrets look like.
    pub fn patterns(&self) -> &BTreeMap<String, Regex> {
        &self.patterns
    }

    /// The key id of the pair, where that is what counts.
    pub fn pair_id(&self) -> Option<&PairId> {
        self.pair_id.as_ref()
    }

    /// What was given twice, and which one counts: one sentence each.
    pub fn cautions(&self) -> &[String] {
        &self.cautions
    }

    /// A mistake in the section or in a setting, at the place where its author finds it.
    pub fn error(&self, mistake: Mistake) -> ConfigError {
        self.places.error(mistake)
    }

    fn read(
        definition: &Definition,
        table: &config::Provider,
        environment: &Environment,
    ) -> Result<impl FnOnce(Places) -> Self + use<>, Mistakes> {
        let Some(section) = &definition.webhook else {
            let problem = format!("\"{}\" says nothing of webhooks; its definition has no [webhook]", definition.name);
            return Err(Mistake::new("preset", problem).into());
        };
        let mut wanted = section.names();
        // Where the table of keys is given, the pair counts for nothing, and is not asked for.
        let is_given = |keys: &str| {
            table
                .settings
                .keys()
                .any(|name| name.strip_prefix(keys).is_some_and(|end| ["", "_file", "_dir"].contains(&end)))
        };
        if section.named_by("keys").is_some_and(is_given) {
            for name in section.pair() {
                wanted.remove(name);
            }
        }
        settings::widen(definition, &mut wanted);
        let mut settings =
            settings::resolve_some(definition, |name| wanted.contains(name), &table.settings, environment)?;
        let webhook = section.filled(&settings.plain.values, &definition.settings).map_err(|mistakes| {
            let in_section = |mistake: Mistake| {
                if is_setting(definition, &mistake.key) { mistake } else { mistake.within("webhook") }
            };
            mistakes.into_iter().map(in_section).collect::<Mistakes>()
        })?;
        let mut mistakes = Mistakes::default();
        check_names(definition, &webhook, &mut mistakes);
        let pair_id = choose_keys(definition, &webhook, &mut settings, &mut mistakes);
        let (sources, patterns) = (settings.secrets, settings.secret_patterns);
        let named: BTreeSet<&String> = secrets_of(&webhook).collect();
        let sources: BTreeMap<_, _> = sources.into_iter().filter(|(name, _)| named.contains(name)).collect();
        let patterns = patterns.into_iter().filter(|(name, _)| named.contains(name)).collect();
        for name in webhook.secret.iter().chain(required_by(&webhook)).filter(|name| !sources.contains_key(*name)) {
            let (key, problem) = missing(definition, name);
            mistakes.refuse(key, problem);
        }
        let cautions = std::mem::take(&mut settings.cautions);
        mistakes.or(move |places| Self { webhook, sources, patterns, pair_id, cautions, places })
    }
}

/// Names of secrets that challenges want.
fn required_by(webhook: &Webhook) -> impl Iterator<Item = &String> {
    webhook.challenge.iter().filter_map(|challenge| Some(&challenge.require.as_ref()?.secret))
}

fn secrets_of(webhook: &Webhook) -> impl Iterator<Item = &String> {
    let pair = webhook.pair.as_ref().map(|pair| &pair.secret);
    webhook.secret.iter().chain(&webhook.keys).chain(pair).chain(required_by(webhook))
}

fn missing(definition: &Definition, name: &str) -> (Key, String) {
    settings::missing(definition, name, "its webhooks need it")
}

/// Whether a mistake is about a setting, and not about the section.
fn is_setting(definition: &Definition, key: &Key) -> bool {
    key.names().next().is_some_and(|name| definition.settings.contains_key(name))
}

/// What the section calls a secret setting must be one.
fn check_names(definition: &Definition, webhook: &Webhook, mistakes: &mut Mistakes) {
    for name in secrets_of(webhook) {
        if !definition.settings.get(name).is_some_and(|setting| setting.secret) {
            mistakes.refuse("webhook", format!("names \"{name}\", which is not a secret setting"));
        }
    }
}

/// The pair counts where the table of keys is not given. The result is its id.
fn choose_keys(
    definition: &Definition,
    webhook: &Webhook,
    settings: &mut Settings,
    mistakes: &mut Mistakes,
) -> Option<PairId> {
    if webhook.keys.as_ref().is_some_and(|keys| settings.secrets.contains_key(keys)) {
        if let Some(pair) = &webhook.pair {
            settings.secrets.remove(&pair.secret);
        }
        return None;
    }
    let Some(pair) = &webhook.pair else {
        if let Some(keys) = &webhook.keys {
            let (key, problem) = missing(definition, keys);
            mistakes.refuse(key, problem);
        }
        return None;
    };
    if !settings.secrets.contains_key(&pair.secret) {
        let own = webhook.keys.as_ref().map(|keys| format!("; or {keys}_file with a line «id: secret» for each key"));
        let (key, problem) = missing(definition, &pair.secret);
        mistakes.refuse(key, problem + &own.unwrap_or_default());
        return None;
    }
    match settings.plain.values.get(&pair.id).and_then(serde_json::Value::as_str) {
        Some(text) => Some(PairId::Text(text.to_owned())),
        None => match definition.settings.get(&pair.id).and_then(|setting| setting.part_of.as_ref()) {
            Some(part) if part.secret == pair.secret => mistakes.note(Cut::of(part)).map(PairId::Part),
            _ => {
                mistakes.refuse(Key::of(&pair.id), "is missing, and its webhooks need it: it names the key");
                None
            }
        },
    }
}
