//! Who is served: the lists of allowed and denied users.
//!
//! Entries are compared with [`Identity::chat_subject`]: the subject, and with several sources the subject behind its
//! namespace, so an entry names one person and no other. The file of denied users is read again when it changes; what
//! cannot be read, or is empty, never replaces what was (T-58).

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Identity;
use super::namespace::Namespaces;
use crate::config;
use crate::identity::Refusal;
use crate::secrets::{FileError, Refusals, Refused, read_text};

/// Bytes of the file at most.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// A mistake: key below `identity.users`, and the rest of a sentence. It names no user.
pub(in crate::identity) type Mistake = (&'static str, String);

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
    entries: ArcSwap<Entries>,
    refusals: Refusals,
}

impl std::fmt::Debug for Users {
    /// The lists are full of user ids.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users").field("allow", &self.allow.len()).field("deny", &self.denied()).finish_non_exhaustive()
    }
}

impl Users {
    /// The configured lists; `None` where there is none, so that requests need not look at them.
    pub(in crate::identity) fn configure(
        configured: &config::Users,
        namespaces: &Namespaces,
    ) -> Result<Option<Self>, Vec<Mistake>> {
        let config::Users { allow, allow_groups, deny, deny_file } = configured;
        if allow.is_empty() && allow_groups.is_empty() && deny.is_empty() && deny_file.is_none() {
            return Ok(None);
        }
        let mut mistakes = Vec::new();
        let mut list = |key: &'static str, texts: &[String]| {
            let entries = entries(texts.iter().map(String::as_str).enumerate().collect(), namespaces);
            entries.unwrap_or_else(|(at, problem)| {
                mistakes.push((key, format!("holds an entry, number {}, that {problem}", at + 1)));
                Entries::default()
            })
        };
        let (allow, deny) = (list("allow", allow), list("deny", deny));
        let file =
            deny_file.as_deref().and_then(|path| match read(path, read_text(path, MAX_FILE_BYTES), namespaces) {
                Ok(entries) => {
                    let entries = ArcSwap::from_pointee(entries);
                    Some(DenyFile {
                        path: path.to_owned(),
                        namespaces: namespaces.clone(),
                        entries,
                        refusals: Refusals::default(),
                    })
                }
                Err(problem) => {
                    mistakes.push(("deny_file", problem));
                    None
                }
            });
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let allow_groups = allow_groups.iter().map(|group| Box::from(group.as_str())).collect();
        Ok(Some(Self { allow, allow_groups, deny, file }))
    }

    /// Whether the user is served.
    pub(in crate::identity) fn admit(&self, identity: &Identity<'_>) -> Result<(), Refusal> {
        let subject = identity.chat_subject();
        let subject: &str = &subject;
        // T-37: deny file
        if self.deny.contains(subject) || self.file.as_ref().is_some_and(|file| file.entries.load().contains(subject)) {
            return Err(Refusal::Denied);
        }
        let everybody = self.allow.is_empty() && self.allow_groups.is_empty();
        let allowed = everybody
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
        self.deny.len() + self.file.as_ref().map_or(0, |file| file.entries.load().len())
    }

    /// Reads the file again. Tells who is denied now and was not before; an unusable file changes nothing.
    pub(in crate::identity) fn reload(&self) -> Result<Vec<Box<str>>, Refused<String>> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let text = read_text(&file.path, MAX_FILE_BYTES);
        let look = file.refusals.look(&text);
        file.refusals.note(look, file.take(text))
    }
}

impl DenyFile {
    /// Puts a new list in service, if it is good, and tells who is new on it.
    fn take(&self, text: Result<String, FileError>) -> Result<Vec<Box<str>>, String> {
        let file = self;
        let fresh = read(&file.path, text, &file.namespaces)?;
        let old = file.entries.load_full();
        let newly = fresh.iter().filter(|entry| !old.contains(*entry)).cloned().collect();
        if fresh != *old {
            file.entries.store(Arc::new(fresh));
        }
        Ok(newly)
    }
}

/// The entries in the text of a file: one a line, and lines of comment. The mistake is the rest of a sentence.
fn read(path: &Path, text: Result<String, FileError>, namespaces: &Namespaces) -> Result<Entries, String> {
    let shown = path.display();
    let text = text.map_err(|error| format!("{shown} {error}"))?;
    // A file that is being written is empty for a moment, and that must not let everybody in.
    // T-58: empty file
    if text.trim().is_empty() {
        return Err(format!("{shown} is empty; where nobody is denied, write a line of comment: # nobody"));
    }
    // Some editors begin a text with a mark of its encoding.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let lines = text.lines().enumerate().map(|(at, line)| (at, line.trim_ascii()));
    let told = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    entries(told.collect(), namespaces).map_err(|(at, problem)| format!("{shown}, line {}: {problem}", at + 1))
}

/// Entries that somebody can be; otherwise the number of the first that nobody can, and why.
fn entries(texts: Vec<(usize, &str)>, namespaces: &Namespaces) -> Result<Entries, (usize, String)> {
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

    fn configured(users: &config::Users) -> Users {
        Users::configure(users, &Namespaces::default()).expect("good lists").expect("lists")
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
        let none = Users::configure(&config::Users::default(), &Namespaces::default()).expect("good lists");
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
            let problem = users.reload().expect_err("refused").problem;
            assert!(!problem.contains("alice"), "{problem}");
            assert_eq!(judge(&users, "bob", ""), Err(Refusal::Denied), "{broken:?}");
        }
        std::fs::write(&path, b"alice\n\xff\n").expect("written");
        assert!(users.reload().is_err());
        std::fs::remove_file(&path).expect("removed");
        assert!(users.reload().is_err());
        assert_eq!(judge(&users, "bob", ""), Err(Refusal::Denied));
        std::fs::write(&path, "\u{feff}bob\r\nalice").expect("written");
        assert_eq!(users.reload(), Ok(vec![Box::from("alice")]));
        assert_eq!(users.reload(), Ok(Vec::new()));
        std::fs::write(&path, "# nobody\n").expect("written");
        assert_eq!(users.reload(), Ok(Vec::new()));
        assert_eq!(judge(&users, "bob", ""), Ok(()));
    }

    #[test]
    fn mistakes_say_where_and_name_nobody() {
        let users = config::Users {
            allow: list(&["alice", " bob"]),
            deny: list(&["null"]),
            deny_file: Some(PathBuf::from("/nowhere/deny")),
            ..config::Users::default()
        };
        let mistakes = Users::configure(&users, &Namespaces::default()).expect_err("refused");
        let keys: Vec<_> = mistakes.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["allow", "deny", "deny_file"]);
        assert!(mistakes[0].1.contains("number 2") && !mistakes[0].1.contains("bob"), "{mistakes:?}");
        assert!(mistakes[2].1.starts_with("/nowhere/deny cannot be read"), "{mistakes:?}");
    }
}
