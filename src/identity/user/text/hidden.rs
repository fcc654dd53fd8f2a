//! Invisible characters (UAX #44: `Default_Ignorable_Code_Point`, the general categories Cf, Zl, Zp and Zs), and
//! where the spelling of a name needs one all the same (UAX #31, 2.3; UTS #51).

use icu_properties::props::{
    DefaultIgnorableCodePoint, ExtendedPictographic, GeneralCategory, GeneralCategoryGroup, JoiningType,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_normalization::char::canonical_combining_class;

/// Virama, in every script that has one (UAX #44, table 15).
const VIRAMA: u8 = 9;
/// Sub-region flags of those that fonts draw (UTS #51, RGI): England, Scotland, Wales, as tag characters.
const FLAG_TAGS: [&str; 3] = [
    "\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
    "\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F}",
    "\u{E0067}\u{E0062}\u{E0077}\u{E006C}\u{E0073}\u{E007F}",
];

/// Whether a character is shown as nothing, or as a blank that is none of ASCII. Those in use for directions and shapes
/// count, whether or not a script needs them.
pub(super) fn is_hidden(c: char) -> bool {
    is_dropped(c) || is_blank(c) || CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::Format
}

/// Blanks that are not ASCII, and the empty cells of Braille and of musical notation, which no property names.
pub(super) fn is_blank(c: char) -> bool {
    !c.is_ascii() && c.is_whitespace() || matches!(c, '\u{2800}' | '\u{1D159}')
}

/// What is taken out of a name, unless [`spelling`] says that it belongs there. Signs before Arabic numbers are formats
/// as well, and are seen.
fn is_dropped(c: char) -> bool {
    const IGNORABLE: icu_properties::CodePointSetDataBorrowed<'static> =
        CodePointSetData::new::<DefaultIgnorableCodePoint>();
    IGNORABLE.contains(c) || matches!(c, '\u{FFF9}'..='\u{FFFC}') // T-72: ignorable characters
}

/// Whether [`without_hidden`] would look at any character of this text.
pub(super) fn hides_something(text: &str) -> bool {
    text.chars().any(|c| !c.is_ascii() && is_dropped(c))
}

/// The characters that are seen, and those hidden ones that the spelling needs.
pub(super) fn without_hidden(text: &[char]) -> String {
    let mut kept: Vec<char> = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((c, after)) = rest.split_first() {
        rest = after;
        // T-72: hidden spellings
        if !is_dropped(*c) || spelling(&kept, *c, after) {
            kept.push(*c);
        } else if let Some(tags) = flag(&kept, *c, after) {
            kept.extend(tags.chars());
            rest = after.get(tags.chars().count() - 1..).unwrap_or_default();
        }
    }
    kept.into_iter().collect()
}

/// Whether the spelling of what stands around it needs this hidden character.
fn spelling(before: &[char], c: char, after: &[char]) -> bool {
    let (last, next) = (before.last().copied(), after.first().copied());
    match c {
        // Persian and Kurdish: two letters of a cursive script that are not joined. Indic: a virama that stays visible.
        '\u{200C}' => {
            let cursive = is_cursive(before.iter().rev()) && is_cursive(after.iter());
            cursive || ends_in_virama(before) && next.is_some_and(is_letter) || is_before_virama(last, next)
        }
        // Indic: half forms and conjuncts. Emoji: several that are shown as one.
        '\u{200D}' => {
            ends_in_virama(before)
                || is_before_virama(last, next)
                || ends_in_emoji(before) && next.is_some_and(is_emoji)
        }
        // A character that is shown as emoji or as text; and keys with a digit.
        '\u{FE0F}' if next == Some('\u{20E3}') && last.is_some_and(is_key) => true,
        '\u{FE0E}' | '\u{FE0F}' => last.is_some_and(is_emoji),
        // Dotted letters of Khamti and Aiton, forms of Phags-pa, and ideographs that NFC has replaced.
        '\u{FE00}' if last.is_some_and(has_standard_variant) => true,
        // Forms of ideographs, many of which are in use for names only.
        '\u{FE00}'..='\u{FE02}' | '\u{E0100}'..='\u{E01EF}' => last.is_some_and(is_ideograph),
        // Forms of Mongolian letters, and the gap before a final vowel.
        '\u{180B}'..='\u{180D}' | '\u{180F}' => last.is_some_and(is_mongolian),
        '\u{180E}' => last.is_some_and(is_mongolian) && matches!(next, Some('\u{1820}' | '\u{1821}')),
        _ => false,
    }
}

/// The tags of a flag that begin with `c`.
fn flag(before: &[char], c: char, after: &[char]) -> Option<&'static str> {
    let is_here = |tags: &&&str| tags.chars().eq([c].iter().chain(after).copied().take(tags.chars().count()));
    FLAG_TAGS.iter().find(is_here).copied().filter(|_| before.last() == Some(&'\u{1F3F4}'))
}

/// Whether the nearest letter is one that is joined to others, marks aside.
fn is_cursive<'c, I: Iterator<Item = &'c char>>(mut letters: I) -> bool {
    let joining = |c: &char| CodePointMapData::<JoiningType>::new().get(*c);
    letters.find(|c| joining(c) != JoiningType::Transparent).is_some_and(|c| {
        matches!(joining(c), JoiningType::DualJoining | JoiningType::LeftJoining | JoiningType::RightJoining)
    })
}

/// Whether a letter with a virama stands last; other marks may follow it.
fn ends_in_virama(before: &[char]) -> bool {
    let marks = before.iter().rev().take_while(|c| canonical_combining_class(**c) != 0);
    let is_there = marks.clone().any(|c| canonical_combining_class(*c) == VIRAMA);
    is_there && before.iter().rev().find(|c| !is_mark(**c)).is_some_and(|c| is_letter(*c))
}

/// Whether it keeps a letter and the virama behind it apart, as Bengali and Kannada write some conjuncts.
fn is_before_virama(last: Option<char>, next: Option<char>) -> bool {
    last.is_some_and(|c| is_letter(c) || is_mark(c) && canonical_combining_class(c) != VIRAMA)
        && next.is_some_and(|c| canonical_combining_class(c) == VIRAMA)
}

/// Whether an emoji stands last, perhaps with a tone of skin or a selector.
fn ends_in_emoji(before: &[char]) -> bool {
    let is_part = |c: &&char| matches!(**c, '\u{FE0F}' | '\u{1F3FB}'..='\u{1F3FF}');
    let base = before.iter().rev().enumerate().find(|(_, c)| !is_part(c));
    base.is_some_and(|(parts, c)| parts <= 2 && is_emoji(*c))
}

fn is_emoji(c: char) -> bool {
    const PICTOGRAPHIC: icu_properties::CodePointSetDataBorrowed<'static> =
        CodePointSetData::new::<ExtendedPictographic>();
    PICTOGRAPHIC.contains(c)
}

const fn is_key(c: char) -> bool {
    matches!(c, '0'..='9' | '#' | '*')
}

fn is_letter(c: char) -> bool {
    GeneralCategoryGroup::Letter.contains(CodePointMapData::<GeneralCategory>::new().get(c))
}

fn is_mark(c: char) -> bool {
    GeneralCategoryGroup::Mark.contains(CodePointMapData::<GeneralCategory>::new().get(c))
}

const fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFD}')
}

const fn has_standard_variant(c: char) -> bool {
    matches!(c, '\u{1000}'..='\u{109F}' | '\u{A840}'..='\u{A877}' | '\u{AA60}'..='\u{AA7F}')
}

const fn is_mongolian(c: char) -> bool {
    matches!(c, '\u{1820}'..='\u{1878}' | '\u{1880}'..='\u{18AA}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T-72: every character of the properties, none of which a font shows.
    #[test]
    fn what_the_properties_name_is_hidden() {
        for c in [
            '\u{AD}',
            '\u{34F}',
            '\u{61C}',
            '\u{115F}',
            '\u{1160}',
            '\u{17B4}',
            '\u{17B5}',
            '\u{180B}',
            '\u{180E}',
            '\u{180F}',
            '\u{200B}',
            '\u{200F}',
            '\u{2028}',
            '\u{2029}',
            '\u{202A}',
            '\u{202E}',
            '\u{202F}',
            '\u{205F}',
            '\u{2060}',
            '\u{2065}',
            '\u{206F}',
            '\u{2800}',
            '\u{3000}',
            '\u{3164}',
            '\u{FE00}',
            '\u{FE0F}',
            '\u{FEFF}',
            '\u{FFA0}',
            '\u{FFF0}',
            '\u{FFF9}',
            '\u{FFFC}',
            '\u{1BCA0}',
            '\u{1BCA3}',
            '\u{1D159}',
            '\u{1D173}',
            '\u{1D17A}',
            '\u{E0000}',
            '\u{E0001}',
            '\u{E007F}',
            '\u{E0100}',
            '\u{E01EF}',
            '\u{E0FFF}',
            '\u{A0}',
            '\u{1680}',
            '\u{2000}',
            '\u{200A}',
            '\u{600}',
            '\u{13430}',
        ] {
            assert!(is_hidden(c), "{c:?}");
        }
        for c in [' ', 'a', 'é', 'ß', 'ا', 'क', '\u{94D}', '家', '🏴', '\u{20E3}', '\u{1F3FB}', '⠁', '\u{303F}']
        {
            assert!(!is_hidden(c), "{c:?}");
        }
        // The tables themselves, against what the standard library knows of them.
        for c in (char::MIN..=char::MAX).filter(|c| c.is_whitespace() && !c.is_ascii()) {
            assert!(is_hidden(c) || c.is_control(), "{c:?}");
        }
    }

    /// Spelled so in the languages named; `|` stands where a hidden character must go.
    #[test]
    fn spelling_keeps_what_it_needs() {
        for (sent, shown) in [
            // Persian, after a letter that joins and one that does not; Sorani; Syriac.
            ("علی\u{200C}رضا", None),
            ("زهرا\u{200C}سادات", None),
            ("می\u{200C}خواهم", None),
            ("بُ\u{200C}ت", None),
            // Sinhala, Hindi, Malayalam, Bengali, Kannada, Nepali.
            ("ශ\u{DCA}\u{200D}රී", None),
            ("क\u{94D}\u{200D}ष", None),
            ("क\u{94D}\u{200C}ष", None),
            ("അവന\u{D4D}\u{200D}", None),
            ("র\u{200D}\u{9CD}যান", None),
            ("ರ\u{200D}\u{CCD}ಯ", None),
            ("र\u{94D}\u{200D}याक", None),
            // Emoji: families, flags, keys, tones of skin, as text.
            ("👩\u{200D}👩\u{200D}👧 Ana", None),
            ("🏳\u{FE0F}\u{200D}🌈", None),
            ("👩🏽\u{200D}🚀", None),
            ("🏃🏾\u{200D}♀\u{FE0F}\u{200D}➡\u{FE0F}", None),
            ("❤\u{FE0F}\u{200D}🔥", None),
            ("1\u{FE0F}\u{20E3}", None),
            ("Zoe ❤\u{FE0F}", None),
            ("☎\u{FE0E}", None),
            ("🏴\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F} Ian", None),
            // Forms of ideographs, Mongolian.
            ("葛\u{E0100}城", None),
            ("辻\u{E0101}", None),
            ("ᠨ\u{180B}ᠠ", None),
            ("ᠨ\u{180E}ᠠ", None),
            // Nothing needs them here.
            ("ad\u{200C}min", Some("admin")),
            ("ad\u{200D}min", Some("admin")),
            ("a\u{FE0F}b\u{FE0E}", Some("ab")),
            ("1\u{FE0F}2", Some("12")),
            ("علی\u{200C}", Some("علی")),
            ("\u{200C}علی", Some("علی")),
            ("علی\u{200C}\u{200C}رضا", Some("علی\u{200C}رضا")),
            ("علی\u{200D}رضا", Some("علیرضا")),
            ("👩\u{200D}Ana", Some("👩Ana")),
            ("Ana\u{200D}👩", Some("Ana👩")),
            ("👩\u{200D}\u{200D}👧", Some("👩\u{200D}👧")),
            ("❤\u{FE0F}\u{FE0F}", Some("❤\u{FE0F}")),
            ("कष\u{200D}", Some("कष")),
            ("🏴\u{E0061}\u{E0064}\u{E006D}\u{E007F}", Some("🏴")),
            ("a\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F}", Some("a")),
            ("a\u{E0100}", Some("a")),
            ("家\u{E0061}", Some("家")),
            ("a\u{180B}", Some("a")),
            ("al\u{115F}i\u{17B4}c\u{1BCA0}e\u{3164}", Some("alice")),
            ("\u{2066}a\u{2069}\u{200F}\u{61C}", Some("a")),
        ] {
            let chars: Vec<char> = sent.chars().collect();
            assert_eq!(without_hidden(&chars), shown.unwrap_or(sent), "{sent:?}");
        }
    }
}
