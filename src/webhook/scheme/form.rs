//! Forms: their fields, and how schemes that sign fields put them in a row.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::webhook::refusal::Reason;

/// Fields of a form at most. A body of short ones would take many times its own size of memory before it is proven.
const MOST_FIELDS: usize = 1000;

/// The content type of forms.
pub(super) const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// The fields of a form, in its order.
///
/// Only `&` stands between fields, and what follows a `%` and is no number stands for itself, as in both official
/// verifiers of the scheme that signs fields. They differ where the bytes are no text, so that is refused.
pub(super) fn fields(body: &[u8]) -> Result<Vec<(String, String)>, Reason> {
    let mut fields = Vec::new();
    for field in body.split(|byte| *byte == b'&').filter(|field| !field.is_empty()) {
        if fields.len() == MOST_FIELDS {
            return Err(Reason::BadBody); // W-10: number of fields
        }
        let at = field.iter().position(|byte| *byte == b'=');
        let (name, value) = at.and_then(|at| field.split_at_checked(at)).unwrap_or((field, b""));
        fields.push((text(name)?, text(value.strip_prefix(b"=").unwrap_or(value))?));
    }
    Ok(fields)
}

fn text(written: &[u8]) -> Result<String, Reason> {
    let spaced: Cow<'_, [u8]> = if written.contains(&b'+') {
        written.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect()
    } else {
        written.into()
    };
    let decoded = percent_decode(&spaced).decode_utf8().map_err(|_| Reason::BadBody)?;
    Ok(decoded.into_owned())
}

/// Name and value of each field, one behind the other, in the order of the names and then of the values. Equal fields
/// stand there once.
pub(super) fn sorted(body: &[u8]) -> Result<String, Reason> {
    let mut fields = fields(body)?;
    fields.sort_unstable();
    fields.dedup(); // W-14: equal fields once
    Ok(fields.into_iter().flat_map(|(name, value)| [name, value]).collect())
}

/// The value of the first field called `name`.
pub(super) fn field(body: &[u8], name: &str) -> Option<String> {
    fields(body).ok()?.into_iter().find(|(own, _)| own == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// W-14: each verdict is that of both official verifiers.
    #[test]
    fn fields_are_put_in_a_row_as_the_official_verifiers_do() {
        for (body, row) in [
            ("", ""),
            ("b=2&a=1", "a1b2"),
            ("a=2&a=1&a=2", "a1a2"),
            ("a=1&a=1", "a1"),
            ("a=&b", "ab"),
            ("&&a=1&", "a1"),
            ("a=x+y%2B%26%3D", "ax y+&="),
            ("a=%c3%a9", "a\u{e9}"),
            ("a=%C3%A9", "a\u{e9}"),
            ("a=1;b=2", "a1;b=2"),
            ("a=b=c", "ab=c"),
            ("a=%zz%", "a%zz%"),
            ("=x", "x"),
            ("B=1&a=2&A=3", "A3B1a2"),
            ("%61=1", "a1"),
        ] {
            assert_eq!(sorted(body.as_bytes()).as_deref(), Ok(row), "{body}");
        }
    }

    #[test]
    fn what_is_no_text_or_too_much_is_refused() {
        assert_eq!(sorted(b"a=%ff"), Err(Reason::BadBody));
        assert_eq!(sorted(b"a=\xff"), Err(Reason::BadBody));
        assert_eq!(sorted("a&".repeat(1000).as_bytes()).as_deref(), Ok("a"));
        assert_eq!(sorted("a&".repeat(1001).as_bytes()), Err(Reason::BadBody));
    }

    proptest! {
        #[test]
        fn the_order_of_fields_does_not_count(mut fields in proptest::collection::vec("[a-c]=[x-z%+;]{0,3}", 0..8)) {
            let one = sorted(fields.join("&").as_bytes());
            fields.reverse();
            prop_assert_eq!(one, sorted(fields.join("&").as_bytes()));
        }
    }
}
