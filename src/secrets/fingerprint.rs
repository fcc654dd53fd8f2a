//! Short names for long or secret things: the same in every process that is configured alike.

use aws_lc_rs::hmac::{self, HMAC_SHA256};

/// What is named; no name of one kind is one of another.
const LABEL: &[u8] = b"sidemint fingerprint 1";

/// A name of eight bytes. It is compared and never shown; it does not tell what it was made of.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 8]);

/// A weak secret could be guessed from the name of it.
impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprint(…)")
    }
}

impl Fingerprint {
    /// The name of these parts, in this order.
    pub fn of<B: AsRef<[u8]>>(parts: impl IntoIterator<Item = B>) -> Self {
        let mut context = hmac::Context::with_key(&hmac::Key::new(HMAC_SHA256, LABEL));
        framed(parts, |bytes| context.update(bytes));
        let digest = context.sign();
        Self(digest.as_ref().first_chunk().copied().unwrap_or_default())
    }
}

/// Gives each part to `take` behind its length, so that no two lists of parts are the same bytes.
pub fn framed<B: AsRef<[u8]>>(parts: impl IntoIterator<Item = B>, mut take: impl FnMut(&[u8])) {
    for part in parts {
        let part = part.as_ref();
        take(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        take(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_depends_on_each_part_and_where_it_ends() {
        let names = [&[&b"ab"[..], b"c"][..], &[b"a", b"bc"], &[b"abc"], &[b"c", b"ab"], &[b"ab", b"c", b""]]
            .map(|parts| Fingerprint::of(parts.iter().copied()));
        for (n, name) in names.iter().enumerate() {
            assert!(names.iter().skip(n + 1).all(|other| other != name), "{n}");
        }
        assert_eq!(names[0], Fingerprint::of([&b"ab"[..], b"c"]), "the same in every process");
    }
}
