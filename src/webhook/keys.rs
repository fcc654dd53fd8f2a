//! The keys that one webhook is proven with, from one moment.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

use crate::clock::Moment;
use crate::provider::{Form, Hash, MacKey};
use crate::secrets::Secret;

/// How a key is read out of a secret.
#[derive(Clone, Debug)]
pub struct KeyRule {
    /// Text before the key that is no part of it, where it is there.
    pub strip: Option<String>,
    /// The key stands behind the first of these, where there is one.
    pub after: Option<String>,
    /// How the rest is written, and how long it must be.
    pub form: Form,
    /// The hashes that MACs are made with. None where the key is sent as it is.
    pub hashes: Vec<Hash>,
}

/// A secret, ready to prove with.
pub struct ProvingKey {
    id: Option<String>,
    macs: Vec<(Hash, MacKey)>,
    credential: Credential,
    secret: Secret,
}

/// Whether a secret is still given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Current,
    /// It was replaced, and is taken until this moment.
    Previous(Moment),
}

/// A secret that is sent as it is. Its hash is compared, so that no comparison tells its length.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential([u8; 32]);

impl Credential {
    /// Of the bytes that are sent.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(hash)
    }

    /// Whether `sent` is it; takes the same time for all that are as long.
    pub fn is(&self, sent: &[u8]) -> bool {
        verify_slices_are_equal(&self.0, &Self::of(sent).0).is_ok() // W-01: constant time
    }
}

impl KeyRule {
    /// Reads a key. `Err` says what is wrong, never what was found.
    pub fn read(&self, id: Option<String>, secret: &Secret) -> Result<ProvingKey, String> {
        let part = self.part(secret)?;
        let macs = self.hashes.iter().map(|hash| {
            MacKey::read_as(*hash, &part, &self.form).map(|key| (*hash, key)).map_err(|error| error.to_string())
        });
        let macs = macs.collect::<Result<Vec<_>, _>>()?;
        let bytes = self.form.shared_secret(&part, "a webhook", MIN_BYTES).map_err(|error| error.to_string())?;
        Ok(ProvingKey { id, macs, credential: Credential::of(bytes.expose()), secret: bytes })
    }

    fn part(&self, secret: &Secret) -> Result<Secret, String> {
        if self.strip.is_none() && self.after.is_none() {
            return Ok(secret.clone());
        }
        let text = secret.expose_text().ok_or("is not text")?;
        let text = self.strip.as_deref().and_then(|strip| text.strip_prefix(strip)).unwrap_or(text);
        let text = self.after.as_deref().and_then(|after| text.split_once(after)).map_or(text, |(_, behind)| behind);
        Ok(Secret::new(text.as_bytes().to_vec()))
    }
}

/// Bytes of a secret at least, where a definition does not say.
const MIN_BYTES: usize = 16;

impl ProvingKey {
    /// What the provider calls it, where there are several by id.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What makes MACs with this hash.
    pub fn mac(&self, hash: Hash) -> Option<&MacKey> {
        self.macs.iter().find(|(own, _)| *own == hash).map(|(_, key)| key)
    }

    /// The secret as it is sent.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The secret itself, for those who sign.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Whether it is the same secret under the same id.
    pub fn same_as(&self, other: &Self) -> bool {
        self.id == other.id && self.credential == other.credential
    }
}

/// All keys that are valid at one moment.
#[derive(Debug)]
pub struct Ring {
    keys: Arc<Keys>,
    at: Moment,
}

/// The keys of one generation.
#[derive(Debug, Default)]
pub struct Keys {
    /// Grows with each change of the secrets.
    pub generation: u32,
    /// Those that are given, and those that were until lately.
    pub all: Vec<(Standing, Arc<ProvingKey>)>,
    /// Secrets that unproven questions must hold, by the name of their setting.
    pub required: Vec<(String, Credential)>,
}

impl Ring {
    /// What of `keys` is valid `at` a moment.
    pub fn at(keys: Arc<Keys>, at: Moment) -> Self {
        Self { keys, at }
    }

    /// The valid ones, those that are still given first.
    pub fn iter(&self) -> impl Iterator<Item = (Standing, &ProvingKey)> {
        let valid = |standing: Standing| match standing {
            Standing::Current => true,
            Standing::Previous(until) => self.at < until, // W-22: end of the overlap
        };
        let keys = self.keys.all.iter().filter(move |(standing, _)| valid(*standing));
        keys.map(|(standing, key)| (*standing, key.as_ref()))
    }

    /// The secret that an unproven question must hold.
    pub fn required(&self, name: &str) -> Option<&Credential> {
        self.keys.required.iter().find(|(own, _)| own == name).map(|(_, secret)| secret)
    }

    /// Which generation of the secrets this is.
    pub fn generation(&self) -> u32 {
        self.keys.generation
    }
}

impl std::fmt::Debug for ProvingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProvingKey(…)")
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(…)")
    }
}
