//! Rules for the values of parameters: what is an id, and what is an attempt to be more than one.

use regex_lite::Regex;

/// Characters of a value at most, where no pattern says otherwise.
const MAX_CHARS: usize = 256;

/// What the value of a parameter must be.
#[derive(Clone, Debug)]
pub(in crate::gateway) enum ValueRule {
    /// What ids usually are.
    Usual,
    /// What this matches from the first character to the last.
    Own(Regex),
}

impl ValueRule {
    /// Whether `text` may stand in a path.
    pub(in crate::gateway) fn fits_segment(&self, text: &str) -> bool {
        match self {
            Self::Usual => {
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.~@:!$&'()*+,=-".contains(&byte);
                (1..=MAX_CHARS).contains(&text.len()) && text.bytes().all(fits)
            }
            Self::Own(pattern) => pattern.is_match(text),
        }
    }

    /// Whether `text` may stand in a query or a body. Ids there are in other alphabets too; what would climb in a path of the
    /// provider's own is no id.
    pub(in crate::gateway) fn fits_value(&self, text: &str) -> bool {
        match self {
            Self::Usual => {
                let is_odd = |c: char| matches!(c, '/' | '\\') || c.is_control();
                let is_id = !matches!(text, "" | "." | "..") && !text.chars().any(is_odd); // G-03: ids of bodies
                is_id && text.chars().count() <= MAX_CHARS
            }
            Self::Own(pattern) => pattern.is_match(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G-03.
    #[test]
    fn an_id_does_not_climb() {
        let own = ValueRule::Own(crate::definition::whole("[0-9]{1,3}").expect("a pattern"));
        for (text, segment, value, digits) in [
            ("alice", true, true, false),
            ("@a:b", true, true, false),
            ("12", true, true, true),
            ("12\n", false, false, false),
            ("a b", false, true, false),
            ("J\u{f6}rg", false, true, false),
            ("a;b", false, true, false),
            ("50%", false, true, false),
            ("a/b", false, false, false),
            ("a\\b", false, false, false),
            ("", false, false, false),
            ("..", true, false, false),
            (".", true, false, false),
        ] {
            let rules = (ValueRule::Usual.fits_segment(text), ValueRule::Usual.fits_value(text), own.fits_value(text));
            assert_eq!(rules, (segment, value, digits), "{text:?}");
            assert_eq!(own.fits_segment(text), digits, "{text:?}");
        }
        let (long, longer) = ("a".repeat(256), "a".repeat(257));
        assert!(ValueRule::Usual.fits_segment(&long) && ValueRule::Usual.fits_value(&long));
        assert!(!ValueRule::Usual.fits_segment(&longer) && !ValueRule::Usual.fits_value(&longer));
    }
}
