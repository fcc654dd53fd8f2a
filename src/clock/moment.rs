//! `Moment`: a point on the monotonic clock, which an operator or NTP cannot set.

use std::time::Duration;

use super::millis;

/// A point on the monotonic scale: milliseconds since some beginning, which is another one in each run of the machine. It
/// says nothing to other processes, so it is neither written down nor sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// The point `milliseconds` after the beginning; negative ones are before it.
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since the beginning.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This point moved later by `span`.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// This point moved earlier by `span`.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }

    /// Time from `earlier` to this point; zero when `earlier` is in fact later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let point = Moment::from_millis(5);
        assert_eq!(point.plus(Duration::MAX), Moment::from_millis(i64::MAX));
        assert_eq!(point.minus(Duration::from_millis(7)), Moment::from_millis(-2));
        assert_eq!(point.since(Moment::from_millis(9)), Duration::ZERO);
        assert_eq!(
            Moment::from_millis(i64::MAX).since(Moment::from_millis(i64::MIN)),
            Duration::from_millis(u64::try_from(i64::MAX).expect("positive"))
        );
    }
}
