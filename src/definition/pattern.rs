//! Regular expressions of definitions: whole texts only, and what a text that fits may hold.

use regex_lite::Regex;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

use super::Mistake;

/// A pattern that must match from the first character to the last.
pub fn whole(pattern: &str) -> Result<Regex, Mistake> {
    let wrong = |error: regex_lite::Error| format!("pattern {pattern}: {error}");
    // On its own first: `a)|(?:b` would leave the anchors.
    Regex::new(pattern).map_err(wrong)?;
    Ok(Regex::new(&format!("^(?:{pattern})$")).map_err(wrong)?)
}

/// Whether a text that matches may hold `wanted`. A pattern that cannot be looked into may hold anything.
pub fn may_hold(pattern: &str, wanted: char) -> bool {
    // Like the engine that matches: perl classes are ASCII. Bytes of a character stand for it, which errs on the safe side.
    let parsed = ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern);
    let mut bytes = [0; 4];
    let bytes = wanted.encode_utf8(&mut bytes).as_bytes();
    parsed.map_or(true, |hir| bytes.iter().any(|byte| holds(&hir, *byte)))
}

fn holds(hir: &Hir, byte: u8) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => false,
        HirKind::Literal(literal) => literal.0.contains(&byte),
        HirKind::Class(Class::Bytes(class)) => {
            class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&byte))
        }
        HirKind::Class(Class::Unicode(class)) => class
            .ranges()
            .iter()
            .any(|range| !byte.is_ascii() || (range.start()..=range.end()).contains(&char::from(byte))),
        HirKind::Repetition(repetition) => holds(&repetition.sub, byte),
        HirKind::Capture(capture) => holds(&capture.sub, byte),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(|part| holds(part, byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pattern_allows_is_seen() {
        for (pattern, wanted, may) in [
            (r"\d+\.\d+", ':', false),
            (r"\d+\.\d+", '.', true),
            (r"\d+\.\d+(:.*)?", ':', true),
            (r".+", ':', true),
            (r".+", '\n', false),
            (r"(?s).+", '\n', true),
            (r"[^:]+", ':', false),
            (r"[^:]+", '\n', true),
            (r"[\w-]{1,64}", ':', false),
            (r"(a|b:c)", ':', true),
            (r"a\nb", '\n', true),
            (r"[a-z]+$", '\n', false),
            ("(", 'x', true),
        ] {
            assert_eq!(may_hold(pattern, wanted), may, "{pattern} {wanted:?}");
        }
    }

    #[test]
    fn the_whole_text_must_match() {
        let rule = whole(r"\d+\.\d+").expect("a pattern");
        assert!(rule.is_match("1.1"));
        for text in ["1.1:private-x", "x1.1", "1.1\n", "1.1\n2.2"] {
            assert!(!rule.is_match(text), "{text:?}");
        }
        let lines = whole(r"(?m)^\d+$").expect("a pattern");
        assert!(!lines.is_match("1\n2"));
    }
}
