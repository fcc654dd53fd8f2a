//! NATS keys: an Ed25519 seed as text with its kind and a check sum (the NKEYS notation).
//!
//! A seed is the base32 text of two bytes with the kind, the 32 bytes of the seed and a CRC-16; a public key has one byte
//! for the kind. The crate for it brings a second Ed25519, so the notation alone is here.

use data_encoding::BASE32_NOPAD as BASE32;

use super::KeyError;
use crate::secrets::Secret;

/// First five bits of every seed: the letter `S`.
const SEED: u8 = 18 << 3;
/// Kind of a user's key, `U`.
pub(in crate::provider) const USER: u8 = 20 << 3;
/// Kinds of keys that sign tokens: account `A`, user `U`, operator `O`.
const KINDS: [u8; 3] = [0, USER, 14 << 3];

/// A seed and its kind.
pub(super) struct Nkey {
    /// Kind, as public keys begin with it.
    pub(super) kind: u8,
    /// 32 bytes.
    pub(super) seed: Secret,
}

impl Nkey {
    /// Reads a seed.
    pub(super) fn read(secret: &Secret) -> Result<Self, KeyError> {
        let raw = BASE32
            .decode(secret.expose().trim_ascii())
            .map_err(|_error| KeyError::new("is not an NKey seed: a letter or the length is wrong"))?;
        let (body, sum) = raw.split_last_chunk::<2>().ok_or_else(|| KeyError::new("is not an NKey seed: too short"))?;
        if crc16(body) != u16::from_le_bytes(*sum) {
            return Err(KeyError::new("is not an NKey seed: its check sum does not fit"));
        }
        // Five bits say that it is a seed, the next five are the upper ones of the kind, whose lower three are zero.
        let ([first, second], seed) = body.split_first_chunk::<2>().ok_or_else(|| KeyError::new("is too short"))?;
        if first & 0xf8 != SEED {
            return Err(KeyError::new("is an NKey, but not a seed; seeds begin with \"S\""));
        }
        let kind = (first & 7) << 5 | (second & 0xf8) >> 3;
        if !KINDS.contains(&kind) || seed.len() != 32 {
            return Err(KeyError::new("is not the seed of an account, user or operator: SA…, SU… or SO…"));
        }
        Ok(Self { kind, seed: Secret::new(seed.to_vec()) })
    }
}

/// The text of a public key.
pub(in crate::provider) fn public(kind: u8, key: &[u8]) -> String {
    let mut raw = vec![kind];
    raw.extend_from_slice(key);
    let sum = crc16(&raw);
    raw.extend_from_slice(&sum.to_le_bytes());
    BASE32.encode(&raw)
}

/// CRC-16/XMODEM: polynomial 0x1021, from zero, bits in order.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte) << 8, |sum, _| if sum & 0x8000 == 0 { sum << 1 } else { sum << 1 ^ 0x1021 })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Nkey, KeyError> {
        Nkey::read(&Secret::new(text.as_bytes().to_vec()))
    }

    /// What NATS' own tools write.
    fn write(kind: u8, seed: &[u8]) -> String {
        let mut raw = vec![SEED | kind >> 5, (kind & 31) << 3];
        raw.extend_from_slice(seed);
        let sum = crc16(&raw);
        raw.extend_from_slice(&sum.to_le_bytes());
        BASE32.encode(&raw)
    }

    #[test]
    fn the_check_sum_is_that_of_xmodem() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn what_is_no_seed_to_sign_with_is_told() {
        let public_key = public(0, &[7; 32]);
        for (text, problem) in [
            ("", "is not an NKey seed: too short"),
            ("SA1", "is not an NKey seed: a letter or the length is wrong"),
            ("SAAAAAAA", "is not an NKey seed: its check sum does not fit"),
            (&public_key, "is an NKey, but not a seed; seeds begin with \"S\""),
            (&write(23 << 3, &[7; 32]), "is not the seed of an account, user or operator: SA…, SU… or SO…"),
            (&write(0, &[7; 31]), "is not the seed of an account, user or operator: SA…, SU… or SO…"),
        ] {
            assert_eq!(read(text).err().map(|error| error.to_string()).as_deref(), Some(problem), "{text}");
        }
    }

    proptest! {
        #[test]
        fn seeds_lead_back_and_a_wrong_letter_is_found(seed in any::<[u8; 32]>(), at in 0..58_usize, letter in 0..32_u8) {
            for (kind, begin) in KINDS.into_iter().zip(["SA", "SU", "SO"]) {
                let text = write(kind, &seed);
                prop_assert!(text.starts_with(begin));
                let nkey = read(&text).expect("a seed");
                prop_assert_eq!((nkey.kind, nkey.seed.expose()), (kind, &seed[..]));
                let mut wrong = text.clone().into_bytes();
                wrong[at] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[usize::from(letter)];
                if wrong != text.as_bytes() {
                    prop_assert!(Nkey::read(&Secret::new(wrong)).is_err());
                }
            }
        }
    }
}
