//! Secrets: read from files or the environment, never from the configuration's values, and never shown.
//!
//! A [`SecretSet`] is all secrets of one provider, read in one go: it is published as a whole or not at all, so that an
//! API key and its companion never come from two different moments. [`watch`] tells when to read again.

pub mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretSlice};

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
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where a secret comes from.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// A file that is read again when it changes.
    File(PathBuf),
    /// The text of an environment variable; it never changes.
    Environment(Secret),
}

/// Why a secret could not be read. Names the place, never the content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The file is missing or may not be read.
    #[error("{path} cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        cause: String,
    },
    /// The file has no content.
    #[error("{path} is empty")]
    Empty {
        /// The file.
        path: String,
    },
    /// The file is larger than any secret.
    #[error("{path} is larger than {MAX_BYTES} bytes; is it the right file?")]
    TooLarge {
        /// The file.
        path: String,
    },
}

/// All secrets of one provider, from one moment.
#[derive(Clone, Debug, Default)]
pub struct SecretSet(BTreeMap<String, Secret>);

impl SecretSet {
    /// Reads every source. All failures are reported, with the name of the secret.
    pub fn read(sources: &BTreeMap<String, SecretSource>) -> Result<Self, Vec<(String, SecretError)>> {
        let mut set = BTreeMap::new();
        let mut errors = Vec::new();
        for (name, source) in sources {
            match source {
                SecretSource::Environment(secret) => {
                    set.insert(name.clone(), secret.clone());
                }
                SecretSource::File(path) => match read_file(path) {
                    Ok(secret) => {
                        set.insert(name.clone(), secret);
                    }
                    Err(error) => errors.push((name.clone(), error)),
                },
            }
        }
        if errors.is_empty() { Ok(Self(set)) } else { Err(errors) }
    }

    /// The secret called `name`.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }

    /// Whether two sets hold the same bytes. Both are ours, so time tells nobody anything.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().all(|(name, secret)| other.get(name).is_some_and(|own| own.expose() == secret.expose()))
    }
}

/// A path as messages show it. What is long and no full path may be the secret itself, put in the wrong place (T-36).
fn shown(path: &Path) -> String {
    if path.is_absolute() || path.as_os_str().len() < SHORT {
        return path.display().to_string();
    }
    "a file (not shown: what is no full path may be the secret itself)".to_owned()
}

fn read_file(path: &Path) -> Result<Secret, SecretError> {
    let shown = shown(path);
    let unreadable = |cause: std::io::Error| SecretError::Unreadable { path: shown.clone(), cause: cause.to_string() };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(SecretError::TooLarge { path: shown });
    }
    // Editors and `echo` end files with a line break that is no part of the secret.
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    if bytes.is_empty() { Err(SecretError::Empty { path: shown }) } else { Ok(Secret::new(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<Secret, SecretError> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), content).expect("written");
        read_file(file.path())
    }

    #[test]
    fn one_line_break_at_the_end_is_not_part_of_a_secret() {
        for (content, secret) in [
            (&b"abc"[..], &b"abc"[..]),
            (b"abc\n", b"abc"),
            (b"abc\r\n", b"abc"),
            (b"abc\n\n", b"abc\n"),
            (b"0012", b"0012"),
        ] {
            assert_eq!(read(content).expect("a secret").expose(), secret);
        }
    }

    #[test]
    fn empty_missing_and_huge_files_are_refused() {
        assert!(matches!(read(b""), Err(SecretError::Empty { .. })));
        assert!(matches!(read(b"\n"), Err(SecretError::Empty { .. })));
        assert!(matches!(read(&vec![b'a'; 70_000]), Err(SecretError::TooLarge { .. })));
        assert!(matches!(read_file(Path::new("/nonexistent")), Err(SecretError::Unreadable { .. })));
    }

    #[test]
    fn what_may_be_a_secret_itself_is_not_shown() {
        for (path, visible) in [
            ("missing", true),
            ("/nonexistent/livekit/api-secret", true),
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
