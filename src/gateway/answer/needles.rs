//! What an answer must not repeat: what the call carried, in every spelling that an answer would have it in.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use memchr::memmem::Finder;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Shorter ones are found everywhere, and are no secrets. By so many bytes each spelling is found, and then compared: a search for
/// all of a long one takes longer to prepare than most answers take to be searched, and what is made for one call is prepared
/// for it.
const LEAST_BYTES: usize = 8;
/// What most encoders leave as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What is looked for.
#[derive(Default)]
pub struct Needles {
    spellings: Vec<Spelling>,
    longest: usize,
    /// The bytes that one begins with, each once.
    firsts: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Text {
    bytes: Vec<u8>,
    /// Whether the character behind it holds bits of the secret as well.
    has_rest: bool,
}

struct Spelling {
    text: Text,
    prefix: Finder<'static>,
}

impl fmt::Debug for Needles {
    /// They are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Needles").field("count", &self.spellings.len()).finish_non_exhaustive()
    }
}

impl Needles {
    /// These secrets in all their spellings: as they are, percent-encoded, in JSON, and in base64 of either alphabet at each of
    /// the three places where they may begin in a longer text. Those shorter than 8 bytes are left out.
    pub fn new(secrets: impl IntoIterator<Item: AsRef<[u8]>>) -> Self {
        let mut texts = Vec::new();
        for secret in secrets {
            let secret = secret.as_ref();
            if secret.len() < LEAST_BYTES {
                continue;
            }
            texts.push(Text::from(secret.to_vec()));
            // The others are spelled the same in an address and in JSON.
            if !secret.iter().copied().all(is_unreserved)
                && let Ok(text) = std::str::from_utf8(secret)
            {
                let percent = utf8_percent_encode(text, ENCODED).to_string();
                texts.extend([lower_escapes(&percent).into_bytes(), percent.into_bytes()].map(Text::from));
                texts.extend(in_json(text).map(Text::from));
            }
            add_base64(secret, &mut texts);
        }
        texts.sort_unstable();
        texts.dedup();
        texts.retain(|text| text.bytes.len() >= LEAST_BYTES);
        let longest = texts.iter().map(|text| text.bytes.len()).max().unwrap_or(0);
        let mut firsts: Vec<u8> = texts.iter().filter_map(|text| text.bytes.first().copied()).collect();
        firsts.dedup();
        Self { spellings: texts.into_iter().map(Spelling::from).collect(), longest, firsts }
    }

    /// Whether nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.spellings.is_empty()
    }

    /// Every place in `text` where one begins, with its end, in no order. Those that overlap are told as well. An end may lie
    /// one byte behind that of `text`.
    pub(super) fn found(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for Spelling { text: own, prefix } in &self.spellings {
            let mut from = 0;
            while let Some(at) = text.get(from..).and_then(|rest| prefix.find(rest)) {
                let start = from + at;
                if text.get(start..).is_some_and(|rest| rest.starts_with(&own.bytes)) {
                    found.push((start, start + own.bytes.len() + usize::from(own.has_rest)));
                }
                from = start + 1;
            }
        }
        found
    }

    /// Where the longest end of `text` begins that one could begin with, without being all of it.
    pub(super) fn begun(&self, text: &[u8]) -> usize {
        // A whole one is found, so what has begun is shorter than the longest.
        let start = text.len().saturating_sub(self.longest.saturating_sub(1));
        let could_be = |end: &[u8]| {
            let mut texts = self.spellings.iter().map(|spelling| &spelling.text.bytes);
            texts.any(|own| own.len() > end.len() && own.starts_with(end))
        };
        let end = text.get(start..).unwrap_or_default();
        let begins =
            |(at, first): (usize, &u8)| self.firsts.contains(first) && could_be(end.get(at..).unwrap_or_default());
        end.iter().enumerate().position(begins).map_or(text.len(), |at| start + at)
    }

    /// `text` with each byte of what is found as `*`, and how many there are. `None` where there is none.
    pub fn mask(&self, text: &[u8]) -> Option<(Vec<u8>, u64)> {
        let found = self.found(text);
        if found.is_empty() {
            return None;
        }
        let mut masked = text.to_vec();
        for (start, end) in &found {
            masked.get_mut(*start..*end.min(&text.len())).unwrap_or_default().fill(b'*');
        }
        Some((masked, u64::try_from(found.len()).unwrap_or(u64::MAX)))
    }
}

/// The same with lower-case digits in its escapes.
fn lower_escapes(percent: &str) -> String {
    let mut escapes = 0;
    let lower = |c: char| {
        escapes = if c == '%' { 2 } else { usize::saturating_sub(escapes, 1) };
        if escapes > 0 || c == '%' { c.to_ascii_lowercase() } else { c }
    };
    percent.chars().map(lower).collect()
}

/// As strings of JSON, which escape as little as they must, slashes as well, or everything beyond ASCII as well.
fn in_json(text: &str) -> [Vec<u8>; 3] {
    let quoted = serde_json::Value::from(text).to_string();
    let plain = quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned();
    let ascii = plain.chars().fold(String::new(), |mut ascii, c| {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            let mut units = [0; 2];
            ascii.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
        ascii
    });
    [plain.replace('/', "\\/"), ascii, plain].map(String::into_bytes)
}

/// The characters that stand for nothing but the secret, wherever it begins within three bytes. The last character may hold
/// bits of what follows.
fn add_base64(secret: &[u8], texts: &mut Vec<Text>) {
    for (before, skipped) in [(0_usize, 0_usize), (1, 2), (2, 3)] {
        let mut padded = Vec::with_capacity(before + secret.len());
        padded.resize(before, 0);
        padded.extend_from_slice(secret);
        let (whole, rest) = (padded.len() * 8 / 6, padded.len() * 8 % 6);
        let text = STANDARD_NO_PAD.encode(&padded);
        let text = text.as_bytes().get(skipped..whole).unwrap_or_default();
        let url_safe = |byte: &u8| match byte {
            b'+' => b'-',
            b'/' => b'_',
            byte => *byte,
        };
        let both = [text.iter().map(url_safe).collect(), text.to_vec()];
        texts.extend(both.map(|bytes| Text { bytes, has_rest: rest > 0 }));
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, has_rest: false }
    }
}

impl From<Text> for Spelling {
    fn from(text: Text) -> Self {
        let prefix = text.bytes.get(..LEAST_BYTES).unwrap_or(&text.bytes);
        Self { prefix: Finder::new(prefix).into_owned(), text }
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    const SECRET: &str = "s3cr\u{e9}t/+\"key\"?&0123";

    fn is_masked(text: &str) -> bool {
        Needles::new([SECRET.as_bytes()]).mask(text.as_bytes()).is_some()
    }

    /// G-12: whoever echoes a credential may spell it as the place wants it.
    #[test]
    fn every_spelling_is_found() {
        let percent = utf8_percent_encode(SECRET, NON_ALPHANUMERIC).to_string();
        let json = serde_json::Value::from(SECRET).to_string();
        for text in [
            SECRET.to_owned(),
            url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect(),
            percent.clone(),
            lower_escapes(&percent),
            json.clone(),
            json.replace('/', "\\/"),
            json.replace('\u{e9}', "\\u00e9"),
        ] {
            assert!(is_masked(&format!("before {text} behind")), "{text}");
        }
        for before in ["", "a", "ab", "abc", "user:"] {
            for behind in ["", "z", "zy", "zyx"] {
                let text = format!("{before}{SECRET}{behind}");
                assert!(is_masked(&STANDARD_NO_PAD.encode(&text)), "{text}");
                assert!(is_masked(&URL_SAFE_NO_PAD.encode(&text)), "{text}");
            }
        }
    }

    /// G-12: the last character of base64 may hold but two bits of the secret.
    #[test]
    fn no_bit_of_base64_is_left() {
        for secret in ["topsecret", "topsecret1", "topsecret12"] {
            let text = STANDARD_NO_PAD.encode(secret);
            let (masked, count) = Needles::new([secret]).mask(text.as_bytes()).expect("it is found");
            assert_eq!((masked, count), (vec![b'*'; text.len()], 1), "{secret}");
        }
    }

    /// G-12: what begins like another secret is none.
    #[test]
    fn all_of_a_long_one_must_be_there() {
        let secret = "a-long-header-and-then-what-differs";
        let needles = Needles::new([secret]);
        assert_eq!(needles.mask(b"a-long-header-and-then-what-is-else"), None);
        assert!(needles.mask(format!("a-long-header-and-{secret}").as_bytes()).is_some());
    }

    #[test]
    fn what_is_short_is_no_secret() {
        assert!(Needles::new([&b"1234567"[..]]).is_empty());
        assert!(!Needles::new([&b"12345678"[..]]).is_empty());
    }

    #[test]
    fn each_byte_becomes_an_asterisk() {
        let needles = Needles::new([&b"abcdefgh"[..], b"efghijkl"]);
        assert_eq!(needles.mask(b"x abcdefghijkl y"), Some((b"x ************ y".to_vec(), 2)));
        assert_eq!(needles.mask(b"abcdefg"), None);
    }
}
