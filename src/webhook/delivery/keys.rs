//! The keys that deliveries are signed with, read again when their files change.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::Guard;

use super::sign::{SignKey, SignKeys};
use crate::definition::{Key, Mistake, Mistakes};
use crate::secrets::{KeyFile, Reload, Reloaded, Reports, SecretSet, SecretSource};

/// Keys that sign at most, the newest: each makes the header longer by 47 bytes.
const MOST: usize = 3;

/// Signs for one webhook with what its files hold.
#[derive(Debug)]
pub struct Signer(Reloaded<SignKeys>);

impl Signer {
    /// Reads the keys of `source`, which stands under `name` in the configuration. Of a folder the three newest files sign.
    pub fn open(name: &str, source: SecretSource, reports: Reports) -> Result<Self, Mistakes> {
        Reloaded::open(BTreeMap::from([(name.to_owned(), source)]), reports, keys).map(Self)
    }

    /// The keys in use.
    pub(super) fn keys(&self) -> Guard<Arc<SignKeys>> {
        self.0.current()
    }
}

impl Reload for Signer {
    fn files(&self) -> Vec<PathBuf> {
        self.0.files().collect()
    }

    fn reload(&self) {
        // What is wrong has been logged.
        let _news = self.0.reload(|set, _old| keys(set));
    }
}

fn keys(set: &Arc<SecretSet>) -> Result<SignKeys, Mistakes> {
    let mut found: Vec<(&str, &str, &KeyFile)> = Vec::new();
    for (name, _) in set.all() {
        found.extend(set.file(name).map(|file| (name, "", file)));
    }
    for (name, folder) in set.folders() {
        found.extend(folder.keys.iter().map(|(file, key)| (name, file.as_str(), key)));
    }
    // Files of a volume may be as old as each other; then the last name is the newest.
    found.sort_by_key(|(_, file, key)| Reverse((key.written, *file)));
    let mut mistakes = Mistakes::default();
    let read = |(name, file, key): (&str, &str, &KeyFile)| {
        let key = SignKey::read(&key.secret);
        mistakes.note(key.map_err(|problem| Mistake::new(Key::of(name), format!("{file} {problem}").trim_start())))
    };
    let keys = found.into_iter().take(MOST).filter_map(read).collect();
    mistakes.or(SignKeys::new(keys))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::clock::Timestamp;

    /// A key of 24 times the same byte.
    fn key(byte: u8) -> String {
        use base64::Engine as _;
        format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode([byte; 24]))
    }

    fn signed(keys: &SignKeys) -> Vec<String> {
        let header = keys.sign("evt_a", Timestamp::from_seconds(1), b"{}").expect("a header");
        header.to_str().expect("text").split(' ').map(str::to_owned).collect()
    }

    fn alone(byte: u8) -> String {
        let key = SignKey::read(&crate::secrets::Secret::new(key(byte).into_bytes())).expect("a key");
        signed(&SignKeys::new(vec![key])).concat()
    }

    fn write(folder: &tempfile::TempDir, byte: u8, age: u64) {
        let path = folder.path().join(format!("{byte}.key"));
        std::fs::write(&path, key(byte) + "\n").expect("written");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 - age);
        File::options().write(true).open(path).expect("open").set_modified(time).expect("set");
    }

    fn reports() -> Reports {
        Reports::new("signing keys", Key::of("webhooks").below("chat"))
    }

    #[test]
    fn the_three_newest_of_a_folder_sign_and_changes_are_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        write(&folder, 1, 300);
        write(&folder, 2, 100);
        let source = SecretSource::Folder(folder.path().to_owned());
        let signer = Signer::open("sign_key_dir", source, reports()).expect("keys");
        assert_eq!(signed(&signer.keys()), [alone(2), alone(1)]);
        write(&folder, 3, 200);
        write(&folder, 4, 100);
        signer.reload();
        assert_eq!(signed(&signer.keys()), [alone(4), alone(2), alone(3)], "of two that are as old the last name");
        std::fs::write(folder.path().join("5.key"), "no key").expect("written");
        signer.reload();
        assert_eq!(signed(&signer.keys()).len(), 3, "the last good ones stay");
    }

    #[test]
    fn one_file_is_one_key_and_what_is_none_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), key(1)).expect("written");
        let open = || Signer::open("sign_key_file", SecretSource::File(file.path().to_owned()), reports());
        assert_eq!(signed(&open().expect("a key").keys()), [alone(1)]);
        std::fs::write(file.path(), "secret text").expect("written");
        let mistakes: Vec<_> = open().expect_err("refused").into_iter().collect();
        assert_eq!(mistakes[0].key.to_string(), "sign_key_file");
        assert!(mistakes[0].problem.starts_with("must begin with whsec_"), "{}", mistakes[0].problem);
        assert!(!mistakes[0].problem.contains("secret text"));
    }
}
