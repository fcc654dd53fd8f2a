//! The secrets that one webhook is proven with: read again when their files change, and once when a signature does not fit.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::keys::{Credential, KeyRule, Keys, ProvingKey, Ring, Standing};
use crate::clock::{Clock, Moment};
use crate::definition::{Key, Mistake, Mistakes};
use crate::provider::{PairId, WebhookSettings};
use crate::secrets::{KeyFolder, News, Reload, Reloaded, Reports, Secret, SecretSet};

/// Between two looks at the files that unproven requests ask for: a flood of forged ones must not become one of reads.
const COOL_DOWN: Duration = Duration::from_secs(10);
/// Secrets that every request is compared with, at most.
const MOST: usize = 16;

/// The secrets of one webhook.
#[derive(Debug)]
pub struct Secrets {
    sources: Sources,
    current: Reloaded<Arc<Keys>>,
    /// How long the previous ones are taken after a change.
    overlap: Duration,
    /// When an unproven request last asked for a look.
    asked: tokio::sync::Mutex<Option<Moment>>,
    clock: Arc<dyn Clock>,
}

/// Which secrets count, and for what.
#[derive(Debug)]
struct Sources {
    rule: KeyRule,
    /// The setting of the secret, or of the table of keys.
    name: Option<String>,
    /// The setting whose one secret has this key id.
    pair: Option<(String, PairId)>,
    is_table: bool,
    /// Settings of secrets that unproven questions must hold.
    required: Vec<String>,
}

impl Secrets {
    /// Reads the secrets for the first time. `overlap` is how long the previous ones are taken after a change.
    pub fn open(
        settings: &WebhookSettings,
        rule: &KeyRule,
        overlap: Duration,
        reports: Reports,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Mistakes> {
        let webhook = settings.webhook();
        let pair = webhook.pair.as_ref().zip(settings.pair_id());
        let required = webhook.challenge.iter().filter_map(|own| Some(own.require.as_ref()?.secret.clone()));
        let sources = Sources {
            rule: rule.clone(),
            name: webhook.secret.clone().or_else(|| webhook.keys.clone().filter(|_| pair.is_none())),
            pair: pair.map(|(pair, id)| (pair.secret.clone(), id.clone())),
            is_table: webhook.keys.is_some(),
            required: required.collect(),
        };
        let patterns = settings.patterns().clone();
        let current = Reloaded::open(settings.sources().clone(), reports, |set| {
            for (name, pattern) in &patterns {
                let differs = |secret: &Secret| !secret.expose_text().is_some_and(|text| pattern.is_match(text));
                if set.get(name).is_some_and(differs) {
                    return Err(
                        Mistake::new(Key::of(name), "does not look like one: it does not match its pattern").into()
                    );
                }
            }
            sources.read(set).map(Arc::new)
        })?;
        Ok(Self { sources, current, overlap, asked: tokio::sync::Mutex::default(), clock })
    }

    /// The keys that are valid now.
    pub fn ring(&self) -> Ring {
        Ring::at(Arc::clone(&self.current.current()), self.clock.moment())
    }

    /// Whether there are newer secrets than those of `ring`, which prove nothing. The files are looked at for the first of
    /// those who ask at the same time, and not again for a while.
    pub async fn is_newer(self: &Arc<Self>, ring: &Ring) -> bool {
        let mut asked = self.asked.lock().await;
        let is_newer = || self.current.current().generation != ring.generation();
        let now = self.clock.moment();
        let rests = asked.is_some_and(|last| now < last.plus(COOL_DOWN)); // W-22: rest between looks
        if is_newer() || rests {
            return is_newer();
        }
        *asked = Some(now);
        let own = Arc::clone(self);
        // Files may be slow, so no worker reads them.
        let _looked = tokio::task::spawn_blocking(move || own.look()).await;
        is_newer()
    }

    /// Reads the files again.
    pub fn look(&self) -> News {
        self.current.look(|set, changed, old| {
            let now = self.clock.moment();
            let has_ended = |standing: &Standing| matches!(standing, Standing::Previous(until) if *until <= now);
            if !changed && !old.all.iter().any(|(standing, _)| has_ended(standing)) {
                return Ok(None);
            }
            let mut new = self.sources.read(set)?;
            new.generation = old.generation.saturating_add(u32::from(changed));
            let until = Standing::Previous(now.plus(self.overlap));
            for (standing, key) in &old.all {
                let is_given = new.all.iter().any(|(_, own)| own.same_as(key));
                let standing = if *standing == Standing::Current { until } else { *standing };
                // W-22: overlap of the previous secret
                if !is_given && !has_ended(&standing) && new.all.len() < MOST.saturating_mul(2) {
                    new.all.push((standing, Arc::clone(key)));
                }
            }
            Ok(Some(Arc::new(new)))
        })
    }
}

impl Sources {
    /// What stands in the files, checked.
    fn read(&self, set: &SecretSet) -> Result<Keys, Mistakes> {
        let mut mistakes = Mistakes::default();
        let mut keys: Vec<ProvingKey> = Vec::new();
        if let Some(name) = &self.name {
            for (id, secret) in mistakes.note(self.named(set, name)).unwrap_or_default() {
                let id = id.filter(|_| self.is_table);
                let of = id.as_ref().map(|id| format!(" (key {id})")).unwrap_or_default();
                let read = self.rule.read(id, &secret);
                keys.extend(mistakes.note(read.map_err(|problem| Mistake::new(Key::of(name), problem + &of))));
            }
        }
        if let Some((name, id)) = &self.pair {
            for (_, secret) in mistakes.note(self.named(set, name)).unwrap_or_default() {
                let own = match id {
                    PairId::Text(text) => Ok(text.clone()),
                    PairId::Part(cut) => cut
                        .cut(&secret)
                        .and_then(|part| part.expose_text().map(str::to_owned).ok_or_else(|| "is not text".to_owned())),
                };
                let read = own.and_then(|id| self.rule.read(Some(id), &secret));
                keys.extend(mistakes.note(read.map_err(|problem| Mistake::new(Key::of(name), problem))));
            }
        }
        let mut required = Vec::new();
        for name in &self.required {
            match set.get(name) {
                Some(secret) => required.push((name.clone(), Credential::of(secret.expose()))),
                None => mistakes.refuse(Key::of(name), "is missing"),
            }
        }
        let most = if self.is_table { usize::MAX } else { MOST };
        if keys.len() > most {
            let name = self.name.clone().unwrap_or_default();
            mistakes.refuse(
                Key::of(name),
                format!("has {} secrets, and each request is compared with all; keep {MOST} at most", keys.len()),
            );
        }
        let all = keys.into_iter().map(|key| (Standing::Current, Arc::new(key))).collect();
        mistakes.or(Keys { generation: 1, all, required })
    }

    /// The secrets of a setting, with the names that they have there.
    fn named(&self, set: &SecretSet, name: &str) -> Result<Vec<(Option<String>, Secret)>, Mistake> {
        if let Some(folder) = set.folder(name) {
            return Ok(folder.keys.iter().map(|(id, key)| (Some(id.clone()), key.secret.clone())).collect());
        }
        let secret = set.get(name).ok_or_else(|| Mistake::new(Key::of(name), "is missing"))?;
        if self.is_table && self.pair.is_none() {
            // A variable holds the table as a file does.
            let table = KeyFolder::of_lines(secret.expose_text().unwrap_or_default(), name);
            let table = table.map_err(|error| Mistake::new(Key::of(name), error.to_string()))?;
            return Ok(table.keys.into_iter().map(|(id, key)| (Some(id), key.secret)).collect());
        }
        Ok(vec![(None, secret.clone())])
    }
}

impl Reload for Secrets {
    fn files(&self) -> Vec<PathBuf> {
        self.current.files().collect()
    }

    fn reload(&self) {
        self.look();
    }
}
