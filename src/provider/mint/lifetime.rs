//! How long tokens live, and what clients need.

use std::time::Duration;

/// How long tokens live, and what clients need.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    /// Where the route does not say.
    pub default: Duration,
    /// Shortest that may be asked for.
    pub minimum: Option<Duration>,
    /// Longest that may be asked for.
    pub maximum: Option<Duration>,
    /// Never hand out a token with this much or less left.
    pub margin: Duration,
    /// Whether sessions end with the credential they were minted with.
    pub drop_on_credential_change: bool,
    /// Whether sessions end after the lifetime asked for, although the tokens have no end.
    pub shorten: bool,
    /// What the provider counts lifetimes in.
    pub unit: Duration,
}

impl Lifetime {
    /// Checks a lifetime that a route asks for.
    pub fn check(&self, ttl: Duration) -> Result<(), String> {
        let shown = humantime::format_duration;
        if ttl.subsec_nanos() != 0 {
            return Err(format!("is {}; tokens count whole seconds", shown(ttl)));
        }
        if !ttl.as_secs().is_multiple_of(self.unit.as_secs().max(1)) {
            return Err(format!("is {}; the provider counts in whole {}", shown(ttl), shown(self.unit)));
        }
        if ttl <= self.margin {
            return Err(format!(
                "is {}, and clients refresh {} before the end, so they would refresh at once and for ever; write more",
                shown(ttl),
                shown(self.margin)
            ));
        }
        if let Some(minimum) = self.minimum.filter(|minimum| ttl < *minimum) {
            return Err(format!("is {}; the provider's minimum is {}", shown(ttl), shown(minimum)));
        }
        if let Some(maximum) = self.maximum.filter(|maximum| ttl > *maximum) {
            return Err(format!("is {}; the provider's maximum is {}", shown(ttl), shown(maximum)));
        }
        Ok(())
    }
}
