//! Who is served: the lists of allowed and denied users.
//!
//! Entries are compared with [`Identity::chat_subject`]: the subject, and with several sources the subject behind its
//! namespace, so an entry names one person and no other. The file of denied users is read again when it changes; what
//! cannot be read, or is empty, never replaces what was (T-58).

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::Identity;
use super::namespace::{Namespaces, Unmatched};
use crate::config;
use crate::definition::{Mistake, Mistakes};
use crate::identity::Refusal;
use crate::metrics::Metrics;
use crate::secrets::{Reloaded, Reports, Secret, SecretSource};

/// Bytes of the file at most.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

type Entries = HashSet<Box<str>, ahash::RandomState>;

/// The lists, checked.
pub(in crate::identity) struct Users {
    allow: Entries,
    allow_groups: Entries,
    deny: Entries,
    file: Option<DenyFile>,
}

struct DenyFile {
    path: PathBuf,
    namespaces: Namespaces,
    entries: Reloaded<Entries>,
}

impl std::fmt::Debug for Users {
    /// The lists are full of user ids.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users").field("allow", &self.allow.len()).field("deny", &self.denied()).finish_non_exhaustive()
    }
}

impl Users {
    /// The configured lists; `None` where there is none, so that requests need not look at them. No mistake names a user.
    pub(in crate::identity) fn configure(
        configured: &config::Users,
        namespaces: &Namespaces,
        metrics: &Metrics,
    ) -> Result<Option<Self>, Mistakes> {
        let config::Users { allow, allow_groups, deny, deny_file } = configured;
        if allow.is_empty() && allow_groups.is_empty() && deny.is_empty() && deny_file.is_none() {
            return Ok(None);
        }
        let mut mistakes = Mistakes::default();
        let mut list = |key: &str, texts: &[String]| {
            let entries = entries(texts.iter().map(String::as_str).enumerate().collect(), namespaces);
            entries.unwrap_or_else(|(at, problem)| {
                mistakes.refuse(key, format!("holds an entry, number {}, that {problem}", at + 1));
                Entries::default()
            })
        };
        let (allow, deny) = (list("allow", allow), list("deny", deny));
        let file = deny_file.as_deref().map(|path| DenyFile::open(path, namespaces, metrics)).transpose();
        let file = mistakes.note(file).flatten();
        mistakes.or(())?;
        let allow_groups = allow_groups.iter().map(|group| Box::from(group.as_str())).collect();
        Ok(Some(Self { allow, allow_groups, deny, file }))
    }

    /// Whether the user is served.
    pub(in crate::identity) fn admit(&self, identity: &Identity<'_>) -> Result<(), Refusal> {
        let subject = identity.chat_subject();
        let subject: &str = &subject;
        // T-37: deny file
        if self.deny.contains(subject)
            || self.file.as_ref().is_some_and(|file| file.entries.current().contains(subject))
        {
            return Err(Refusal::Denied);
        }
        let no_list = self.allow.is_empty() && self.allow_groups.is_empty();
        let allowed = no_list
            || self.allow.contains(subject)
            || (!self.allow_groups.is_empty() && identity.groups().any(|group| self.allow_groups.contains(group)));
        if allowed { Ok(()) } else { Err(Refusal::NotAllowed) }
    }

    /// The file, if there is one.
    pub(in crate::identity) fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    /// Entries of both deny lists.
    pub(in crate::identity) fn denied(&self) -> usize {
        self.deny.len() + self.file.as_ref().map_or(0, |file| file.entries.current().len())
    }

    /// Reads the file again. Returns who is denied now and was not before.
    pub(in crate::identity) fn reload(&self) -> Vec<Box<str>> {
        let Some(file) = &self.file else { return Vec::new() };
        let mut newly = Vec::new();
        file.entries.reload_one(|content, old| {
            let entries = read(&file.path, content, &file.namespaces)?;
            newly.extend(entries.iter().filter(|entry| !old.contains(*entry)).cloned());
            Ok(entries)
        });
        if !newly.is_empty() {
            tracing::info!(denied = newly.len(), "more users are denied from now on");
        }
        newly
    }
}

impl DenyFile {
    fn open(path: &Path, namespaces: &Namespaces, metrics: &Metrics) -> Result<Self, Mistakes> {
        let source = SecretSource::Text { path: path.to_owned(), most: MAX_FILE_BYTES };
        let rejected = Some(metrics.identity.deny_list_rejected());
        let reports = Reports { rejected, ..Reports::new("lists of denied users", "identity.users") };
        let entries = Reloaded::open_one("deny_file", source, reports, |file| read(path, file, namespaces))?;
        Ok(Self { path: path.to_owned(), namespaces: namespaces.clone(), entries })
    }
}

/// The entries in the text of a file: one a line, and lines of comment. The mistake is the rest of a sentence.
fn read(path: &Path, file: &Secret, namespaces: &Namespaces) -> Result<Entries, Mistake> {
    let (shown, text) = (path.display(), file.expose_text().unwrap_or_default());
    // A file that is being written is empty for a moment, and that must not let every user in.
    // T-58: empty file
    if text.trim().is_empty() {
        return Err(format!("{shown} is empty; where no user is denied, write a line of comment: # none").into());
    }
    // Some editors begin a text with a mark of its encoding.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().map(|(at, line)| (at, line.trim_ascii()));
    let told = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    entries(told.collect(), namespaces).map_err(|(at, problem)| format!("{shown}, line {}: {problem}", at + 1).into())
}

/// Entries that can match a user; otherwise the number of the first that cannot, and why.
fn entries(texts: Vec<(usize, &str)>, namespaces: &Namespaces) -> Result<Entries, (usize, Unmatched)> {
    texts.into_iter().try_fold(Entries::default(), |mut entries, (at, entry)| {
        namespaces.check(entry).map_err(|problem| (at, problem))?;
        entries.insert(Box::from(entry));
        Ok(entries)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn metrics() -> Metrics {
        Metrics::new().expect("metrics")
    }

    fn configured(users: &config::Users) -> Users {
        Users::configure(users, &Namespaces::default(), &metrics()).expect("good lists").expect("lists")
    }

    fn judge(users: &Users, subject: &str, groups: &str) -> Result<(), Refusal> {
        users.admit(&Identity::of_operator(subject, None).expect("an identity").with(None, groups))
    }

    #[test]
    fn denied_is_stronger_than_allowed() {
        let users = configured(&config::Users {
            allow: list(&["alice", "mallory"]),
            allow_groups: list(&["staff"]),
            deny: list(&["mallory", "bob"]),
            deny_file: None,
        });
        for (subject, groups, expected) in [
            ("alice", "", Ok(())),
            ("Alice", "", Err(Refusal::NotAllowed)),
            ("carol", "x,staff", Ok(())),
            ("carol", "Staff", Err(Refusal::NotAllowed)),
            ("mallory", "staff", Err(Refusal::Denied)),
            ("bob", "staff", Err(Refusal::Denied)),
        ] {
            assert_eq!(judge(&users, subject, groups), expected, "{subject} {groups}");
        }
    }

    #[test]
    fn without_lists_there_is_nothing_to_look_at() {
        let none = Users::configure(&config::Users::default(), &Namespaces::default(), &metrics()).expect("good lists");
        assert!(none.is_none());
        let only_deny = configured(&config::Users { deny: list(&["bob"]), ..config::Users::default() });
        assert_eq!(judge(&only_deny, "alice", ""), Ok(()));
    }

    /// T-58: an empty, missing or broken file changes nothing.
    #[test]
    fn only_a_whole_file_replaces_the_last() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deny");
        std::fs::write(&path, "# left the company\n\n bob \r\n").expect("written");
        let users = configured(&config::Users { deny_file: Some(path.clone()), ..config::Users::default() });
        assert_eq!((judge(&users, "bob", ""), users.denied()), (Err(Refusal::Denied), 1));
        let none = Vec::<Box<str>>::new();
        let long = "x".repeat(300);
        for broken in [
            "",
            "\n \n",
            "alice\n-\n",
            "a\u{200b}b\n",
            "alice,\n",
            "\"alice\"\n",
            "alice # left\n",
            "alice\tleft\n",
            &long,
        ] {
            std::fs::write(&path, broken).expect("written");
            assert_eq!(users.reload(), none);
            let content = Secret::new(broken.as_bytes().to_vec());
            let problem = read(&path, &content, &Namespaces::default()).expect_err("refused");
            assert!(!problem.to_string().contains("alice"), "{problem}");
            assert_eq!(judge(&users, "bob", ""), Err(Refusal::Denied), "{broken:?}");
        }
        std::fs::write(&path, b"alice\n\xff\n").expect("written");
        assert_eq!(users.reload(), none);
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(users.reload(), none);
        assert_eq!(judge(&users, "bob", ""), Err(Refusal::Denied));
        std::fs::write(&path, "\u{feff}bob\r\nalice").expect("written");
        assert_eq!(users.reload(), [Box::from("alice")]);
        assert_eq!(users.reload(), none);
        std::fs::write(&path, "# none\n").expect("written");
        assert_eq!(users.reload(), none);
        assert_eq!(judge(&users, "bob", ""), Ok(()));
    }

    #[test]
    fn mistakes_say_where_and_name_no_user() {
        let users = config::Users {
            allow: list(&["alice", " bob"]),
            deny: list(&["null"]),
            deny_file: Some(PathBuf::from("/nowhere/deny")),
            ..config::Users::default()
        };
        let mistakes = Users::configure(&users, &Namespaces::default(), &metrics()).expect_err("refused");
        let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        let [allow, deny, file] = &mistakes[..] else { panic!("{mistakes:?}") };
        assert!(allow.starts_with("allow: holds an entry, number 2") && !allow.contains("bob"), "{mistakes:?}");
        assert!(deny.starts_with("deny: holds an entry, number 1"), "{mistakes:?}");
        assert!(file.starts_with("deny_file: /nowhere/deny cannot be read"), "{mistakes:?}");
    }
}
