//! Keys in files: a key set, public keys in PEM, or a shared secret. Read when they may have changed.

use std::path::Path;

use super::{Key, jwks};
use crate::definition::Mistake;
use crate::identity::definition::KeyPlace;
use crate::secrets::Secret;

/// What begins a public key in PEM (RFC 7468, 13).
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
/// What ends it.
const END: &str = "-----END PUBLIC KEY-----";
/// Keys of one file at most.
const MOST_KEYS: usize = 64;

/// The keys that `content` of a file of this place holds.
pub(super) fn read(place: &KeyPlace, content: &Secret) -> Result<Vec<Key>, Mistake> {
    match place {
        KeyPlace::File(path) => public(content, path),
        KeyPlace::SecretFile(path) => {
            let short = || format!("{} is too short: a shared secret has 32 bytes at least", path.display()).into();
            Key::of_secret(content).map(|key| vec![key]).ok_or_else(short)
        }
        KeyPlace::Url(_) | KeyPlace::Discovery { .. } | KeyPlace::PemUrl(_) => Err("is no file".into()),
    }
}

fn public(content: &Secret, path: &Path) -> Result<Vec<Key>, Mistake> {
    let shown = path.display();
    let text = content.expose_text().unwrap_or_default();
    if text.trim_start().starts_with('{') {
        return jwks::read(text.as_bytes()).map_err(|broken| format!("{shown} {broken}").into());
    }
    let blocks = text.split_inclusive(END).filter_map(|block| block.find(BEGIN).and_then(|start| block.get(start..)));
    let read = |block: &str| Key::of_pem(None, block.as_bytes()).map_err(|problem| format!("{shown} {problem}"));
    let keys: Vec<Key> = blocks.take(MOST_KEYS + 1).map(read).collect::<Result<_, _>>()?;
    match keys.len() {
        0 => Err(format!("{shown} holds neither a key set nor PUBLIC KEY blocks").into()),
        many if many > MOST_KEYS => Err(format!("{shown} holds more than {MOST_KEYS} keys").into()),
        _ => Ok(keys),
    }
}
