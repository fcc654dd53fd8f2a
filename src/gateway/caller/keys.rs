//! Virtual keys: callers' own, from files that are read again when they change, all of them or none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use data_encoding::HEXLOWER;

use crate::clock::Timestamp;
use crate::config;
use crate::definition::{Key, Mistake, Mistakes};
use crate::provider::{self, FittedKey, NotShown, Presented};
use crate::secrets::{Reloaded, Reports, Secret, SecretSet, SecretSource};

/// Characters of a key at least: 32 bytes as base64url, and as hexadecimal digits.
const LEAST: usize = 43;
const LEAST_HEX: usize = 64;
/// Different characters in it: a random key has more, and what was typed has fewer.
const LEAST_KINDS: usize = 10;
/// What to do about a key that is none.
const MAKE: &str = "make one with: sidemint gateway key";

/// The keys of all callers.
pub(super) struct KeyRing {
    served: Vec<Served>,
    /// Which caller each file is of, by the name that its secret has.
    owners: BTreeMap<String, Owner>,
    current: Reloaded<Keys>,
}

/// The caller of a file.
#[derive(Clone, Debug)]
struct Owner {
    number: usize,
    name: String,
}

/// A provider whose SDK shows keys.
#[derive(Debug)]
pub(super) struct Served {
    mount: String,
    provider: Arc<provider::Gateway>,
}

/// The keys in service.
struct Keys {
    /// As each mount takes them.
    fitted: BTreeMap<String, Vec<(usize, FittedKey)>>,
    /// Those that serve nobody, because a provider's secret became the same: their places.
    withdrawn: BTreeSet<String>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").field("owners", &self.owners).finish_non_exhaustive()
    }
}

impl Served {
    pub(super) fn of(mount: &str, provider: &Arc<provider::Gateway>) -> Self {
        Self { mount: mount.to_owned(), provider: Arc::clone(provider) }
    }

    /// Whether a caller's key is a secret of the provider, as it is or as the SDK prints it.
    fn has(&self, owner: &Owner, secret: &Secret) -> bool {
        let printed = |text| Secret::new(self.provider.virtual_key().printed(&owner.name, text).into_bytes());
        self.provider.has_secret(secret)
            || secret.expose_text().is_some_and(|text| self.provider.has_secret(&printed(text)))
    }
}

impl KeyRing {
    /// Reads every file. Keys of mistakes are those of the configuration.
    pub(super) fn open(config: &config::Gateway, served: Vec<Served>) -> Result<Self, Mistakes> {
        let callers = Key::from("gateway.callers");
        let (mut owners, mut sources) = (BTreeMap::new(), BTreeMap::new());
        for (number, (name, own)) in config.callers.iter().enumerate() {
            for (n, path) in own.key_files.iter().enumerate() {
                // The order of names is that of messages.
                let place = Key::of(name).below("key_files").item(n).to_string();
                owners.insert(place.clone(), Owner { number, name: name.clone() });
                sources.insert(place, SecretSource::File(path.clone()));
            }
        }
        let reports = Reports::new("keys of the gateway's callers", callers.clone());
        let current = Reloaded::open(sources, reports, |set| Keys::of(set, &owners, &served));
        let current = current.map_err(|mistakes| whole(mistakes).within(callers))?;
        Ok(Self { served, owners, current })
    }

    /// Whether the proof of an SDK at this mount can be judged with the body alone.
    pub(super) fn reads_body(&self, mount: &str) -> bool {
        self.at(mount).is_some_and(|own| own.provider.virtual_key().reads_body())
    }

    /// The number of the caller whose key a request to `mount` shows, if it is one's.
    pub(super) fn owner(
        &self,
        mount: &str,
        presented: &Presented<'_>,
        now: Timestamp,
    ) -> Result<Option<usize>, NotShown> {
        let own = self.at(mount).ok_or(NotShown::KeyMissing)?;
        let shown = own.provider.shown(presented, now)?;
        let current = self.current.current();
        let keys = current.fitted.get(mount).map(Vec::as_slice).unwrap_or_default();
        // All are compared, whichever is right.
        let compared = |keys: &mut dyn Iterator<Item = &(usize, FittedKey)>| {
            keys.fold(None, |found, (number, key)| if shown.fits(key) { Some(*number) } else { found })
        };
        let Some(key_id) = shown.key_id() else { return Ok(compared(&mut keys.iter())) };
        let own = self.owners.values().find(|owner| owner.name == key_id).map(|owner| owner.number);
        // A name that no caller has takes the time of one that a caller has (G-28).
        let asked = own.or_else(|| keys.first().map(|(number, _)| *number));
        let found = compared(&mut keys.iter().filter(|(number, _)| Some(*number) == asked));
        Ok(found.filter(|number| Some(*number) == own)) // G-14, G-18: key id of the caller
    }

    /// Whether the key that a request to `mount` shows is for the body that came with it.
    pub(super) fn check_body(&self, mount: &str, presented: &Presented<'_>, now: Timestamp) -> Result<(), NotShown> {
        self.at(mount).map_or(Ok(()), |own| own.provider.check_body(presented, now))
    }

    /// Files to watch.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.current.files()
    }

    /// Reads the files again. Providers' secrets may be others as well.
    pub(super) fn reload(&self) {
        self.current.look(|set, changed, old| {
            if changed {
                return Keys::of(set, &self.owners, &self.served).map(Some); // G-27: keys as a whole
            }
            let withdrawn = self.of_providers(set);
            if withdrawn == old.withdrawn {
                return Ok(None);
            }
            for place in withdrawn.difference(&old.withdrawn) {
                let key = format_args!("gateway.callers.{place}");
                tracing::error!(%key, "a provider has this key as its own secret now, so nobody may call with it; {MAKE}");
            }
            Keys::but(withdrawn, set, &self.owners, &self.served).map(Some)
        });
    }

    /// The places of keys that are secrets of a provider.
    fn of_providers(&self, set: &SecretSet) -> BTreeSet<String> {
        let is_providers = |place: &str, secret: &Secret| {
            let Some(owner) = self.owners.get(place) else { return false };
            self.served.iter().any(|own| own.has(owner, secret)) // G-14: later secret of a provider
        };
        set.all().filter(|(place, secret)| is_providers(place, secret)).map(|(place, _)| place.to_owned()).collect()
    }

    fn at(&self, mount: &str) -> Option<&Served> {
        self.served.iter().find(|own| own.mount == mount)
    }
}

/// Mistakes whose keys are dotted texts, with keys of names.
fn whole(mistakes: Mistakes) -> Mistakes {
    let split = |mistake: Mistake| {
        let place = mistake.key.to_string();
        Mistake::new(place.as_str(), mistake.problem)
    };
    mistakes.into_iter().map(split).collect()
}

impl Keys {
    /// Every key of `set`, checked.
    fn of(set: &SecretSet, owners: &BTreeMap<String, Owner>, served: &[Served]) -> Result<Self, Mistakes> {
        Self::but(BTreeSet::new(), set, owners, served)
    }

    /// The same but for those that are withdrawn.
    fn but(
        withdrawn: BTreeSet<String>,
        set: &SecretSet,
        owners: &BTreeMap<String, Owner>,
        served: &[Served],
    ) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let mut refuse = |place: &str, problem: &str| mistakes.refuse(Key::of(place), problem);
        let mut fitted: BTreeMap<String, Vec<(usize, FittedKey)>> =
            served.iter().map(|own| (own.mount.clone(), Vec::new())).collect();
        let mut before: Vec<(&Owner, &Secret)> = Vec::new();
        for (place, secret) in set.all().filter(|(place, _)| !withdrawn.contains(*place)) {
            let Some(owner) = owners.get(place) else { continue };
            let text = match key_text(secret) {
                Ok(text) => text,
                Err(problem) => {
                    refuse(place, &problem);
                    continue;
                }
            };
            // G-14: key of two callers
            if let Some((other, _)) = before.iter().find(|(other, own)| other.name != owner.name && own.same_as(secret))
            {
                refuse(place, &format!("holds the same key as one of {}; {MAKE}", other.name));
            }
            before.push((owner, secret));
            for own in served {
                // G-14: key of a provider
                if own.has(owner, secret) {
                    let problem = format!("holds a secret of provider {}, which no caller may have; {MAKE}", own.mount);
                    refuse(place, &problem);
                    continue;
                }
                match own.provider.virtual_key().fit(&owner.name, text) {
                    Ok(key) => fitted.entry(own.mount.clone()).or_default().push((owner.number, key)),
                    Err(problem) => refuse(place, &format!("holds a key that {} cannot take: it {problem}", own.mount)),
                }
            }
        }
        mistakes.or(Self { fitted, withdrawn })
    }
}

/// A new key: 32 random bytes, as hexadecimal digits, which every SDK takes. `None` where the system gives none.
pub fn new_key() -> Option<Secret> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(Secret::new(HEXLOWER.encode(&bytes).into_bytes()))
}

/// The text of a key. Its length and the kinds of its characters say whether it can be random.
pub fn key_text(secret: &Secret) -> Result<&str, String> {
    let bytes = secret.expose();
    let is_hex = bytes.iter().all(u8::is_ascii_hexdigit);
    let least = if is_hex { LEAST_HEX } else { LEAST };
    // G-14: shortest key
    if bytes.len() < least {
        return Err(format!("holds a key of less than 32 bytes; {MAKE}"));
    }
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    let text = secret.expose_text().filter(|_| bytes.iter().all(fits));
    let text = text.ok_or_else(|| format!("holds characters that not every SDK takes; {MAKE}"))?;
    let kinds: BTreeSet<&u8> = bytes.iter().collect();
    if kinds.len() < LEAST_KINDS {
        return Err(format!("holds a key that is not random; {MAKE}"));
    }
    Ok(text)
}
