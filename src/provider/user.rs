//! From the subject to the chat user id. Every rule is injective: two subjects never share an id, or are refused.

use regex_lite::Regex;

use super::definition;
use super::settings::whole;

/// Bytes of a chat user id where the definition sets no limit; it goes into addresses and claims.
const MAX_BYTES: usize = 512;

/// The compiled rule.
#[derive(Debug)]
pub(super) struct UserRule {
    prefix: String,
    pattern: Option<Regex>,
    max_bytes: usize,
}

impl UserRule {
    pub(super) fn compile(user: &definition::User) -> Result<Self, String> {
        let pattern = user.pattern.as_deref().map(whole).transpose()?;
        Ok(Self { prefix: user.prefix.clone(), pattern, max_bytes: user.max_bytes.unwrap_or(MAX_BYTES) })
    }

    /// The id of `subject`, or `None` when this provider cannot take it.
    pub(super) fn id(&self, subject: &str) -> Option<String> {
        let id = format!("{}{subject}", self.prefix);
        let fits = id.len() <= self.max_bytes && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&id));
        fits.then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> UserRule {
        let user =
            definition::User { prefix: "app_".to_owned(), pattern: Some("[a-z0-9_]+".to_owned()), max_bytes: Some(12) };
        UserRule::compile(&user).expect("compiles")
    }

    #[test]
    fn ids_that_do_not_fit_are_refused_never_folded() {
        assert_eq!(rule().id("alice").as_deref(), Some("app_alice"));
        for subject in ["Alice", "a b", "alice\n", "alicealice", "ä"] {
            assert_eq!(rule().id(subject), None, "{subject}");
        }
    }

    proptest::proptest! {
        /// T-15: different subjects have different ids.
        #[test]
        fn mapping_is_injective(a in "[a-zA-Z0-9_]{1,6}", b in "[a-zA-Z0-9_]{1,6}") {
            let (x, y) = (rule().id(&a), rule().id(&b));
            proptest::prop_assert!(a == b || x.is_none() || x != y);
        }
    }
}
