//! Masks what an answer repeats of the credential, however the answer is cut into pieces.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::needles::Needles;

/// Masks a body piece by piece. What may be the beginning of something is held until the next piece shows whether it is:
/// less than the longest spelling, and nothing where nothing has begun.
#[derive(Debug)]
pub struct Scrubber {
    needles: Arc<Needles>,
    /// What has begun, as it came.
    held: BytesMut,
    /// How many bytes of it belong to what began before it.
    masked: usize,
    count: u64,
}

impl Scrubber {
    /// One for a body.
    pub fn new(needles: Arc<Needles>) -> Self {
        Self { needles, held: BytesMut::new(), masked: 0, count: 0 }
    }

    /// How many passages were masked so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes the next piece, and gives what is decided: with the last one, everything.
    pub fn push(&mut self, piece: Bytes, is_last: bool) -> Bytes {
        if self.needles.is_empty() {
            return piece;
        }
        let whole = if self.held.is_empty() {
            piece
        } else {
            self.held.extend_from_slice(&piece);
            self.held.split().freeze()
        };
        let decided = if is_last { whole.len() } else { self.needles.begun(&whole) }; // G-12: pieces
        self.give(whole, decided)
    }

    /// Gives the first `decided` bytes of what came, masked, and holds the others.
    fn give(&mut self, whole: Bytes, decided: usize) -> Bytes {
        let found = self.needles.found(&whole);
        let before = std::mem::take(&mut self.masked);
        self.held.extend_from_slice(whole.get(decided..).unwrap_or_default());
        if found.is_empty() && before == 0 {
            return whole.slice(..decided);
        }
        let mut given = BytesMut::from(whole.get(..decided).unwrap_or_default());
        self.masked = before.saturating_sub(decided);
        mask(&mut given, 0, before);
        for (start, end) in found {
            // What begins in the held part is found again with it.
            if start < decided {
                self.count += 1;
                self.masked = self.masked.max(end.saturating_sub(decided));
                mask(&mut given, start, end);
            }
        }
        given.freeze()
    }
}

fn mask(text: &mut BytesMut, start: usize, end: usize) {
    let end = end.min(text.len());
    // G-12: masked bytes
    text.get_mut(start..end).unwrap_or_default().fill(b'*');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn in_pieces(needles: &Arc<Needles>, pieces: &[&[u8]]) -> (Vec<u8>, u64) {
        let mut scrubber = Scrubber::new(Arc::clone(needles));
        let mut given = Vec::new();
        for piece in pieces {
            given.extend_from_slice(&scrubber.push(Bytes::copy_from_slice(piece), false));
            assert!(scrubber.held() < 64, "bounded");
        }
        given.extend_from_slice(&scrubber.push(Bytes::new(), true));
        (given, scrubber.count())
    }

    /// G-12.
    #[test]
    fn what_lies_across_pieces_is_masked_and_nothing_else_waits() {
        let needles = Arc::new(Needles::new([&b"topsecret"[..]]));
        let mut scrubber = Scrubber::new(Arc::clone(&needles));
        assert_eq!(scrubber.push(Bytes::from_static(b"data: hello\n\n"), false), "data: hello\n\n");
        assert_eq!(scrubber.push(Bytes::from_static(b"my tops"), false), "my ");
        assert_eq!(scrubber.push(Bytes::from_static(b"ecret!"), false), "*********!");
        assert_eq!(scrubber.push(Bytes::from_static(b"tops"), false), "");
        assert_eq!(scrubber.push(Bytes::new(), true), "tops");
        assert_eq!(scrubber.count(), 1);
    }

    proptest! {
        /// G-12: any chunking gives what one piece gives, and that is what the masked whole is.
        #[test]
        fn any_pieces_are_as_one(
            secrets in proptest::collection::vec("[ab]{8,12}", 1..4),
            text in "[ab]{0,80}",
            cuts in proptest::collection::vec(0_usize..80, 0..12),
        ) {
            let needles = Arc::new(Needles::new(secrets.iter().map(String::as_bytes)));
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
            let (whole, count) = needles.mask(text.as_bytes()).unwrap_or((text.as_bytes().to_vec(), 0));
            prop_assert_eq!(in_pieces(&needles, &pieces), (whole, count));
        }
    }
}
