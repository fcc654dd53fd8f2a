//! A folder of keys: each file is one, named by the file, and a file `signing` may say which of them signs.

use std::collections::BTreeMap;
use std::path::Path;

use super::{FileError, MAX_BYTES, Secret, SecretError, file, secret_of};
use crate::clock::Timestamp;
use crate::definition::line;

/// The file that names the key that signs.
pub const SIGNING: &str = "signing";
/// Ends of the names of files that hold a key. What else lies in the folder is left alone.
pub const KEY_ENDS: [&str; 4] = ["pem", "jwk", "key", "nk"];
/// Bytes of a key's name at most.
const MAX_NAME: usize = 128;

/// Secrets of a folder or a table at most.
const MOST: usize = 256;

/// A key as it was found.
#[derive(Clone, Debug)]
pub struct KeyFile {
    /// The private key.
    pub secret: Secret,
    /// When the file was last written, where the file system knows.
    pub written: Option<Timestamp>,
}

/// The keys of a folder, from one moment.
#[derive(Clone, Debug, Default)]
pub struct KeyFolder {
    /// The keys by name.
    pub keys: BTreeMap<String, KeyFile>,
    /// Name of the key that signs, where a file says so.
    pub signing: Option<String>,
}

impl KeyFolder {
    /// Reads every key of the folder. Names that begin with a dot are passed over: editors, Kubernetes and `sidemint keys
    /// rotate` put files under such names that are not finished or not meant.
    pub fn read(folder: &Path) -> Result<Self, SecretError> {
        let read = file::within_limit(folder, |folder| Ok(Self::read_here(folder)));
        read.unwrap_or_else(|cause| Err(SecretError::Unreadable { path: folder.display().to_string(), cause }))
    }

    fn read_here(folder: &Path) -> Result<Self, SecretError> {
        let shown = folder.display().to_string();
        let unreadable =
            |cause: std::io::Error| SecretError::Unreadable { path: shown.clone(), cause: FileError::from(cause) };
        let read_file = |path: &Path| secret_of(path, file::read_here(path, MAX_BYTES));
        let mut found = Self::default();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.starts_with('.'))
            else {
                continue;
            };
            if name == SIGNING {
                let (text, _) = read_file(&path)?;
                found.signing = Some(String::from_utf8_lossy(text.expose()).trim().to_owned());
                continue;
            }
            let Some((stem, end)) = name.rsplit_once('.') else { continue };
            if !KEY_ENDS.contains(&end) || path.is_dir() {
                continue;
            }
            let fault = |problem| SecretError::Folder { path: path.display().to_string(), problem };
            if !is_key_name(stem) {
                return Err(fault("is named as no key can be; use letters, digits, dot, dash and underscore"));
            }
            let (secret, written) = read_file(&path)?;
            if found.keys.insert(stem.to_owned(), KeyFile { secret, written }).is_some() {
                return Err(fault("has the same name as another key of its folder"));
            }
        }
        let fault = |problem| Err(SecretError::Folder { path: shown.clone(), problem });
        if found.keys.is_empty() {
            return fault("holds no key (.pem, .jwk, .key, .nk); make one with sidemint keygen --out FOLDER/NAME.pem");
        }
        if found.signing.as_ref().is_some_and(|name| !found.keys.contains_key(name)) {
            return fault("has a file «signing» that names none of its keys");
        }
        Ok(found)
    }

    /// Reads every file of the folder, whatever it is called. Names that begin with a dot are passed over.
    pub fn read_values(folder: &Path) -> Result<Self, SecretError> {
        let read = file::within_limit(folder, |folder| Ok(Self::read_values_here(folder)));
        read.unwrap_or_else(|cause| Err(SecretError::Unreadable { path: folder.display().to_string(), cause }))
    }

    fn read_values_here(folder: &Path) -> Result<Self, SecretError> {
        let shown = folder.display().to_string();
        let unreadable =
            |cause: std::io::Error| SecretError::Unreadable { path: shown.clone(), cause: FileError::from(cause) };
        let fault = |problem| SecretError::Folder { path: shown.clone(), problem };
        let mut found = Self::default();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.starts_with('.'));
            let Some(name) = name.filter(|_| !path.is_dir()) else { continue };
            if found.keys.len() == MOST {
                return Err(fault("holds more than 256 files; is it the right folder?"));
            }
            let (secret, written) = secret_of(&path, file::read_here(&path, MAX_BYTES))?;
            found.keys.insert(name.to_owned(), KeyFile { secret, written });
        }
        if found.keys.is_empty() { Err(fault("holds no file; write each secret into one")) } else { Ok(found) }
    }

    /// The secrets of a table: `id: secret` on each line. Blank lines and those that begin with # are passed over.
    pub fn of_lines(text: &str, place: &str) -> Result<Self, SecretError> {
        let fault = |problem| SecretError::Folder { path: place.to_owned(), problem };
        let mut found = Self::default();
        for row in text.lines().map(str::trim).filter(|row| !row.is_empty() && !row.starts_with('#')) {
            let (id, secret) = row.split_once(':').ok_or_else(|| fault("has a line that is not «id: secret»"))?;
            let (id, secret) = (id.trim(), secret.trim());
            if !is_key_name(id) {
                return Err(fault("has a key id that is none; use letters, digits, dot, dash and underscore"));
            }
            line(secret).map_err(|_problem| fault("has a secret that is empty, in quotes or no plain text"))?;
            let secret = Secret::new(secret.as_bytes().to_vec());
            if found.keys.insert(id.to_owned(), KeyFile { secret, written: None }).is_some() {
                return Err(fault("names a key id twice"));
            }
            if found.keys.len() > MOST {
                return Err(fault("holds more than 256 keys; is it the right file?"));
            }
        }
        if found.keys.is_empty() { Err(fault("holds no key; write «id: secret», a line each")) } else { Ok(found) }
    }

    /// Whether two folders hold the same keys and mean the same one.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.signing == other.signing
            && self.keys.len() == other.keys.len()
            && self
                .keys
                .iter()
                .all(|(name, key)| other.keys.get(name).is_some_and(|own| own.secret.same_as(&key.secret)))
    }
}

/// Whether `name` can be the name of a key: it becomes a key id, a metric's label and a file.
pub fn is_key_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && name.len() <= MAX_NAME && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).expect("written");
        }
        folder
    }

    #[test]
    fn keys_are_what_ends_like_one() {
        let found = folder(&[
            ("2026-05.pem", "one\n"),
            ("b.jwk", "two"),
            (".new.pem", "unfinished"),
            ("README", "no key"),
            ("rotation.json", "{}"),
            (SIGNING, "b\n"),
        ]);
        std::fs::create_dir(found.path().join("old.pem")).expect("made");
        let read = KeyFolder::read(found.path()).expect("readable");
        assert_eq!(read.keys.keys().collect::<Vec<_>>(), ["2026-05", "b"]);
        assert_eq!((read.keys["2026-05"].secret.expose(), read.signing.as_deref()), (&b"one"[..], Some("b")));
        assert!(read.same_as(&read.clone()));
    }

    #[test]
    fn a_folder_that_cannot_be_meant_is_refused() {
        for (files, problem) in [
            (&[][..], "holds no key"),
            (&[("a.pem", "x"), ("a.jwk", "y")], "has the same name"),
            (&[("a b.pem", "x")], "is named as no key can be"),
            (&[("a.pem", "x"), (SIGNING, "b")], "names none of its keys"),
            (&[("a.pem", "")], "is empty"),
        ] {
            let error = KeyFolder::read(folder(files).path()).expect_err("refused").to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
