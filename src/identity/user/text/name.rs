//! Names to show to people.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

use super::look::Look;
use super::{hidden, placeholder};

/// Characters of a display name at most.
const MAX_CHARS: usize = 128;

/// A display name: for people only, so it is cleaned where a subject would be refused. `None` when nothing is left.
pub(in crate::identity) fn display_name(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim_ascii();
    let look = Look::at(text.as_bytes());
    let has_gap = look.has(Look::SPACE) && text.as_bytes().windows(2).any(|pair| pair == b"  ");
    let name = if !look.has(Look::UNPRINTABLE) && !has_gap && text.len() <= MAX_CHARS {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(clean(text))
    };
    let is_placeholder = look.has(Look::MARK) && placeholder::is_placeholder(&name);
    (!name.is_empty() && !is_placeholder).then_some(name)
}

fn clean(text: &str) -> String {
    if !hidden::hides_something(text) {
        return tidy(text);
    }
    let mut name = seen(text.nfc());
    // What was cut off, or taken out, may be what a hidden character belonged to.
    while hidden::hides_something(&name) {
        let again = seen(name.chars());
        if again == name {
            break;
        }
        name = again;
    }
    name
}

fn seen(text: impl Iterator<Item = char>) -> String {
    tidy(&hidden::without_hidden(&text.collect::<Vec<char>>()))
}

/// In the usual form, with single blanks, and not too long.
fn tidy(text: &str) -> String {
    let visible = text.nfc().map(|c| if c.is_control() || hidden::is_blank(c) { ' ' } else { c });
    let visible: String = visible.collect();
    let mut name = String::with_capacity(visible.len());
    for word in visible.split_whitespace() {
        if !name.is_empty() {
            name.push(' ');
        }
        name.push_str(word);
    }
    match name.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => name.get(..end).unwrap_or_default().trim_end().to_owned(),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned() {
        for (sent, shown) in [
            ("Alice", Some("Alice")),
            ("  Jane   Doe ", Some("Jane Doe")),
            ("Zoe\u{0308}", Some("Zoë")),
            ("a\r\nb", Some("a b")),
            ("Jane\u{a0}Doe\u{2028}", Some("Jane Doe")),
            ("Jane\u{2800}Doe", Some("Jane Doe")),
            ("\u{202E}evil\u{200B}", Some("evil")),
            ("al\u{115F}i\u{17B4}c\u{1BCA0}e\u{3164}", Some("alice")),
            ("e\u{200B}\u{301}", Some("é")),
            ("Zoe ❤\u{FE0F}", Some("Zoe ❤\u{FE0F}")),
            ("Jane {she/her} Doe", Some("Jane {she/her} Doe")),
            ("{name}", None),
            ("{first}  {last}", None),
            ("\u{200B}", None),
            ("\u{2800}\u{3164}", None),
            (" ", None),
        ] {
            assert_eq!(display_name(sent).as_deref(), shown, "{sent:?}");
        }
        let long = "ä".repeat(500);
        assert_eq!(display_name(&long).map(|name| name.chars().count()), Some(MAX_CHARS));
    }

    /// Hidden characters do not use up the room, and none stays behind where its neighbour was cut off.
    #[test]
    fn what_is_cut_off_takes_its_hidden_characters_along() {
        let padded = format!("a{}b", "\u{200B}".repeat(500));
        assert_eq!(display_name(&padded).as_deref(), Some("ab"));
        let cut = format!("{}👩\u{200D}👧", "a".repeat(126));
        assert_eq!(display_name(&cut), Some(Cow::Owned(format!("{}👩", "a".repeat(126)))));
    }

    proptest::proptest! {
        /// Cleaned once, clean for ever, whatever hides in it.
        #[test]
        fn a_clean_name_is_left_alone(text in "[ae1 {}$%क\u{93c}\u{94d}\u{301}لی👩❤🏴\u{20e3}葛ᠨᠠ\u{34f}\u{180b}\u{180e}\u{200b}-\u{200d}\u{2028}\u{2800}\u{fe00}\u{fe0e}\u{fe0f}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}\u{e0100}]{0,24}") {
            if let Some(name) = display_name(&text) {
                proptest::prop_assert_eq!(display_name(&name), Some(Cow::Borrowed(&*name)));
            }
        }
    }
}
