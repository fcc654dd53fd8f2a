//! The compact form of a token (RFC 7515, 7.1), taken apart before anything else is done with it: length and dots
//! first, then base64url of the one right spelling (T-24, T-28).

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};

use crate::identity::Refusal;
use crate::identity::definition::TokenForm;

/// Bytes of a token at most (R10).
const MOST_BYTES: usize = 16 * 1024;

/// A token in its three parts, still encoded.
#[derive(Clone, Copy)]
pub(super) struct Parts<'t> {
    /// What is signed: header and payload as sent, padding included.
    signed: &'t [u8],
    header: &'t [u8],
    payload: &'t [u8],
    signature: &'t [u8],
    form: TokenForm,
}

impl<'t> Parts<'t> {
    /// Exactly three parts, each with something in it.
    pub(super) fn of(token: &'t [u8], form: TokenForm) -> Result<Self, Refusal> {
        // T-24: length of a token
        if token.len() > MOST_BYTES {
            return Err(Refusal::TooLong);
        }
        let mut dots = token.iter().enumerate().filter(|(_, b)| **b == b'.').map(|(at, _)| at);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(Refusal::TokenMalformed);
        };
        let part = |range: std::ops::Range<usize>| {
            token.get(range).filter(|part| !part.is_empty()).ok_or(Refusal::TokenMalformed) // T-18: empty part
        };
        Ok(Self {
            signed: part(0..second)?,
            header: part(0..first)?,
            payload: part(first + 1..second)?,
            signature: part(second + 1..token.len())?,
            form,
        })
    }

    /// What is signed.
    pub(super) fn signed(&self) -> &'t [u8] {
        self.signed
    }

    /// Decodes all three parts into `room`.
    pub(super) fn decode<'b>(&self, room: &'b mut Vec<u8>) -> Result<Decoded<'b>, Refusal> {
        // What is decoded is shorter than what it was; three bytes more are for the end of the shortest.
        let spare = |part: &[u8]| part.len() + 3;
        room.resize(spare(self.header) + spare(self.payload) + spare(self.signature), 0);
        let (header, rest) = room.split_at_mut(spare(self.header));
        let (payload, signature) = rest.split_at_mut(spare(self.payload));
        Ok(Decoded {
            header: self.part(self.header, header)?,
            payload: self.part(self.payload, payload)?,
            signature: self.part(self.signature, signature)?,
        })
    }

    fn part<'b>(&self, part: &[u8], room: &'b mut [u8]) -> Result<&'b [u8], Refusal> {
        let decoded = match self.form {
            // Load balancers of AWS pad. Bits beyond the last byte must be zero in either form.
            TokenForm::Alb if part.ends_with(b"=") => URL_SAFE.decode_slice(part, room), // T-28: padding
            TokenForm::Jws | TokenForm::Alb => URL_SAFE_NO_PAD.decode_slice(part, room), // T-28: spare bits
        };
        let length = decoded.map_err(|_not_base64url| Refusal::TokenMalformed)?; // T-57: not base64url
        room.get(..length).ok_or(Refusal::TokenMalformed)
    }
}

/// The three parts as bytes.
#[derive(Clone, Copy)]
pub(super) struct Decoded<'b> {
    pub(super) header: &'b [u8],
    pub(super) payload: &'b [u8],
    pub(super) signature: &'b [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(token: &str, form: TokenForm) -> Result<Vec<u8>, Refusal> {
        let mut room = Vec::new();
        let decoded = Parts::of(token.as_bytes(), form)?.decode(&mut room)?;
        Ok(decoded.payload.to_vec())
    }

    #[test]
    fn three_parts_are_taken_apart() {
        let parts = Parts::of(b"aGVhZA.Ym9keQ.c2ln", TokenForm::Jws).expect("three parts");
        let mut room = Vec::new();
        let decoded = parts.decode(&mut room).expect("base64url");
        assert_eq!(parts.signed(), b"aGVhZA.Ym9keQ");
        assert_eq!((decoded.header, decoded.payload, decoded.signature), (&b"head"[..], &b"body"[..], &b"sig"[..]));
    }

    /// T-24: lengths and dots are looked at before anything is decoded. T-18: an empty signature is none.
    #[test]
    fn other_counts_of_parts_are_refused() {
        let (most, dots, long) = (".".repeat(16 * 1024), ".".repeat(100_000), "a".repeat(1024 * 1024));
        for (token, refusal) in [
            ("", Refusal::TokenMalformed),
            ("a", Refusal::TokenMalformed),
            ("a.b", Refusal::TokenMalformed),
            ("..", Refusal::TokenMalformed),
            ("aGVhZA.Ym9keQ.", Refusal::TokenMalformed),
            (".Ym9keQ.c2ln", Refusal::TokenMalformed),
            ("aGVhZA..c2ln", Refusal::TokenMalformed),
            ("a.b.c.d", Refusal::TokenMalformed),
            ("a.b.c.d.e", Refusal::TokenMalformed),
            (&most, Refusal::TokenMalformed),
            (&dots, Refusal::TooLong),
            (&long, Refusal::TooLong),
        ] {
            let outcome = Parts::of(token.as_bytes(), TokenForm::Jws).map(|_| ());
            assert_eq!(outcome, Err(refusal), "{}", token.get(..20).unwrap_or(token));
        }
    }

    /// T-28: one text has one spelling.
    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(payload("YQ.Ym9keQ.YQ", TokenForm::Jws), Ok(b"body".to_vec()));
        for part in
            ["Ym9keR", "Ym9keQ=", "Ym9keQ==", "Ym9ke", "Ym9 keQ", "Ym9keQ\n", " Ym9keQ", "Ym9k+Q", "Ym9k/Q", "Ymé"]
        {
            assert_eq!(payload(&format!("YQ.{part}.YQ"), TokenForm::Jws), Err(Refusal::TokenMalformed), "{part}");
        }
    }

    /// T-28: padding is for load balancers, and there it is right or absent.
    #[test]
    fn balancers_may_pad() {
        for part in ["Ym9keQ==", "Ym9keQ"] {
            assert_eq!(payload(&format!("YQ==.{part}.YQ=="), TokenForm::Alb), Ok(b"body".to_vec()), "{part}");
        }
        for part in
            ["Ym9keQ=", "Ym9keQ===", "Ym9keR==", "Ym9k=eQ", "=Ym9keQ", "Ym9keQ==x", "Ym9keQ== ", "Ym9+eQ==", "="]
        {
            assert_eq!(payload(&format!("YQ.{part}.YQ"), TokenForm::Alb), Err(Refusal::TokenMalformed), "{part}");
        }
        let parts = Parts::of(b"YQ==.Yg==.Yw==", TokenForm::Alb).expect("three parts");
        assert_eq!(parts.signed(), b"YQ==.Yg==");
    }
}
