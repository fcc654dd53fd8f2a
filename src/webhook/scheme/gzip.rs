//! Bodies that are packed with gzip: unpacked once, and to a cap.

use std::io::Read as _;

use bytes::Bytes;
use flate2::bufread::GzDecoder;

use crate::webhook::refusal::{Reason, Refusal};

/// The first two bytes of what is packed.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Members of a body at most. Each has a state of tens of KiB, and senders write one.
const MOST_MEMBERS: usize = 16;

/// What `body` unpacks to; itself where it is not packed. Several members one behind the other are one body, and zeros may
/// follow; anything else behind them is refused, since it would be delivered by none and signed by none.
pub(super) fn unpack(body: Bytes, most: usize) -> Result<Bytes, Refusal> {
    if !body.starts_with(&MAGIC) {
        return Ok(body);
    }
    let mut unpacked = Vec::new();
    let mut packed: &[u8] = &body;
    let mut members = 0;
    while packed.iter().any(|byte| *byte != 0) {
        members += 1;
        // W-10: number of members
        if members > MOST_MEMBERS {
            return Err(Reason::BadBody.into());
        }
        let left = u64::try_from(most.saturating_sub(unpacked.len())).unwrap_or(u64::MAX);
        let mut member = GzDecoder::new(packed);
        let read = member.by_ref().take(left.saturating_add(1)).read_to_end(&mut unpacked);
        read.map_err(|_broken| Reason::BadBody)?;
        // W-10: cap of what is unpacked
        if unpacked.len() > most {
            return Err(Refusal::TooLarge);
        }
        packed = member.into_inner();
    }
    Ok(unpacked.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("packed");
        encoder.finish().expect("packed")
    }

    fn unpacked(bytes: Vec<u8>, most: usize) -> Result<Vec<u8>, Refusal> {
        unpack(bytes.into(), most).map(|body| body.to_vec())
    }

    #[test]
    fn what_is_packed_is_unpacked_once() {
        assert_eq!(unpacked(b"{}".to_vec(), 2), Ok(b"{}".to_vec()));
        assert_eq!(unpacked(pack(b"{}"), 2), Ok(b"{}".to_vec()));
        assert_eq!(unpacked(pack(b""), 0), Ok(Vec::new()));
        assert_eq!(unpacked([pack(b"{"), pack(b"}")].concat(), 2), Ok(b"{}".to_vec()));
        assert_eq!(unpacked([pack(b"{}"), vec![0; 9]].concat(), 2), Ok(b"{}".to_vec()));
        let nested = pack(&pack(b"{}"));
        assert_eq!(unpacked(nested, 100), Ok(pack(b"{}")));
    }

    /// W-10: a bomb costs as much memory as an honest body of the largest size.
    #[test]
    fn bombs_and_broken_bodies_are_refused() {
        let bomb = pack(&vec![0; 10_000_000]);
        assert!(bomb.len() < 20_000);
        assert_eq!(unpacked(bomb.clone(), 1_000_000), Err(Refusal::TooLarge));
        assert_eq!(unpacked([bomb.clone(), bomb].concat(), 10_000_000), Err(Refusal::TooLarge));
        assert_eq!(unpacked(pack(b"abc"), 2), Err(Refusal::TooLarge));
        let whole = pack(b"hello");
        for end in 2..whole.len() {
            assert_eq!(unpacked(whole[..end].to_vec(), 100), Err(Reason::BadBody.into()), "{end}");
        }
        let mut wrong = whole.clone();
        wrong[whole.len() - 6] ^= 1;
        assert_eq!(unpacked(wrong, 100), Err(Reason::BadBody.into()), "its own sum does not fit");
        assert_eq!(unpacked([&whole[..], b"{}"].concat(), 100), Err(Reason::BadBody.into()));
        let members = |count: usize| unpacked(pack(b"").repeat(count), 100);
        assert_eq!((members(16), members(17)), (Ok(Vec::new()), Err(Reason::BadBody.into())));
    }
}
