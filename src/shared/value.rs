//! What is sealed: until when the session is handed out, by the tier's time, and the session itself.

use std::time::Duration;

use super::tier::TierTime;

/// Taken off a life that another replica counted: its clock and ours round differently.
const LESS: Duration = Duration::from_secs(1);

/// A session on its way through the tier. What it is, this room does not know.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    /// When it is handed out no more.
    pub ends: TierTime,
    /// The session, as its room writes it.
    pub session: Vec<u8>,
}

/// It holds a token.
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Value").field("ends", &self.ends).finish_non_exhaustive()
    }
}

impl Value {
    /// As it is sealed.
    pub fn encode(&self) -> Vec<u8> {
        [&self.ends.as_micros().to_be_bytes()[..], &self.session].concat()
    }

    /// What was sealed.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (ends, session) = bytes.split_first_chunk::<8>()?;
        Some(Self { ends: TierTime::from_micros(u64::from_be_bytes(*ends)), session: session.to_vec() })
    }

    /// What is left of its life at `now`, less a second.
    pub fn left(&self, now: TierTime) -> Duration {
        self.ends.since(now).saturating_sub(LESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let value = Value { ends: TierTime::from_micros(5_000_000), session: b"s".to_vec() };
        assert_eq!(Value::decode(&value.encode()), Some(value.clone()));
        assert_eq!(Value::decode(b"short"), None);
        assert_eq!(value.left(TierTime::from_micros(2_000_000)), Duration::from_secs(2));
        assert_eq!(value.left(TierTime::from_micros(4_500_000)), Duration::ZERO);
        assert_eq!(value.left(TierTime::from_micros(9_000_000)), Duration::ZERO);
    }
}
