//! Durations as people write them ("50ms", "2m"), and stamps as the journal keeps them.
//!
//! A stamp is a `u64` of microseconds since the drill began, on one monotonic clock, and its name ends in `_us`.
//! A [`Dur`] is what a scenario says. The two meet only in [`Dur::us`].

use std::{
    borrow::Cow,
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest duration that a scenario may name: a week. Longer ones are typing mistakes.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// A duration as a scenario writes it, with a unit: `"50ms"`, `"5s"`, `"2m"`, `"1h 30m"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Dur(Duration);

impl Dur {
    /// Whole milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Dur(Duration::from_millis(ms))
    }

    /// Whole seconds.
    pub const fn from_secs(s: u64) -> Self {
        Dur(Duration::from_secs(s))
    }

    /// Microseconds, as stamps count them.
    pub fn us(self) -> u64 {
        u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX)
    }

    /// As the standard library's type.
    pub const fn std(self) -> Duration {
        self.0
    }
}

impl FromStr for Dur {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration = humantime::parse_duration(text).map_err(|_| {
            format!(
                "`{text}` is not a duration; write a number with a unit, such as \"50ms\", \"5s\" or \"2m\""
            )
        })?;
        if duration > LONGEST {
            return Err(format!("`{text}` is longer than a week, the longest duration allowed"));
        }
        Ok(Dur(Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))))
    }
}

impl fmt::Display for Dur {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration(self.0))
    }
}

impl fmt::Debug for Dur {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Dur {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Dur {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Dur {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A duration with its unit: \"50ms\", \"5s\", \"2m\", \"1h 30m\". At most a week.",
            "pattern": r"^\s*([0-9]+\s*[a-zµ]+\s*)+$",
        })
    }
}

/// A duration in microseconds as a person reads it, with three digits that matter: `7.42 s`, `310 ms`, `2 m 5 s`.
pub fn human_us(us: u64) -> String {
    let s = us as f64 / 1e6;
    match us {
        0 => "0 s".into(),
        1..=999 => format!("{us} us"),
        1_000..=999_999 => format!("{:.0} ms", us as f64 / 1e3),
        1_000_000..=9_999_999 => format!("{s:.2} s"),
        10_000_000..=119_999_999 => format!("{s:.1} s"),
        _ => format!("{} m {} s", us / 60_000_000, us / 1_000_000 % 60),
    }
}

/// A wall clock that nobody can write down: it stands before 1970, or after the year 9999.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockWrong;

impl fmt::Display for ClockWrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the clock of this machine stands before 1970 or after 9999")
    }
}

impl std::error::Error for ClockWrong {}

/// A moment of the wall clock: RFC 3339, UTC, whole seconds.
///
/// # Errors
/// If it lies outside of what can be written.
pub fn wall_seconds(at: SystemTime) -> Result<String, ClockWrong> {
    writable(at).map(|at| humantime::format_rfc3339_seconds(at).to_string())
}

/// The same with milliseconds.
///
/// # Errors
/// If it lies outside of what can be written.
pub fn wall_millis(at: SystemTime) -> Result<String, ClockWrong> {
    writable(at).map(|at| humantime::format_rfc3339_millis(at).to_string())
}

/// The microseconds since 1970 of a moment in RFC 3339; `None` if it is none, or lies before.
pub fn unix_us_of(text: &str) -> Option<u64> {
    let since = humantime::parse_rfc3339(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_micros()).ok()
}

/// The year 10000 begins.
const LAST_SECOND: u64 = 253_402_300_800;

fn writable(at: SystemTime) -> Result<SystemTime, ClockWrong> {
    match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) if since.as_secs() < LAST_SECOND => Ok(at),
        _ => Err(ClockWrong),
    }
}

/// An operation rate of an open loop: `"200/s"`, `"30/m"`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rate {
    per_sec: f64,
}

/// The highest rate that a scenario may ask for, operations a second.
pub const RATE_MAX: f64 = 50_000.0;

impl Rate {
    /// So many a second.
    pub(crate) const fn of(per_sec: f64) -> Rate {
        Rate { per_sec }
    }

    /// Operations a second.
    pub fn per_sec(self) -> f64 {
        self.per_sec
    }

    /// The time between two operations.
    pub fn period(self) -> Duration {
        Duration::from_secs_f64(1.0 / self.per_sec)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a rate; write operations per second or minute, such as \"200/s\" or \"30/m\""
            )
        };
        let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
        let count: f64 = count.trim().parse().map_err(|_| wrong())?;
        let per_sec = match unit.trim() {
            "s" => count,
            "m" => count / 60.0,
            _ => return Err(wrong()),
        };
        // A rate under one an hour would leave a drill without a single write.
        if !(1.0 / 3600.0..=RATE_MAX).contains(&per_sec) {
            return Err(format!("`{text}` is out of range: at least 1 an hour, at most {RATE_MAX}/s"));
        }
        Ok(Rate { per_sec })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.per_sec)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Operations per second or minute, sent on a schedule that never waits for answers: \"200/s\", \"30/m\".",
            "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*/\s*[sm]\s*$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_cannot_be_written_is_an_error() {
        let at = |s: i64| match u64::try_from(s) {
            Ok(s) => SystemTime::UNIX_EPOCH + Duration::from_secs(s),
            Err(_) => SystemTime::UNIX_EPOCH - Duration::from_secs(s.unsigned_abs()),
        };
        assert_eq!(wall_seconds(at(0)).as_deref(), Ok("1970-01-01T00:00:00Z"));
        assert_eq!(wall_millis(at(253_402_300_799)).as_deref(), Ok("9999-12-31T23:59:59.000Z"));
        for wrong in [-1, -100_000_000_000, 253_402_300_800, 900_000_000_000] {
            assert_eq!((wall_seconds(at(wrong)), wall_millis(at(wrong))), (Err(ClockWrong), Err(ClockWrong)));
        }
    }

    #[test]
    fn durations_read_as_written() {
        assert_eq!("1m 30s".parse::<Dur>().unwrap().us(), 90_000_000);
        assert_eq!(Dur::from_millis(1500).to_string(), "1s 500ms");
        for wrong in ["", "5", "5 parsecs", "-1s", "99999999999999999999s", "1000years"] {
            assert!(wrong.parse::<Dur>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_read_as_written() {
        assert_eq!("30/m".parse::<Rate>().unwrap().per_sec(), 0.5);
        for wrong in ["", "5", "0/s", "nan/s", "inf/s", "-3/s", "5/h", "1e9/s"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }
}
