//! Figures as a person reads them, and words from outside made harmless.

use harness::time::{Dur, human_us};

/// `1234567` as `1,234,567`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A share as a percentage with two decimals.
pub(crate) fn share(x: f64) -> String {
    format!("{:.2} %", x * 100.0)
}

/// A lower bound as a percentage: cut, never rounded up, so that a missed bound never looks met.
pub(crate) fn share_at_least(x: f64) -> String {
    share((x * 1e4).floor() / 1e4)
}

/// An upper bound as a percentage: rounded up, so that a missed bound never looks met, nor a small share like none.
pub(crate) fn share_at_most(x: f64) -> String {
    // What a binary fraction adds to a decimal is not rounded up.
    share((x * 1e4 - 1e-7).max(0.0).ceil() / 1e4)
}

/// A limit as it was written, with a space before each unit: `30 s`, `1 m 30 s`.
pub(crate) fn limit_us(us: u64) -> String {
    let written = Dur::from_millis(us / 1000).to_string();
    let spaced = |token: &str| {
        let at = token.find(|c: char| !c.is_ascii_digit()).unwrap_or(token.len());
        format!("{} {}", &token[..at], &token[at..])
    };
    written.split(' ').map(spaced).collect::<Vec<_>>().join(" ")
}

/// A span beside its limit: rounded, unless rounding would hide on which side of the limit it lies.
pub(crate) fn close_us(us: u64, limit: u64) -> String {
    if us.abs_diff(limit) * 100 < limit {
        format!("{}.{:06} s", us / 1_000_000, us % 1_000_000)
    } else {
        human_us(us)
    }
}

/// A span that may be missing.
pub(crate) fn maybe_us(us: Option<u64>) -> String {
    us.map_or_else(|| "-".into(), human_us)
}

/// A stamp in the timeline: seconds with milliseconds.
pub(crate) fn stamp(us: u64) -> String {
    format!("{:>9}.{:03} s", us / 1_000_000, us / 1000 % 1000)
}

/// Reasons and notes come from outside: line breaks become spaces, and what steers a terminal or turns the direction
/// of writing is replaced.
pub fn clean(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let safe = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if c.is_control() || turns(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([30_000_000, 90_000_000, 0].map(limit_us), ["30 s", "1 m 30 s", "0 s"]);
        assert_eq!((share(0.97996), share_at_least(0.97996)), ("98.00 %".into(), "97.99 %".into()));
        assert_eq!(
            [0.15, 0.150_001, 0.000_001, 0.0].map(share_at_most),
            ["15.00 %", "15.01 %", "0.01 %", "0.00 %"]
        );
        assert_eq!(close_us(41_200_000, 30_000_000), "41.2 s");
        assert_eq!(close_us(30_000_100, 30_000_000), "30.000100 s");
    }
}
