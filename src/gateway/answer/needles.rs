//! What an answer must not repeat: what the call carried, in every spelling that an answer would have it in.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem::Finder;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Shorter ones are found everywhere, and are no secrets.
const LEAST_BYTES: usize = 8;
/// What most encoders leave as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What is looked for.
#[derive(Default)]
pub struct Needles {
    finders: Vec<Finder<'static>>,
    longest: usize,
    /// The bytes that one begins with, each once.
    firsts: Vec<u8>,
}

impl fmt::Debug for Needles {
    /// They are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Needles").field("count", &self.finders.len()).finish_non_exhaustive()
    }
}

impl Needles {
    /// These secrets in all their spellings: as they are, percent-encoded, in JSON, and in base64 of either alphabet at each of
    /// the three places where they may begin in a longer text. Those shorter than 8 bytes are left out.
    pub fn new(secrets: impl IntoIterator<Item: AsRef<[u8]>>) -> Self {
        let mut spellings: Vec<Vec<u8>> = Vec::new();
        for secret in secrets {
            let secret = secret.as_ref();
            if secret.len() < LEAST_BYTES {
                continue;
            }
            spellings.push(secret.to_vec());
            if let Ok(text) = std::str::from_utf8(secret) {
                let percent = utf8_percent_encode(text, ENCODED).to_string();
                spellings.push(lower_escapes(&percent).into_bytes());
                spellings.push(percent.into_bytes());
                spellings.extend(in_json(text));
            }
            spellings.extend(in_base64(secret));
        }
        spellings.sort_unstable();
        spellings.dedup();
        spellings.retain(|spelling| spelling.len() >= LEAST_BYTES);
        let longest = spellings.iter().map(Vec::len).max().unwrap_or(0);
        let mut firsts: Vec<u8> = spellings.iter().filter_map(|spelling| spelling.first().copied()).collect();
        firsts.dedup();
        let finders = spellings.iter().map(|spelling| Finder::new(spelling).into_owned()).collect();
        Self { finders, longest, firsts }
    }

    /// Whether nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.finders.is_empty()
    }

    /// Every place in `text` where one begins, with its end, in no order. Those that overlap are told as well.
    pub(super) fn found(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for finder in &self.finders {
            let mut from = 0;
            while let Some(at) = text.get(from..).and_then(|rest| finder.find(rest)) {
                found.push((from + at, from + at + finder.needle().len()));
                from += at + 1;
            }
        }
        found
    }

    /// Where the longest end of `text` begins that one could begin with, without being all of it.
    pub(super) fn begun(&self, text: &[u8]) -> usize {
        // A whole one is found, so what has begun is shorter than the longest.
        let start = text.len().saturating_sub(self.longest.saturating_sub(1));
        let could_be = |end: &[u8]| {
            self.finders.iter().any(|finder| finder.needle().len() > end.len() && finder.needle().starts_with(end))
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
            masked.get_mut(*start..*end).unwrap_or_default().fill(b'*');
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
fn in_json(text: &str) -> Vec<Vec<u8>> {
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
    [plain.replace('/', "\\/"), ascii, plain].map(String::into_bytes).to_vec()
}

/// The characters that stand for nothing but the secret, wherever it begins within three bytes.
fn in_base64(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut spellings = Vec::new();
    for (before, skipped) in [(0_usize, 0_usize), (1, 2), (2, 3)] {
        let padded = [&vec![0; before], secret].concat();
        // The last character may hold bits of what follows.
        let whole = padded.len() * 8 / 6;
        for text in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            spellings.extend(text.as_bytes().get(skipped..whole).map(<[u8]>::to_vec));
        }
    }
    spellings
}

#[cfg(test)]
mod tests {
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
