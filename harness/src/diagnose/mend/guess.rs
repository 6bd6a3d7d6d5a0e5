//! What was probably meant by a number, or by a text that should be one.

use crate::time::{Dur, Rate};

/// A duration without its unit, or with one that is none. `usual`: what is there if nothing is written, which says in
/// which unit the key is thought of.
pub(super) fn duration(text: &str, usual: Option<&str>) -> Option<String> {
    let text = text.trim().trim_start_matches('-').replace(',', ".").replace('_', "").to_lowercase();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim());
    let unit = match unit {
        "" if number.len() > 1 && usual.and_then(|u| u.parse().ok()).is_some_and(short) => "ms",
        "" => "s",
        u if u.starts_with("mil") || u.starts_with("ms") => "ms",
        u if u.starts_with('s') => "s",
        u if u.starts_with("mo") => return None,
        u if u.starts_with('m') => "m",
        u if u.starts_with('h') => "h",
        u if u.starts_with('d') => "d",
        _ => return None,
    };
    let meant = format!("{}{unit}", number.trim_end_matches(".0"));
    meant.parse::<Dur>().is_ok().then_some(meant)
}

fn short(usual: Dur) -> bool {
    usual <= Dur::from_secs(1)
}

/// A rate without its `/s`.
pub(super) fn rate(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches('-').replace('_', "").to_lowercase();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim());
    let unit = unit.trim_start_matches('/').trim_start_matches("per").trim();
    let unit = if unit.starts_with('m') { "m" } else { "s" };
    let meant = format!("{}/{unit}", number.trim_end_matches(".0"));
    meant.parse::<Rate>().is_ok().then_some(meant)
}

/// A whole number in quotes, or with a fraction of nothing.
pub(super) fn whole(text: &str) -> Option<String> {
    let plain = text.replace([',', ' '], "");
    let plain = plain.trim_end_matches(".0").to_owned();
    plain.replace('_', "").parse::<u32>().is_ok().then_some(plain)
}

/// A number in quotes, or in percent.
pub(super) fn number(text: &str) -> Option<String> {
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.trim().replace(',', ".").parse().ok()?;
        // Rounded to what a person writes: 99.9 / 100 is not 0.999 in binary.
        return (0.0..=100.0).contains(&percent).then(|| {
            let share = format!("{:.6}", percent / 100.0);
            let share = share.trim_end_matches('0');
            if share.ends_with('.') { format!("{share}0") } else { share.to_owned() }
        });
    }
    let plain = text.replace(',', ".");
    let number: f64 = plain.parse().ok()?;
    (number.is_finite() && plain.starts_with(|c: char| c.is_ascii_digit()) && !plain.ends_with('.'))
        .then_some(plain)
}

/// A yes or no in other words.
pub(super) fn flag(text: &str) -> Option<&'static str> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some("true"),
        "false" | "no" | "off" | "0" => Some("false"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_was_meant() {
        let durations = [
            ("120", "120s"),
            ("5.5", "5.5s"),
            ("5 Minutes", "5m"),
            ("500MS", "500ms"),
            ("-5s", "5s"),
            ("1,5 s", "1.5s"),
        ];
        for (text, meant) in durations {
            assert_eq!(super::duration(text, None).as_deref(), Some(meant), "{text}");
        }
        for none in ["", "half an hour", "30 parsecs", "5 months", "1000h", "1e3"] {
            assert_eq!(super::duration(none, None), None, "{none}");
        }
        assert_eq!(super::duration("500", Some("1s")).as_deref(), Some("500ms"));
        assert_eq!(super::duration("500", Some("5m")).as_deref(), Some("500s"));
        for (text, meant) in
            [("20", "20/s"), ("20 per second", "20/s"), ("30 per minute", "30/m"), ("20/sec", "20/s")]
        {
            assert_eq!(super::rate(text).as_deref(), Some(meant), "{text}");
        }
        for (text, meant) in
            [("99%", "0.99"), ("99.9 %", "0.999"), ("100%", "1.0"), ("0,98", "0.98"), ("5", "5")]
        {
            assert_eq!(super::number(text).as_deref(), Some(meant), "{text}");
        }
    }
}
