//! Rates: `90/min` as configuration says it, and the arithmetic that keeps to it. Providers are called at one, and users
//! are served at one.

use std::str::FromStr;
use std::time::Duration;

use crate::clock::Moment;

/// Longest period; quotas of a week or a month are nothing that a process can hold.
const MAX_PERIOD: Duration = Duration::from_hours(24);

/// A number of calls in a period: `90/min`, `10/s`, `1000/h`, `100/10s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    period: Duration,
}

impl Rate {
    /// `count` calls in a `period`; one at least.
    pub const fn new(count: u32, period: Duration) -> Self {
        Self { count: if count == 0 { 1 } else { count }, period }
    }

    /// From one call to the next where they are evenly spaced.
    pub fn gap(self) -> Duration {
        self.period.checked_div(self.count).unwrap_or(self.period)
    }

    /// The part of one of `replicas` processes that keep to this together. A rate of fewer calls than processes makes one
    /// call of each in several periods: no more on average, and only where they are not made together.
    #[must_use]
    pub fn share(self, replicas: u32) -> Self {
        // Fleet: share of a rate
        match self.count.checked_div(replicas).unwrap_or(self.count) {
            0 => Self { count: 1, period: self.period.saturating_mul(replicas.div_ceil(self.count)) },
            count => Self { count, ..self },
        }
    }

    /// The span of time.
    pub const fn period(self) -> Duration {
        self.period
    }

    /// Calls in a period; never 0.
    pub const fn count(self) -> u32 {
        self.count
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("is \"{text}\"; write calls and a time: \"90/min\", \"10/s\", \"1000/h\", \"100/10s\"");
        let (count, period) = text.split_once('/').ok_or_else(wrong)?;
        let count: u32 = count.trim().parse().map_err(|_error| wrong())?;
        let period = period.trim();
        let digits = period.starts_with(|c: char| c.is_ascii_digit());
        let period = humantime::parse_duration(&if digits { period.to_owned() } else { format!("1{period}") })
            .map_err(|_error| wrong())?;
        if count == 0 {
            return Err(format!("is \"{text}\", which lets no call pass"));
        }
        if period.is_zero() || period > MAX_PERIOD || !period.subsec_nanos().is_multiple_of(1_000_000) {
            return Err(format!("is \"{text}\"; the time must be whole milliseconds and one day at most"));
        }
        Ok(Self { count, period })
    }
}

/// A rate that is kept, by the generic cell rate algorithm.
///
/// Of calls that pass, at most the rate's number lie in any span of its period. A burst passes at once and is taken from that number; what is left of it refills evenly.
///
/// It holds no state: each caller that is paced keeps one number, when the next call would be due if all came evenly spaced
/// ("theoretical arrival time").
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Slots that come free within a period.
    refill: i128,
    /// Time between two slots: as many units as a period has milliseconds. A unit is the `refill`th part of a
    /// millisecond, so that every slot is a whole number and nothing drifts.
    interval: i128,
    /// How much earlier than evenly spaced a call may come: room for the burst, in units.
    tolerance: i128,
}

impl Pace {
    /// What is due of a caller that never called.
    pub const UNUSED: i128 = -(1 << 96);

    /// A pace of `rate`. `burst` calls may pass at once: between one and all of the rate.
    pub fn new(rate: Rate, burst: u32) -> Self {
        let burst = burst.clamp(1, rate.count);
        // In a span of the period lie the burst and what comes free after it: together no more than the rate.
        let refill = i128::from(rate.count - burst + 1);
        let interval = i128::try_from(rate.period.as_millis()).unwrap_or(i128::MAX);
        Self { refill, interval, tolerance: i128::from(burst - 1) * interval }
    }

    /// The same for calls that leave room for `kept` others of the burst.
    #[must_use]
    pub fn keeping(self, kept: u32) -> Self {
        Self { tolerance: (self.tolerance - i128::from(kept) * self.interval).max(0), ..self }
    }

    /// Takes a slot if one is free now; otherwise tells when the next will be.
    pub fn take(&self, due: &mut i128, now: Moment) -> Result<(), Moment> {
        let now_units = self.units(now);
        let slot = self.slot(*due, now, 0);
        if slot > now {
            return Err(slot);
        }
        *due = (*due).max(now_units) + self.interval;
        Ok(())
    }

    /// Takes back that a slot was taken.
    pub fn give_back(&self, due: &mut i128) {
        *due = due.saturating_sub(self.interval);
    }

    /// Counts a call that passed by another rule, whether or not a slot was free. However many there were, the next call
    /// waits no longer than after all of the burst.
    pub fn charge(&self, due: &mut i128, now: Moment) {
        let now = self.units(now);
        *due = ((*due).max(now) + self.interval).min(now + self.tolerance + self.interval);
    }

    /// What is due of a caller that may call again at `point`, with nothing left of the burst.
    pub fn due_at(&self, point: Moment) -> i128 {
        self.units(point) + self.tolerance
    }

    /// What is `due` by another pace, by this one.
    pub fn converted(&self, due: i128, by: &Self) -> i128 {
        if due == Self::UNUSED { due } else { (due.saturating_mul(self.refill) + by.refill - 1).div_euclid(by.refill) }
    }

    /// When a call with `before` others before it will pass.
    pub fn slot(&self, due: i128, now: Moment, before: usize) -> Moment {
        let before = i128::try_from(before).unwrap_or(i128::MAX);
        let due = due.max(self.units(now)).saturating_add(self.interval.saturating_mul(before));
        // Rounded up: the clock has no parts of a millisecond.
        let slot = due.saturating_sub(self.tolerance).saturating_add(self.refill - 1).div_euclid(self.refill);
        Moment::from_millis(i64::try_from(slot).unwrap_or(i64::MAX)).max(now)
    }

    /// Whether what is due says no more than [`Pace::UNUSED`] would.
    pub fn is_rested(&self, due: i128, now: Moment) -> bool {
        due <= self.units(now)
    }

    fn units(&self, point: Moment) -> i128 {
        i128::from(point.as_millis()) * self.refill
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        for (text, count, period) in [
            ("90/min", 90, Duration::from_mins(1)),
            ("10/s", 10, Duration::from_secs(1)),
            ("1000/h", 1000, Duration::from_hours(1)),
            (" 5 / second ", 5, Duration::from_secs(1)),
            ("100/10s", 100, Duration::from_secs(10)),
            ("1/day", 1, Duration::from_hours(24)),
        ] {
            assert_eq!(text.parse(), Ok(Rate { count, period }), "{text}");
        }
    }

    #[test]
    fn what_is_no_rate_is_told() {
        for text in ["", "90", "90 per minute", "/s", "x/s", "-1/s", "1.5/s", "10/", "10/fortnight", "10/s/s"] {
            let expected =
                format!("is \"{text}\"; write calls and a time: \"90/min\", \"10/s\", \"1000/h\", \"100/10s\"");
            assert_eq!(text.parse::<Rate>(), Err(expected));
        }
        assert_eq!("0/s".parse::<Rate>(), Err("is \"0/s\", which lets no call pass".to_owned()));
        for text in ["1/0s", "1/2days", "1/10us"] {
            let expected = format!("is \"{text}\"; the time must be whole milliseconds and one day at most");
            assert_eq!(text.parse::<Rate>(), Err(expected));
        }
    }
}
