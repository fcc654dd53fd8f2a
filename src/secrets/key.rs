//! A key of 32 bytes, as it stands in a file.

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};

use super::Secret;

/// Bytes of a key.
const KEY_BYTES: usize = 32;

impl Secret {
    /// The 32 bytes that it is as base64 or hex.
    pub fn decode_key(&self) -> Option<Self> {
        let text = self.expose().trim_ascii();
        let decoded = [BASE64.decode(text).ok(), HEXLOWER_PERMISSIVE.decode(text).ok()];
        decoded.into_iter().flatten().find(|bytes| bytes.len() == KEY_BYTES).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_bytes_of_base64_or_hex() {
        let decoded = |text: &str| Secret::new(text.as_bytes().to_vec()).decode_key();
        for bad in ["", "short", &BASE64.encode(&[7; 31]), &BASE64.encode(&[7; 33]), &"07".repeat(33)] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
        let key = Some(Secret::new(vec![7; 32]));
        assert_eq!((decoded(&format!("{}\n", "07".repeat(32))), decoded(&BASE64.encode(&[7; 32]))), (key.clone(), key));
    }
}
