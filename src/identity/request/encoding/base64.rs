//! Base64, canonical: one text has one encoding (T-28), with its padding or without. Spare bits are zero.

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::Undecodable;

/// The text in base64 of the standard alphabet.
pub(super) fn standard(value: &[u8]) -> Result<String, Undecodable> {
    either(value, &STANDARD, &STANDARD_NO_PAD)
}

/// The text in base64 of the URL-safe alphabet.
pub(super) fn url_safe(value: &[u8]) -> Result<String, Undecodable> {
    either(value, &URL_SAFE, &URL_SAFE_NO_PAD)
}

/// Padding ends nothing that the header does not end, so writers differ: Envoy leaves it out unless asked, and Azure has
/// written it both ways. Half of it is a mistake.
fn either(value: &[u8], padded: &GeneralPurpose, bare: &GeneralPurpose) -> Result<String, Undecodable> {
    let engine = if value.ends_with(b"=") { padded } else { bare };
    let bytes = engine.decode(value).map_err(|_| Undecodable)?;
    String::from_utf8(bytes).map_err(|_| Undecodable)
}

/// The bytes in base64 as mail has it: the standard alphabet, padded.
pub(super) fn padded(value: &[u8]) -> Result<Vec<u8>, Undecodable> {
    STANDARD.decode(value).map_err(|_| Undecodable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{URL_SAFE as PADDED, URL_SAFE_NO_PAD as BARE};

    #[test]
    fn each_alphabet_is_its_own() {
        assert_eq!(standard(b"SsO2cmc=").as_deref(), Ok("Jörg"));
        assert_eq!(url_safe(b"SsO2cmc").as_deref(), Ok("Jörg"));
        assert_eq!(url_safe(b"SsO2cmc=").as_deref(), Ok("Jörg"));
        // «>>>?» tells the alphabets apart.
        assert_eq!(standard(b"Pj4+Pw==").as_deref(), Ok(">>>?"));
        assert_eq!(standard(b"Pj4+Pw").as_deref(), Ok(">>>?"));
        assert_eq!(padded(b"Pj4+Pw=="), Ok(b">>>?".to_vec()));
        assert_eq!(padded(b"Pj4+Pw"), Err(Undecodable));
        assert_eq!(url_safe(b"Pj4-Pw").as_deref(), Ok(">>>?"));
        for value in
            ["SsO2cmd", "SsO2cmd=", "Pj4+Pw=", "SsO2cmc==", "Pj4-Pw==", "Ss O2cmc=", "SsO2cmc=x", "/w==", "=", "A"]
        {
            assert_eq!(standard(value.as_bytes()), Err(Undecodable), "{value}");
        }
        for value in ["SsO2cmd", "SsO2cmc==", "Pj4-Pw=", "Pj4+Pw", "SsO2\tcmc", "SsO2cmc.x", "_w", "=", "A"] {
            assert_eq!(url_safe(value.as_bytes()), Err(Undecodable), "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_comes_back(text in "\\PC{0,40}") {
            let value = STANDARD.encode(&text);
            proptest::prop_assert!(standard(value.as_bytes()).as_deref() == Ok(text.as_str()));
            for value in [PADDED.encode(&text), BARE.encode(&text)] {
                proptest::prop_assert!(url_safe(value.as_bytes()).as_deref() == Ok(text.as_str()));
            }
        }

        /// Whatever is accepted is the one encoding of its text, padding aside.
        #[test]
        fn there_is_one_encoding(value in "[A-Za-z0-9_=-]{0,12}") {
            if let Ok(text) = url_safe(value.as_bytes()) {
                proptest::prop_assert_eq!(BARE.encode(text), value.trim_end_matches('='));
            }
        }
    }
}
