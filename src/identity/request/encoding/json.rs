//! JSON strings, which AWS API Gateway writes into headers with their quotes, and lists of them.

use super::Undecodable;

/// The text of a JSON string.
pub(super) fn text(value: &[u8]) -> Result<String, Undecodable> {
    serde_json::from_slice(value).map_err(|_| Undecodable)
}

/// The texts of a JSON list.
pub(super) fn texts(value: &[u8]) -> Result<Vec<String>, Undecodable> {
    serde_json::from_slice(value).map_err(|_| Undecodable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_lose_their_quotes() {
        for (value, expected) in [
            (r#""alice""#, "alice"),
            (r#""J\u00f6rg""#, "Jörg"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""a\"b\\c""#, "a\"b\\c"),
            ("\"Jörg\"", "Jörg"),
        ] {
            assert_eq!(text(value.as_bytes()).as_deref(), Ok(expected), "{value}");
        }
        for value in
            ["alice", "'alice'", "\"alice", "\"a\"\"b\"", "1", "null", "true", "{}", "[]", r#""\ud800""#, "\"a\u{1}\""]
        {
            assert_eq!(text(value.as_bytes()), Err(Undecodable), "{value}");
        }
        assert_eq!(text(b"\"caf\xe9\""), Err(Undecodable));
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_comes_back(plain in "\\PC{0,40}", ascii in proptest::prelude::any::<bool>()) {
            let escaped = |c: char| {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat()
            };
            let value = if ascii {
                format!("\"{}\"", plain.chars().map(escaped).collect::<String>())
            } else {
                serde_json::to_string(&plain).expect("JSON")
            };
            proptest::prop_assert!(text(value.as_bytes()).as_deref() == Ok(plain.as_str()));
        }
    }
}
