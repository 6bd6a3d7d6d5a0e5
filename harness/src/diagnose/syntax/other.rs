//! Files that are in another language altogether.

use crate::diagnose::Diagnostic;

/// Says so if a text is JSON, YAML, or has the line ends of an old Mac.
pub(super) fn language(text: &str) -> Option<Diagnostic> {
    let said = |message: &str, hint: &str| {
        Some(Diagnostic { message: message.into(), span: None, hint: Some(hint.into()) })
    };
    let lines = || text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let first = lines().next().unwrap_or_default().trim_start_matches('\u{feff}');
    if first.starts_with('{')
        || (first.starts_with('[') && serde_json::from_str::<serde_json::Value>(text).is_ok())
    {
        return said(
            "this is JSON, and gameday reads TOML",
            "write `name = \"x\"` for `\"name\": \"x\"`, and a line `[stack]` for `\"stack\": {`",
        );
    }
    let yaml = |l: &&str| {
        let key = l.split(':').next().unwrap_or_default().trim_start_matches("- ");
        let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        l.starts_with("- ") || (l.contains(':') && !l.contains('=') && plain)
    };
    let (written, like) = (lines().count(), lines().filter(yaml).count());
    if first == "---" || (written > 1 && like * 2 > written) {
        return said(
            "this is YAML, and gameday reads TOML",
            "write `name = \"x\"` for `name: x`, and a line `[stack]` for `stack:`",
        );
    }
    let alone = text.matches('\r').count() > text.matches("\r\n").count();
    if alone && !text.contains('\n') {
        return said("lines end with CR alone", "save the file with line ends LF or CRLF");
    }
    if first.starts_with('<') {
        return said("this is XML or HTML, and gameday reads TOML", "write `name = \"x\"`, one key a line");
    }
    None
}
