//! One line of an `allowed_signers` file, as `sshsig.c`, `strptime` and `mktime` read it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::tz::TimeZone;

/// One line that says something.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: usize,
    /// Names and patterns.
    pub(super) principals: Vec<u8>,
    pub(super) rule: Result<Rule, String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Rule {
    /// It vouches for certificates, and not for the key itself.
    pub(super) authority: bool,
    pub(super) namespaces: Option<Vec<u8>>,
    pub(super) after: Option<u64>,
    pub(super) before: Option<u64>,
    /// `None` for keys of another kind.
    pub(super) key: Option<[u8; 32]>,
}

pub(super) fn white(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

fn blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

/// Skips what fits.
fn skip(text: &[u8], fits: fn(u8) -> bool) -> &[u8] {
    &text[text.iter().take_while(|b| fits(**b)).count()..]
}

pub(super) fn read_line(number: usize, line: &[u8], zone: &TimeZone) -> Line {
    let Some((principals, rest)) = first_word(line) else {
        let why = Err("a signer needs a name and a key".to_owned());
        return Line { number, principals: Vec::new(), rule: why };
    };
    let rule = rule(rest, zone).map_err(|why| match principals.strip_prefix(b"\xef\xbb\xbf") {
        Some(_) => "it begins with a byte order mark; write the file without".to_owned(),
        None => why,
    });
    Line { number, principals, rule }
}

/// The names, which may stand in quotes, and what follows them.
fn first_word(line: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let end = line.iter().position(|b| white(*b) || *b == b'"')?;
    let (word, rest) = (&line[..end], &line[end + 1..]);
    if line[end] != b'"' {
        return Some((word.to_owned(), skip(rest, white)));
    }
    let close = rest.iter().position(|b| *b == b'"')?;
    Some(([word, &rest[..close]].concat(), skip(&rest[close + 1..], white)))
}

fn rule(text: &[u8], zone: &TimeZone) -> Result<Rule, String> {
    if let Some(key) = key(text) {
        return Ok(Rule { key, ..Rule::default() });
    }
    // Options end at the first blank that is not in quotes.
    let (mut end, mut quoted) = (0, false);
    while end < text.len() && (quoted || !blank(text[end])) {
        match (text[end], text.get(end + 1)) {
            (b'\\', Some(b'"')) => end += 1,
            (b'"', _) => quoted = !quoted,
            _ => {}
        }
        end += 1;
    }
    let rest = skip(text.get(end..).unwrap_or_default(), blank);
    let key = key(rest).ok_or("there is no key in this line that can be read")?;
    Ok(Rule { key, ..options(&text[..end.min(text.len())], zone)? })
}

/// The kinds that `ssh-keygen` knows, apart from the one that signs here.
const OTHER_KINDS: [&str; 15] = [
    "ssh-rsa",
    "ssh-dss",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-ed25519-cert-v01@openssh.com",
    "ssh-rsa-cert-v01@openssh.com",
    "ssh-dss-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
];

/// The key that a text begins with; inside, `None` for one of another kind.
fn key(text: &[u8]) -> Option<Option<[u8; 32]>> {
    let kind = &text[..text.iter().position(|b| blank(*b))?];
    let other = OTHER_KINDS.iter().any(|k| k.as_bytes() == kind);
    if !other && kind != b"ssh-ed25519" {
        return None;
    }
    let blob = skip(&text[kind.len()..], blank);
    let blob = &blob[..blob.iter().position(|b| blank(*b)).unwrap_or(blob.len())];
    let digits: Vec<u8> = blob.iter().copied().filter(|b| !b.is_ascii_whitespace() && *b != 0x0b).collect();
    let bytes = STANDARD.decode(digits).ok()?;
    // The blob says its own kind first, with its length in four bytes.
    let (length, rest) = bytes.split_at_checked(4)?;
    let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
    let (said, rest) = rest.split_at_checked(length)?;
    if said != kind {
        return None;
    }
    if other {
        return Some(None);
    }
    rest.strip_prefix(&[0, 0, 0, 32])?.try_into().ok().map(Some)
}

fn options(text: &[u8], zone: &TimeZone) -> Result<Rule, String> {
    let mut rule = Rule::default();
    let mut rest = text;
    let named = |rest: &[u8], name: &str| {
        rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
    };
    while !rest.is_empty() {
        if named(rest, "cert-authority") {
            rule.authority = true;
            rest = &rest["cert-authority".len()..];
        } else if named(rest, "namespaces=") {
            let (value, tail) = quoted(&rest["namespaces=".len()..])?;
            if rule.namespaces.replace(value).is_some() {
                return Err("namespaces are given twice".into());
            }
            rest = tail;
        } else if named(rest, "valid-after=") {
            let (value, tail) = quoted(&rest["valid-after=".len()..])?;
            if rule.after.replace(moment(&value, zone)?).is_some() {
                return Err("valid-after is given twice".into());
            }
            rest = tail;
        } else if named(rest, "valid-before=") {
            let (value, tail) = quoted(&rest["valid-before=".len()..])?;
            if rule.before.replace(moment(&value, zone)?).is_some() {
                return Err("valid-before is given twice".into());
            }
            rest = tail;
        }
        match rest {
            [] => break,
            [b','] => return Err("options end with a comma".into()),
            [b',', tail @ ..] => rest = tail,
            _ => return Err(format!("`{}` is no option that is understood", String::from_utf8_lossy(rest))),
        }
    }
    match (rule.after, rule.before) {
        (Some(after), Some(before)) if before <= after => Err("valid-before is not after valid-after".into()),
        _ => Ok(rule),
    }
}

fn quoted(text: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let mut rest = text.strip_prefix(b"\"").ok_or("a value does not stand in quotes")?;
    let mut value = Vec::new();
    loop {
        match rest {
            [] => return Err("a quote is not closed".into()),
            [b'"', tail @ ..] => return Ok((value, tail)),
            [b'\\', b'"', tail @ ..] => (value, rest) = ([&value[..], b"\""].concat(), tail),
            [b, tail @ ..] => {
                value.push(*b);
                rest = tail;
            }
        }
    }
}

/// Whether a list of patterns, divided by commas, names a word. A negated one that fits forbids.
pub(super) fn listed(word: &[u8], list: &[u8]) -> bool {
    const LONGEST: usize = 1022;
    let list = list.strip_suffix(b",").unwrap_or(list);
    let mut named = false;
    if list.is_empty() {
        return false;
    }
    for pattern in list.split(|b| *b == b',') {
        let (negated, pattern) = pattern.strip_prefix(b"!").map_or((false, pattern), |p| (true, p));
        if pattern.len() > LONGEST {
            return false;
        }
        if fits(word, pattern) {
            if negated {
                return false;
            }
            named = true;
        }
    }
    named
}

/// `*` stands for any bytes, `?` for one.
fn fits(word: &[u8], pattern: &[u8]) -> bool {
    let (mut w, mut p, mut star) = (0, 0, None);
    while w < word.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((w, p));
                p += 1;
            }
            Some(b) if *b == b'?' || *b == word[w] => (w, p) = (w + 1, p + 1),
            _ => {
                // The last star takes one byte more.
                let Some((from, at)) = star else { return false };
                star = Some((from + 1, at));
                (w, p) = (from + 1, at + 1);
            }
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// `YYYYMMDD[HHMM[SS]]` with a `Z` or `UTC` behind it, or else in local time; seconds since 1970, never 0.
fn moment(text: &[u8], zone: &TimeZone) -> Result<u64, String> {
    let wrong = || {
        let shown = String::from_utf8_lossy(text);
        format!("`{shown}` is not a moment; write YYYYMMDDHHMMSSZ")
    };
    let ends = |with: &[u8]| {
        let start = text.len().checked_sub(with.len()).filter(|start| *start > 0)?;
        text[start..].eq_ignore_ascii_case(with).then(|| &text[..start])
    };
    let utc = ends(b"Z").or_else(|| ends(b"UTC"));
    let digits = utc.unwrap_or(text);
    if ![8, 12, 14].contains(&digits.len()) {
        return Err(wrong());
    }
    let field = |from: usize, to: usize, least: i64, most: i64| match digits.get(from..to) {
        None => Some(0),
        Some(text) => number(text, least, most),
    };
    let (year, month, day) = (field(0, 4, 0, 9999), field(4, 6, 1, 12), field(6, 8, 1, 31));
    let (hour, minute, second) = (field(8, 10, 0, 23), field(10, 12, 0, 59), field(12, 14, 0, 61));
    let date = year.zip(month).zip(day);
    let time = hour.zip(minute).zip(second);
    let Some((((year, month), day), ((hour, minute), second))) = date.zip(time) else { return Err(wrong()) };
    let first = jiff::civil::Date::new(
        i16::try_from(year).map_err(|_| wrong())?,
        i8::try_from(month).map_err(|_| wrong())?,
        1,
    );
    // A day that the month has not is one of the next month.
    let first = first.and_then(|d| d.to_zoned(TimeZone::UTC)).map_err(|_| wrong())?.timestamp().as_second();
    let civil = first + (day - 1) * 86_400 + hour * 3600 + minute * 60 + second;
    let moment = if utc.is_some() { Some(civil) } else { local(civil, zone) };
    moment.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0).ok_or_else(wrong)
}

/// A number as `strptime` reads it: blanks before it, and as many digits as fit.
fn number(text: &[u8], least: i64, most: i64) -> Option<i64> {
    let digits = skip(text, |b| b == b' ');
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let value = std::str::from_utf8(digits).ok().filter(|_| all)?.parse().ok()?;
    (least..=most).contains(&value).then_some(value)
}

/// A moment of local time, taken as standard time all the year: `mktime` is told that no summer time holds.
fn local(civil: i64, zone: &TimeZone) -> Option<i64> {
    const STRIDE: i64 = 601_200;
    let clock = jiff::Timestamp::from_second(civil).ok()?.to_zoned(TimeZone::UTC).datetime();
    let near = zone.to_ambiguous_timestamp(clock).compatible().ok()?.as_second();
    let offset = |at: i64| {
        let at = jiff::Timestamp::from_second(at).ok()?;
        let info = zone.to_offset_info(at);
        (!info.dst().is_dst()).then(|| i64::from(info.offset().seconds()))
    };
    if offset(near).is_some() {
        return Some(near);
    }
    let standard = (1..900).find_map(|n| offset(near - n * STRIDE).or_else(|| offset(near + n * STRIDE)))?;
    Some(civil - standard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (word, list, named) in [
            ("a@b", "a@b", true),
            ("a@b", "*@b", true),
            ("a@b", "?@?", true),
            ("a@b", "x,a@*", true),
            ("a@b", "*,!a@b", false),
            ("a@b", "!x", false),
            ("a@b", "", false),
            ("a@b", "*a*@*b*", true),
            ("aab", "*ab", true),
            ("a@b", "A@B", false),
            ("a@b", " a@b", false),
        ] {
            assert_eq!(listed(word.as_bytes(), list.as_bytes()), named, "{word} in {list}");
        }
    }

    #[test]
    fn moments_are_those_of_mktime() {
        let utc = |text: &str| moment(text.as_bytes(), &TimeZone::UTC).ok();
        assert_eq!(utc("19700102Z"), Some(86_400));
        assert_eq!(utc("19700102"), Some(86_400));
        assert_eq!(utc("20260230Z"), utc("20260302Z"), "a 30th of February is a day in March");
        for wrong in [
            "",
            "Z",
            "19700101Z",
            "20263011Z",
            "2026-11-30",
            "20261301",
            "2026113024",
            "999912312460",
            "-0261130",
        ] {
            assert_eq!(utc(wrong), None, "{wrong}");
        }
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let there = |text: &str| moment(text.as_bytes(), &berlin).unwrap();
        assert_eq!(there("20260115"), utc("202601142300Z").unwrap());
        assert_eq!(there("20260715"), utc("202607142300Z").unwrap(), "no summer time");
        assert_eq!(there("202603290230"), utc("202603290130Z").unwrap(), "in the hour that was skipped");
        assert_eq!(there("202610250230"), utc("202610250130Z").unwrap(), "in the hour that came twice");
    }

    proptest::proptest! {
        #[test]
        fn garbage_is_read_without_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let _ = read_line(1, &bytes, &TimeZone::UTC);
            let _ = moment(&bytes, &TimeZone::UTC);
            let _ = options(&bytes, &TimeZone::UTC);
        }
    }
}
