//! Secrets: read from files or the environment, never from the configuration's values, and never shown.
//!
//! A [`SecretSet`] is all secrets of one provider, read in one go: it is published as a whole or not at all, so that an
//! API key and its companion never come from two different moments. [`watch`] tells when to read again.

mod content;
mod fence;
mod file;
mod fingerprint;
mod folder;
mod key;
mod reloaded;
pub mod watch;
pub mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretSlice};

pub use fence::fence;
pub use file::{FileError, list, read_text, stuck};
pub use fingerprint::{Fingerprint, framed};
pub use folder::{KEY_ENDS, KeyFile, KeyFolder, SIGNING, is_key_name};
pub use reloaded::{News, Reload, Reloaded, Reports};

use crate::clock::Timestamp;
use crate::definition::{Key, Mistake, Mistakes};

/// Looks at sources that keep changing, at most.
const LOOKS: usize = 5;
/// Bytes of a secret file at most: private keys with comments are far below.
const MAX_BYTES: u64 = 64 * 1024;
/// Bytes of a path that is too short to be a secret.
const SHORT: usize = 16;

/// One secret. `Debug` shows nothing, memory is wiped on drop, and each look inside is called `expose`.
#[derive(Clone)]
pub struct Secret(SecretSlice<u8>);

impl Secret {
    /// A secret made of `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// The text, if it is UTF-8.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(self.expose()).ok()
    }

    /// Whether two secrets are the same bytes. Both are ours, so timing leaks nothing.
    pub fn same_as(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.same_as(other)
    }
}

impl Eq for Secret {}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expose().hash(state);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)") // T-36: Debug of a secret
    }
}

/// Where a secret comes from.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// A file that is read again when it changes.
    File(PathBuf),
    /// A file of text that is no secret: it stays as it is, and may be larger.
    Text {
        /// The file.
        path: PathBuf,
        /// Its bytes at most.
        most: u64,
    },
    /// A folder of keys that is read again when it changes.
    Folder(PathBuf),
    /// A folder whose every file is a secret, named by the file. It is read again when it changes.
    Values(PathBuf),
    /// A file with a secret on each line, behind its name and a colon. It is read again when it changes.
    Lines(PathBuf),
    /// The text of an environment variable; it never changes.
    Variable {
        /// Name of the variable.
        name: String,
        /// Its text.
        text: Secret,
    },
    /// A key that was made at start.
    Made(Secret),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path)
            | Self::Text { path, .. }
            | Self::Folder(path)
            | Self::Values(path)
            | Self::Lines(path) => f.write_str(&shown(path)),
            Self::Variable { name, .. } => write!(f, "the variable {name}"),
            Self::Made(_) => f.write_str("nowhere: it was made at start"),
        }
    }
}

/// Why a secret could not be read. Names the place, never the content.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SecretError {
    /// The file is missing, may not be read, or is none.
    #[error("{path} {cause}")]
    Unreadable {
        /// The file.
        path: String,
        /// What is wrong.
        cause: FileError,
    },
    /// What stands there can be no secret.
    #[error("{place} {problem}")]
    Content {
        /// The file or the variable.
        place: String,
        /// What is wrong, as the rest of a sentence.
        problem: String,
        /// What stands there, so that other content with the same fault is known to be other content.
        content: Secret,
    },
    /// A folder of keys is not as it must be.
    #[error("{path} {problem}")]
    Folder {
        /// The folder, or a file in it.
        path: String,
        /// What is wrong, as the rest of a sentence.
        problem: &'static str,
    },
}

/// Secrets that could not be read, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unread(pub Vec<(String, SecretError)>);

impl From<Unread> for Mistakes {
    fn from(unread: Unread) -> Self {
        unread.0.into_iter().map(|(name, error)| Mistake::new(Key::of(name), error.to_string())).collect()
    }
}

/// All secrets of one provider, from one moment.
#[derive(Clone, Debug, Default)]
pub struct SecretSet {
    single: BTreeMap<String, KeyFile>,
    folders: BTreeMap<String, KeyFolder>,
}

impl SecretSet {
    /// Reads every source. All failures are reported, with the name of the secret.
    pub fn read(sources: &BTreeMap<String, SecretSource>) -> Result<Self, Unread> {
        let mut set = Self::default();
        let mut errors = Vec::new();
        for (name, source) in sources {
            let outcome = match source {
                SecretSource::Made(secret) => {
                    set.single.insert(name.clone(), KeyFile { secret: secret.clone(), written: None });
                    Ok(())
                }
                SecretSource::Variable { name: variable, text } => {
                    cleaned(text.expose().to_vec(), variable).map(|secret| {
                        set.single.insert(name.clone(), KeyFile { secret, written: None });
                    })
                }
                SecretSource::File(path) => read_file(path).map(|(secret, written)| {
                    set.single.insert(name.clone(), KeyFile { secret, written });
                }),
                SecretSource::Text { path, most } => read_plain(path, *most).map(|secret| {
                    set.single.insert(name.clone(), KeyFile { secret, written: None });
                }),
                SecretSource::Folder(path) => KeyFolder::read(path).map(|folder| {
                    set.folders.insert(name.clone(), folder);
                }),
                SecretSource::Values(path) => KeyFolder::read_values(path).map(|folder| {
                    set.folders.insert(name.clone(), folder);
                }),
                SecretSource::Lines(path) => read_lines(path).map(|folder| {
                    set.folders.insert(name.clone(), folder);
                }),
            };
            errors.extend(outcome.err().map(|error| (name.clone(), error)));
        }
        if errors.is_empty() { Ok(set) } else { Err(Unread(errors)) }
    }

    /// Reads every source again. Where something differs from `known`, it is read until two looks agree: a mount that is
    /// swapped between two files would else give the old one of the first and the new one of the second.
    pub fn read_again(sources: &BTreeMap<String, SecretSource>, known: &Self) -> Result<Self, Unread> {
        let mut last = Self::read(sources);
        for _ in 0..LOOKS {
            if last.as_ref().is_ok_and(|set| set.same_as(known)) {
                break;
            }
            let next = Self::read(sources);
            let agree = match (&last, &next) {
                (Ok(one), Ok(other)) => one.same_as(other),
                (Err(one), Err(other)) => one == other,
                _ => false,
            };
            last = next;
            if agree {
                break;
            }
        }
        last
    }

    /// The secret called `name`.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.single.get(name).map(|file| &file.secret)
    }

    /// Every secret that is no folder, with its name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.single.iter().map(|(name, file)| (name.as_str(), &file.secret))
    }

    /// The secret called `name`, and when its file was written.
    pub fn file(&self, name: &str) -> Option<&KeyFile> {
        self.single.get(name)
    }

    /// The keys of the folder that the secret called `name` is.
    pub fn folder(&self, name: &str) -> Option<&KeyFolder> {
        self.folders.get(name)
    }

    /// Every folder, in the order of the names.
    pub fn folders(&self) -> impl Iterator<Item = (&str, &KeyFolder)> {
        self.folders.iter().map(|(name, folder)| (name.as_str(), folder))
    }

    /// Whether one of them is `secret`.
    pub fn holds(&self, secret: &Secret) -> bool {
        let folders = self.folders.values().flat_map(|folder| folder.keys.values());
        self.single.values().chain(folders).any(|file| file.secret.same_as(secret))
    }

    /// The name of these secrets, those aside that are `left_out`. `more` is part of it.
    pub fn fingerprint_but(&self, left_out: impl Fn(&str) -> bool, more: u32) -> Fingerprint {
        let more = more.to_be_bytes();
        let singles = self.single.iter().filter(|(own, _)| !left_out(own));
        let singles = singles.flat_map(|(own, file)| [own.as_bytes(), file.secret.expose()]);
        let folders = self.folders.iter().filter(|(own, _)| !left_out(own)).flat_map(|(_, folder)| &folder.keys);
        let folders = folders.flat_map(|(own, key)| [own.as_bytes(), key.secret.expose()]);
        Fingerprint::of(singles.chain(folders).chain([&more[..]]))
    }

    /// Whether two sets hold the same bytes.
    pub fn same_as(&self, other: &Self) -> bool {
        // No secret is called nothing.
        self.same_but(other, "")
    }

    /// Whether two sets hold the same bytes, that of the secret called `name` aside.
    pub fn same_but(&self, other: &Self, name: &str) -> bool {
        let wanted = |own: &&String| own.as_str() != name;
        let singles = self.single.keys().chain(other.single.keys()).filter(wanted);
        let folders = self.folders.keys().chain(other.folders.keys()).filter(wanted);
        let same_single = |name: &String| match (self.get(name), other.get(name)) {
            (Some(one), Some(other)) => one.same_as(other),
            _ => false,
        };
        let same_folder = |name: &String| match (self.folder(name), other.folder(name)) {
            (Some(one), Some(other)) => one.same_as(other),
            _ => false,
        };
        singles.into_iter().all(same_single) && folders.into_iter().all(same_folder)
    }
}

impl Hash for SecretSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (name, file) in &self.single {
            (name, &file.secret).hash(state);
        }
        for (name, folder) in &self.folders {
            (name, &folder.signing).hash(state);
            folder.keys.iter().for_each(|(name, key)| (name, &key.secret).hash(state));
        }
    }
}

/// A path as messages show it. What is long and no full path may be the secret itself, put in the wrong place (T-36).
fn shown(path: &Path) -> String {
    if path.is_absolute() || path.as_os_str().len() < SHORT {
        return path.display().to_string();
    }
    "a file (not shown: what is no full path may be the secret itself)".to_owned()
}

/// The secret in a file.
pub fn read_secret(path: &Path) -> Result<Secret, SecretError> {
    read_file(path).map(|(secret, _)| secret)
}

fn read_file(path: &Path) -> Result<(Secret, Option<Timestamp>), SecretError> {
    secret_of(path, file::within_limit(path, |path| file::read_here(path, MAX_BYTES)))
}

fn read_plain(path: &Path, most: u64) -> Result<Secret, SecretError> {
    let unreadable = |cause| SecretError::Unreadable { path: shown(path), cause };
    read_text(path, most).map(|text| Secret::new(text.into_bytes())).map_err(unreadable)
}

fn read_lines(path: &Path) -> Result<KeyFolder, SecretError> {
    let text = read_plain(path, MAX_BYTES)?;
    KeyFolder::of_lines(text.expose_text().unwrap_or_default(), &shown(path))
}

/// The secret in what was read from `path`.
fn secret_of(path: &Path, read: Result<file::Content, FileError>) -> Result<(Secret, Option<Timestamp>), SecretError> {
    let shown = shown(path);
    let (bytes, written) = read.map_err(|cause| SecretError::Unreadable { path: shown.clone(), cause })?;
    Ok((cleaned(bytes, &shown)?, written))
}

/// The secret in `bytes`, which stand at `place`.
fn cleaned(bytes: Vec<u8>, place: &str) -> Result<Secret, SecretError> {
    let content = Secret::new(bytes.clone());
    let fault = |mistake: Mistake| SecretError::Content { place: place.to_owned(), problem: mistake.problem, content };
    content::cleaned(bytes).map(Secret::new).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<Secret, SecretError> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), content).expect("written");
        read_secret(file.path())
    }

    #[test]
    fn empty_missing_and_huge_files_are_refused() {
        assert!(matches!(read(b""), Err(SecretError::Content { .. })));
        assert!(matches!(read(b"\n"), Err(SecretError::Content { .. })));
        let large = read(&vec![b'a'; 70_000]).expect_err("refused").to_string();
        assert!(large.ends_with("is larger than 65536 bytes; is it the right file?"), "{large}");
        assert!(matches!(read_file(Path::new("/nonexistent")), Err(SecretError::Unreadable { .. })));
    }

    #[test]
    fn what_may_be_a_secret_itself_is_not_shown() {
        for (path, visible) in [
            ("missing", true),
            ("/nonexistent/chat/api-secret", true),
            ("0123456789abcdef", false),
            ("app.key:0123456789abcdef", false),
            ("c2VjcmV0/c2VjcmV0/c2VjcmV0", false),
            ("{\"private_key\": \"x\"}", false),
        ] {
            let error = read_file(Path::new(path)).expect_err(path).to_string();
            assert_eq!(error.contains(path), visible, "{error}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new(b"canary".to_vec())), "Secret(…)");
    }
}
