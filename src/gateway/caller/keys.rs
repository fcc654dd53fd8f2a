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

/// The keys in service, as each mount takes them.
struct Keys(BTreeMap<String, Vec<(usize, FittedKey)>>);

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").field("owners", &self.owners).finish_non_exhaustive()
    }
}

impl Served {
    pub(super) fn of(mount: &str, provider: &Arc<provider::Gateway>) -> Self {
        Self { mount: mount.to_owned(), provider: Arc::clone(provider) }
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
        let keys = current.0.get(mount).map(Vec::as_slice).unwrap_or_default();
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

    /// Reads the files again.
    pub(super) fn reload(&self) {
        self.current.reload(|set, _old| Keys::of(set, &self.owners, &self.served)); // G-27: keys as a whole
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
        let mut mistakes = Mistakes::default();
        let mut refuse = |place: &str, problem: &str| mistakes.refuse(Key::of(place), problem);
        let mut keys: BTreeMap<String, Vec<(usize, FittedKey)>> =
            served.iter().map(|own| (own.mount.clone(), Vec::new())).collect();
        let mut before: Vec<(&Owner, &Secret)> = Vec::new();
        for (place, secret) in set.all() {
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
                let scheme = own.provider.virtual_key();
                let printed = Secret::new(scheme.printed(&owner.name, text).into_bytes());
                // G-14: key of a provider
                if own.provider.has_secret(secret) || own.provider.has_secret(&printed) {
                    let problem = format!("holds a secret of provider {}, which no caller may have; {MAKE}", own.mount);
                    refuse(place, &problem);
                    continue;
                }
                match scheme.fit(&owner.name, text) {
                    Ok(key) => keys.entry(own.mount.clone()).or_default().push((owner.number, key)),
                    Err(problem) => refuse(place, &format!("holds a key that {} cannot take: it {problem}", own.mount)),
                }
            }
        }
        mistakes.or(Self(keys))
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
