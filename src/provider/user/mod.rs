//! From the subject to the chat user id. Every rule is injective: two subjects never share an id, or are refused.

pub(super) mod account;

use aws_lc_rs::digest;
use regex_lite::Regex;

use crate::config::Unfit;
use crate::provider::keys::mac::{Encode, MacKey};

/// Bytes of a chat user id where the definition sets no limit; it goes into addresses and claims.
const MAX_BYTES: usize = 512;
/// Hexadecimal digits of a hash in an id: 128 bits, so that no second subject with the id of a first can be found.
const DIGITS: usize = 32;

/// A user's id at the provider.
#[derive(Clone, Default, PartialEq, Eq)]
pub(in crate::provider) struct UserId {
    /// The whole id.
    pub(in crate::provider) id: String,
    start: usize,
    end: usize,
}

impl UserId {
    fn new(prefix: &str, local: &str, suffix: &str) -> Self {
        let start = prefix.len();
        Self { id: format!("{prefix}{local}{suffix}"), start, end: start + local.len() }
    }

    /// The part between prefix and suffix.
    pub(in crate::provider) fn local(&self) -> &str {
        self.id.get(self.start..self.end).unwrap_or_default()
    }

    #[cfg(test)]
    pub(in crate::provider) fn plain(id: &str) -> Self {
        Self::new("", id, "")
    }
}

impl std::fmt::Debug for UserId {
    /// Ids are personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UserId(…)")
    }
}

/// The compiled rule.
#[derive(Clone, Debug, Default)]
pub(in crate::provider) struct UserRule {
    /// Text before the subject.
    pub(in crate::provider) prefix: String,
    /// Text behind it.
    pub(in crate::provider) suffix: String,
    /// What the whole id must match.
    pub(in crate::provider) pattern: Option<Regex>,
    /// Bytes at most.
    pub(in crate::provider) max_bytes: Option<usize>,
    /// What happens to subjects that do not fit.
    pub(in crate::provider) unfit: Unfit,
    /// Whether the id is a segment of a path, where `.` and `..` would climb.
    pub(in crate::provider) in_path: bool,
    /// Whether the provider takes ids that differ in case alone for one: then only folded ones fit.
    pub(in crate::provider) folds: bool,
}

impl UserRule {
    /// The id of `subject`, or `None` when this provider cannot take it. With a `key`, every id is a keyed hash, so that
    /// no name or address leaves the house.
    pub(in crate::provider) fn id(&self, subject: &str, key: Option<&MacKey>) -> Option<UserId> {
        if let Some(key) = key {
            let digits = Encode::Hex.encode(&key.mac(subject.as_bytes()));
            return self.fitting(digits.get(..DIGITS)?);
        }
        match self.unfit {
            Unfit::Refuse => self.fitting(subject),
            // A subject that looks like a folded one could be taken for it, so it is folded as well.
            // T-15: folded look-alike
            Unfit::Hash => self.fitting(subject).filter(|_| !looks_folded(subject)).or_else(|| self.fold(subject)),
        }
    }

    fn fitting(&self, local: &str) -> Option<UserId> {
        let id = UserId::new(&self.prefix, local, &self.suffix); // T-15: case of an id
        let fits = id.id.len() <= self.max_bytes.unwrap_or(MAX_BYTES)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&id.id))
            && !(self.folds && has_case(local)); // T-67: lost case
        let climbs = self.in_path && [id.id.as_str(), local].iter().any(|text| matches!(*text, "." | ".."));
        (fits && !climbs).then_some(id)
    }

    /// A readable rest of the subject, and a hash that keeps it apart from every other.
    fn fold(&self, subject: &str) -> Option<UserId> {
        let around = self.prefix.len() + self.suffix.len() + DIGITS + 1;
        let room = self.max_bytes.unwrap_or(MAX_BYTES).saturating_sub(around).min(64);
        let folded = |c: char| {
            let c = c.to_ascii_lowercase();
            if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' { c } else { '-' }
        };
        let rest: String = subject.chars().take(room).map(folded).collect();
        let hash = digest::digest(&digest::SHA256, subject.as_bytes());
        let digits = Encode::Hex.encode(hash.as_ref());
        self.fitting(&format!("{rest}-{}", digits.get(..DIGITS)?))
    }
}

/// Whether some other text is the same without regard to case, and this one is not what folding makes of both.
fn has_case(text: &str) -> bool {
    let is_folded = |c: char| c.to_lowercase().eq([c]) && c.to_uppercase().flat_map(char::to_lowercase).eq([c]);
    !text.chars().all(is_folded)
}

/// Whether a subject ends as [`UserRule::fold`] makes ids end.
fn looks_folded(subject: &str) -> bool {
    subject.len().checked_sub(DIGITS + 1).and_then(|at| subject.get(at..)).is_some_and(|end| {
        end.strip_prefix('-')
            .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::keys::mac::Hash;
    use crate::provider::keys::material::Form;
    use crate::secrets::Secret;

    fn rule(unfit: Unfit) -> UserRule {
        UserRule {
            prefix: "app_".to_owned(),
            suffix: ":x".to_owned(),
            pattern: crate::definition::whole("app_[a-z0-9_-]+:x").ok(),
            max_bytes: Some(if unfit == Unfit::Hash { 60 } else { 14 }),
            unfit,
            in_path: false,
            folds: false,
        }
    }

    fn id(rule: &UserRule, subject: &str) -> Option<String> {
        rule.id(subject, None).map(|id| id.id)
    }

    #[test]
    fn ids_that_do_not_fit_are_refused_never_folded() {
        let rule = rule(Unfit::Refuse);
        let alice = rule.id("alice", None).expect("fits");
        assert_eq!((alice.id.as_str(), alice.local()), ("app_alice:x", "alice"));
        for subject in ["Alice", "a b", "alice\n", "alicealice", "ä"] {
            assert_eq!(id(&rule, subject), None, "{subject}");
        }
    }

    #[test]
    fn folding_is_opt_in_and_marks_what_it_changed() {
        let rule = rule(Unfit::Hash);
        assert_eq!(id(&rule, "alice").as_deref(), Some("app_alice:x"));
        let folded = id(&rule, "Alice@Example").expect("folded");
        assert!(folded.starts_with("app_alice-example-") && folded.ends_with(":x"), "{folded}");
        let local = rule.id("Alice", None).expect("folded").local().to_owned();
        assert_ne!(id(&rule, &local), id(&rule, "Alice"), "no user can take a folded id by being called so");
        assert!(id(&rule, &"ü".repeat(300)).is_some_and(|id| id.len() <= 60));
    }

    /// T-67: whatever folding of case a provider does, those who differ in it alone are kept apart or refused.
    #[test]
    fn where_case_does_not_count_only_folded_subjects_are_ids() {
        let refuse = UserRule { folds: true, ..UserRule::default() };
        let hash = UserRule { unfit: Unfit::Hash, ..UserRule { folds: true, ..UserRule::default() } };
        for subject in ["bob", "bob-1@example", "李小龙", "zoë", "άλφα"] {
            assert_eq!(id(&refuse, subject).as_deref(), Some(subject));
            assert_eq!(id(&hash, subject).as_deref(), Some(subject));
        }
        // The long s, the sign of kelvin, sharp s, the i without a dot, and a digraph in title case fold as well.
        for subject in ["Bob", "boB", "bo\u{17F}", "\u{212A}ob", "stra\u{DF}e", "d\u{131}a", "\u{1C5}", "ZOË", "ΆΛΦΑ"]
        {
            assert_eq!(id(&refuse, subject), None, "{subject}");
            let folded = id(&hash, subject).expect("folded");
            assert!(folded.is_ascii() && !has_case(&folded) && folded.len() > DIGITS, "{folded}");
        }
    }

    #[test]
    fn a_keyed_hash_says_nothing_of_the_subject() {
        let rule = UserRule { prefix: "u-".to_owned(), ..UserRule::default() };
        let secret = Secret::new(b"0123456789abcdef0123456789abcdef".to_vec());
        let key = MacKey::read_as(Hash::Sha256, &secret, &Form::default()).expect("a key");
        let one = rule.id("alice@example.com", Some(&key)).expect("an id");
        assert!(one.id.starts_with("u-") && one.id.len() == 34 && !one.id.contains("alice"));
        assert_eq!(rule.id("alice@example.com", Some(&key)), Some(one));
    }

    proptest::proptest! {
        /// T-15: different subjects have different ids.
        #[test]
        fn mapping_is_injective(a in "[a-zA-Z0-9_-]{1,6}", other in "[a-zA-Z0-9_-]{1,6}", kin in 0..4_u8) {
            // Those that are nearly alike above all: two at random would not show that case is lost.
            let b = match kin {
                0 => a.to_ascii_lowercase(),
                1 => a.replace(['_', '-'], ""),
                2 => format!("{a}-"),
                _ => other,
            };
            let secret = Secret::new(b"0123456789abcdef0123456789abcdef".to_vec());
            let key = MacKey::read_as(Hash::Sha256, &secret, &Form::default()).expect("a key");
            let folds = |unfit| UserRule { unfit, folds: true, ..UserRule::default() };
            for (rule, key) in [
                (rule(Unfit::Refuse), None),
                (rule(Unfit::Hash), None),
                (UserRule::default(), Some(&key)),
                (folds(Unfit::Refuse), None),
                (folds(Unfit::Hash), None),
                (folds(Unfit::Hash), Some(&key)),
            ] {
                let seen = |id: String| if rule.folds { id.to_lowercase() } else { id };
                let id = |subject: &str| rule.id(subject, key).map(|id| seen(id.id));
                proptest::prop_assert!(a == b || id(&a).is_none() || id(&a) != id(&b));
            }
        }
    }

    #[test]
    fn dots_are_no_ids_where_they_would_climb() {
        for (prefix, suffix, subject, fits) in [
            ("", "", ".", false),
            ("", "", "..", false),
            ("", "", "...", true),
            ("", "", "a..", true),
            ("", "", "%2e%2e", true),
            (".", "", ".", false),
            (".", ".", "", false),
            ("u-", "", "..", false),
            ("", ":x", ".", false),
            ("u-", "", "a", true),
        ] {
            let rule = UserRule { prefix: prefix.to_owned(), suffix: suffix.to_owned(), ..UserRule::default() };
            assert!(rule.id(subject, None).is_some(), "{subject}: where it is no segment");
            let rule = UserRule { in_path: true, ..rule };
            assert_eq!(rule.id(subject, None).is_some(), fits, "{prefix} {subject} {suffix}");
            let rule = UserRule { unfit: Unfit::Hash, ..rule };
            assert!(rule.id(subject, None).is_some(), "{subject}: folded");
        }
    }
}
