//! Forms (`application/x-www-form-urlencoded`), which queries are as well.

use std::borrow::Cow;

use super::percent;

/// The pairs of a form in the order sent, each name as often as it came. A part without `=` has an empty value; an empty
/// part says nothing. `None` where a name or a value is not percent-encoded UTF-8.
pub fn pairs(form: &[u8]) -> Option<Vec<(String, String)>> {
    let pair = |part: &[u8]| {
        let at = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
        let (name, value) = part.split_at_checked(at)?;
        Some((text(name)?, text(value.get(1..).unwrap_or_default())?))
    };
    form.split(|byte| *byte == b'&').filter(|part| !part.is_empty()).map(pair).collect()
}

/// A name or a value, in which `+` is a blank.
fn text(encoded: &[u8]) -> Option<String> {
    let spaced = |byte: &u8| if *byte == b'+' { b' ' } else { *byte }; // fuzzing: plus is a space
    let encoded: Cow<'_, [u8]> =
        if encoded.contains(&b'+') { encoded.iter().map(spaced).collect() } else { Cow::Borrowed(encoded) };
    percent::decode(&encoded).map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn pairs_are_decoded_once() {
        for (form, expected) in [
            ("", &[][..]),
            ("&&", &[]),
            ("room=lobby", &[("room", "lobby")]),
            ("a=1&b=2&a=3", &[("a", "1"), ("b", "2"), ("a", "3")]),
            ("room", &[("room", "")]),
            ("=", &[("", "")]),
            ("a=b=c", &[("a", "b=c")]),
            ("a+b=c+d%2B", &[("a b", "c d+")]),
            ("%72oom=l%6Fbby", &[("room", "lobby")]),
            ("a=%2541", &[("a", "%41")]),
            ("a=%26b%3D1", &[("a", "&b=1")]),
            ("a=%C3%A4", &[("a", "ä")]),
            ("a=ä", &[("a", "ä")]),
            ("a=%00", &[("a", "\0")]),
            ("a=1;b=2", &[("a", "1;b=2")]),
        ] {
            assert_eq!(pairs(form.as_bytes()), Some(owned(expected)), "{form}");
        }
        for form in ["%", "a=%", "a=%4", "a=%4&b=1", "a=%zz", "a=%+1", "a=%ff", "%c3=x", "a=%C3%28", "a=%ä", "a=%%20"]
        {
            assert_eq!(pairs(form.as_bytes()), None, "{form}");
        }
        assert_eq!(pairs(b"a=\xff"), None);
    }

    proptest::proptest! {
        /// What is encoded as forms are is read as it was, and no bytes make the reader panic.
        #[test]
        fn pairs_survive_encoding(
            given in proptest::collection::vec((".{0,6}", ".{0,6}"), 0..4),
            garbage in "[%a-f0-9&=+ä]{0,12}",
        ) {
            let mut encoded = url::form_urlencoded::Serializer::new(String::new());
            encoded.extend_pairs(&given);
            proptest::prop_assert_eq!(pairs(encoded.finish().as_bytes()), Some(given));
            let _maybe = pairs(garbage.as_bytes());
        }
    }
}
