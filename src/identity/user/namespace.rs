//! Namespaces: what keeps equal subjects of different sources different people (T-30).
//!
//! A subject is unique only where it was given. With one source in use that is enough. With several, each says its
//! namespace, and chat ids are made of `NAMESPACE-SUBJECT`: letters and digits, so that the first dash ends it and no two
//! pairs read alike. One group of sources may have the empty namespace, and keep the ids that it had alone; its subjects
//! must then not begin like those of the others.

use std::collections::BTreeSet;

use super::text::{Medium, SubjectRules, written_as_id};
use crate::definition::{Key, Mistakes};

/// Characters of a namespace at most.
const MAX_CHARS: usize = 32;

/// Why an entry of a list of users can match no user. `Display` is the rest of a sentence, and does not show the entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::identity) enum Unmatched {
    /// No source tells such a subject.
    #[error("can be no subject, because it {0}; no user would match it")]
    NoSubject(&'static str),
    /// It has none of the namespaces.
    #[error("matches no user, because every source has a namespace; write {forms}")]
    NoNamespace {
        /// What an entry may look like.
        forms: String,
    },
}

/// The namespaces of all sources in use, and what the subjects in each are like.
#[derive(Clone, Debug, Default)]
pub(in crate::identity) struct Namespaces {
    names: BTreeSet<String>,
    subjects: Vec<(String, SubjectRules)>,
}

impl Namespaces {
    /// Those of the sources in use: name and what its definition says.
    pub(in crate::identity) fn of(used: &[(&str, Option<&str>)]) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let mut names = BTreeSet::new();
        for (source, namespace) in used {
            let key = Key::of(*source).below("namespace");
            match namespace {
                None if used.len() > 1 => mistakes.refuse(key, missing(source, used)),
                Some(text) if !is_namespace(text) => {
                    let problem = format!(
                        "is \"{text}\"; write letters and digits, {MAX_CHARS} at most: \"{}\"",
                        suggestion(source)
                    );
                    mistakes.refuse(key, problem);
                }
                namespace => {
                    names.insert(namespace.unwrap_or_default().to_owned());
                }
            }
        }
        mistakes.or(Self { names, subjects: Vec::new() })
    }

    /// The same, with what subjects are like: each source's namespace and its rules.
    pub(in crate::identity) fn with_subjects(self, subjects: Vec<(String, SubjectRules)>) -> Self {
        Self { subjects, ..self }
    }

    /// How subjects of the source with this namespace must not begin.
    pub(in crate::identity) fn reserved_for(&self, namespace: &str) -> Vec<String> {
        // Behind a namespace of one's own everything is one's own.
        // T-30: own namespace
        let others = self.names.iter().filter(|other| namespace.is_empty() && !other.is_empty());
        others.map(|other| format!("{other}-")).collect()
    }

    /// Whether an entry of a list of users can match a user.
    pub(in crate::identity) fn check(&self, entry: &str) -> Result<(), Unmatched> {
        written_as_id(entry).map_err(Unmatched::NoSubject)?; // T-58: namespace written as an id
        let (namespace, subject) = self.taken_apart(entry)?;
        let mut rules = self.subjects.iter().filter(|(own, _)| own == namespace).map(|(_, rules)| rules).peekable();
        if rules.peek().is_none() {
            return SubjectRules::of(Medium::Signed).check(subject).map_err(Unmatched::NoSubject);
        }
        // One of several sources that share the namespace is enough.
        rules.map(|rules| rules.check(subject)).reduce(Result::or).unwrap_or(Ok(())).map_err(Unmatched::NoSubject)
    }

    /// Namespace and subject of an entry.
    pub(in crate::identity) fn taken_apart<'e>(&'e self, entry: &'e str) -> Result<(&'e str, &'e str), Unmatched> {
        let mut named = self.names.iter().filter(|namespace| !namespace.is_empty());
        if let Some(found) = named.find_map(|namespace| Some((namespace.as_str(), subject_in(entry, namespace)?))) {
            return Ok(found);
        }
        if self.names.is_empty() || self.names.contains("") {
            return Ok(("", entry));
        }
        let known: Vec<_> = self.names.iter().map(|namespace| format!("{namespace}-SUBJECT")).collect();
        Err(Unmatched::NoNamespace { forms: known.join(" or ") })
    }
}

fn subject_in<'e>(entry: &'e str, namespace: &str) -> Option<&'e str> {
    entry.strip_prefix(namespace)?.strip_prefix('-')
}

fn is_namespace(text: &str) -> bool {
    text.len() <= MAX_CHARS && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn missing(source: &str, used: &[(&str, Option<&str>)]) -> String {
    let names: Vec<_> = used.iter().map(|(name, _)| *name).collect();
    format!(
        "is missing: the routes use several sources ({}), and equal subjects of two could be two people; write \
         namespace = \"{}\", the same for sources whose subjects are the same people, or \"\" for those that keep \
         the chat ids they have",
        names.join(", "),
        suggestion(source)
    )
}

/// A namespace like the name of the source.
fn suggestion(source: &str) -> String {
    let plain: String = source.chars().filter(char::is_ascii_alphanumeric).take(MAX_CHARS).collect();
    if plain.is_empty() { "corp".to_owned() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces(used: &[(&str, Option<&str>)]) -> Namespaces {
        Namespaces::of(used).expect("namespaces")
    }

    #[test]
    fn one_source_needs_none_and_several_need_one_each() {
        assert!(Namespaces::of(&[("plain", None)]).is_ok());
        assert!(Namespaces::of(&[]).is_ok());
        assert!(Namespaces::of(&[("a", Some("corp")), ("b", Some(""))]).is_ok());
        assert!(Namespaces::of(&[("a", Some("corp")), ("b", Some("corp"))]).is_ok());
        let mistakes = Namespaces::of(&[("my-app", None), ("b", Some("b_b")), ("c", Some(&"x".repeat(33)))]);
        let mistakes: Vec<String> = mistakes.expect_err("refused").iter().map(ToString::to_string).collect();
        assert_eq!(mistakes.len(), 3);
        assert!(mistakes[0].starts_with("my-app.namespace: is missing"), "{mistakes:?}");
        assert!(mistakes[0].contains("namespace = \"myapp\""), "{mistakes:?}");
        assert!(Namespaces::of(&[("one", Some("with-dash"))]).is_err(), "also alone");
    }

    #[test]
    fn entries_of_lists_name_one_person_or_are_refused() {
        let alone = namespaces(&[("plain", None)]);
        assert_eq!(alone.taken_apart("corp-alice"), Ok(("", "corp-alice")));
        let two = namespaces(&[("a", Some("corp")), ("b", Some("ext"))]);
        assert_eq!(two.taken_apart("corp-alice"), Ok(("corp", "alice")));
        assert!(
            two.check("alice").is_err_and(|problem| problem.to_string().ends_with("write corp-SUBJECT or ext-SUBJECT"))
        );
        let mixed = namespaces(&[("a", Some("corp")), ("b", Some(""))]);
        assert_eq!(mixed.taken_apart("alice"), Ok(("", "alice")));
        assert_eq!(mixed.taken_apart("corp-alice"), Ok(("corp", "alice")));
        // A subject that a source cannot send matches no user in its namespace, and may match one in another.
        let rules = [("", Medium::Line), ("corp", Medium::Signed)]
            .map(|(name, medium)| (name.to_owned(), SubjectRules::of(medium)));
        let mixed = mixed.with_subjects(rules.into());
        assert!(mixed.check("cn=a,dc=b").is_err() && mixed.check("corp-cn=a,dc=b").is_ok());
        assert!(mixed.check("corp-alice,").is_err() && mixed.check("corp-null").is_err());
        assert_eq!(mixed.reserved_for(""), ["corp-"]);
        assert!(mixed.reserved_for("corp").is_empty());
    }
}
