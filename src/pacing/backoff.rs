//! How long to wait after failures: twice as long each time, up to a limit, or as long as the other side asks for.

use std::time::Duration;

use super::jitter;

/// The waits after failures in a row.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The wait after the first failure; it doubles with each further one. No wait is shorter, whatever is asked for.
    pub first: Duration,
    /// The longest wait, also where more is asked for: that may have meant another unit.
    pub longest: Duration,
    /// Whether waits are spread, so that those who failed together do not come back together.
    pub jitter: bool,
}

impl Backoff {
    /// The wait after a failure with this many others before it. `advice` is what the other side asks for.
    pub fn after(self, before: u32, advice: Option<Duration>) -> Duration {
        if let Some(advice) = advice {
            return advice.clamp(self.first, self.longest);
        }
        let doubled = self.first.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX)).min(self.longest);
        if self.jitter { jitter::spread(doubled) } else { doubled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff { first: SECOND, longest: Duration::from_secs(60), jitter: false };
        for (before, seconds) in [(0, 1), (1, 2), (5, 32), (6, 60), (31, 60), (32, 60), (u32::MAX, 60)] {
            assert_eq!(backoff.after(before, None).as_secs(), seconds, "{before}");
        }
        let spread = Backoff { jitter: true, ..backoff };
        for before in 0..1000 {
            let (wait, whole) = (spread.after(before, None), backoff.after(before, None));
            assert!(wait >= whole / 2 && wait <= whole, "{before}: {wait:?}");
        }
        let endless = Backoff { longest: Duration::MAX, ..spread };
        assert!(endless.after(u32::MAX, None) > Duration::from_secs(1 << 30));
    }

    #[test]
    fn advice_is_followed_within_the_bounds() {
        let backoff = Backoff { first: SECOND, longest: Duration::from_secs(60), jitter: true };
        for (advice, seconds) in [(0, 1), (7, 7), (86_400, 60)] {
            assert_eq!(backoff.after(9, Some(Duration::from_secs(advice))).as_secs(), seconds, "{advice}");
        }
    }
}
