//! Who may sign what: an `allowed_signers` file, read as `ssh-keygen` reads it.
//!
//! An auditor asks `ssh-keygen`, and the operator asks gameday: both must say the same, or one of them is deceived. So
//! this is the same reader, odd corners included: the first line that fits decides; a line that cannot be read ends the
//! search if it is about the signer; patterns may be negated; moments without a `Z` are local time, in standard time;
//! a 30th of February is a day in March. Only Ed25519 keys sign here; lines about other keys trust nobody.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::tz::TimeZone;
use ssh_key::{HashAlg, LineEnding, PublicKey, SshSig};

use super::{
    Trouble,
    plain::{self, Links},
    unix_of,
};

/// Who may sign what.
#[derive(Clone, Debug)]
pub struct Allowed {
    lines: Vec<Line>,
}

/// One line that says something.
#[derive(Clone, Debug)]
struct Line {
    /// Counted from 1.
    number: usize,
    /// Names and patterns; `None` if not even these can be told.
    principals: Option<Vec<u8>>,
    rule: Result<Rule, String>,
}

#[derive(Clone, Debug, Default)]
struct Rule {
    /// It vouches for certificates, and not for the key itself.
    authority: bool,
    namespaces: Option<Vec<u8>>,
    after: Option<u64>,
    before: Option<u64>,
    /// `None` for keys of another kind.
    key: Option<[u8; 32]>,
}

/// What a look for a signer ended with.
enum Found<'a> {
    Line(&'a Line),
    Nobody(Option<String>),
    Broken(String),
}

impl Allowed {
    /// Reads the file.
    ///
    /// # Errors
    /// If it cannot be read, or none of its lines is understood.
    pub fn load(path: &Path) -> Result<Allowed, Trouble> {
        let text = plain::read(path, Links::Followed, plain::SMALL).map_err(|e| {
            Trouble::usage(
                format!("the signers `{}`: {e}", path.display()),
                "name the file of signers that you were given on another way than the evidence, with --signers",
            )
        })?;
        let allowed = Allowed::parse(&text, &TimeZone::system());
        let why = allowed.broken().next();
        match why.filter(|_| allowed.lines.iter().all(|l| l.rule.is_err())) {
            Some(why) => Err(Trouble::usage(
                format!("{}: {why}", path.display()),
                "write a line as `gameday evidence keygen` prints it: who namespaces=\"..\" ssh-ed25519 KEY",
            )),
            None => Ok(allowed),
        }
    }

    /// The rules of a text. `zone` is where moments without a `Z` are meant.
    pub fn parse(text: impl AsRef<[u8]>, zone: &TimeZone) -> Allowed {
        let mut lines = Vec::new();
        for (i, line) in text.as_ref().split_inclusive(|b| *b == b'\n').enumerate() {
            // Its reader ends a line at the first zero byte.
            let line = line.split(|b| *b == 0).next().unwrap_or_default();
            let line = &line[line.iter().take_while(|b| white(**b)).count()..];
            if line.first().is_some_and(|b| *b != b'#') {
                lines.push(read_line(i + 1, line, zone));
            }
        }
        Allowed { lines }
    }

    /// The lines that are not understood, in words: nobody is trusted because of them.
    pub fn broken(&self) -> impl Iterator<Item = String> {
        let said =
            |l: &Line| l.rule.as_ref().err().map(|why| format!("line {} of the signers: {why}", l.number));
        self.lines.iter().filter_map(said)
    }

    /// Whether one key made both signatures, whatever they are over.
    pub(super) fn same_key(a: &[u8], b: &[u8]) -> bool {
        let key = |armoured: &[u8]| SshSig::from_pem(armoured).ok().map(|s| s.public_key().clone());
        key(a).is_some_and(|a| Some(a) == key(b))
    }

    /// Whether this signature over these bytes is `who`'s, as `ssh-keygen -Y verify -I who` would say at that moment.
    /// `at` is the stamp in the ledger, for keys that are valid for a time only.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn check(
        &self,
        who: &str,
        namespace: &str,
        bytes: &[u8],
        armoured: &[u8],
        at: &str,
    ) -> Result<(), String> {
        let key = made(namespace, bytes, armoured)?;
        let at = unix_of(at).ok_or_else(|| format!("`{at}` is not a moment"))?;
        match self.find(&key, Some(who.as_bytes()), Some(namespace), at) {
            Found::Line(_) => Ok(()),
            Found::Broken(why) => Err(why),
            Found::Nobody(Some(why)) => Err(format!("the key of {who} {why}")),
            Found::Nobody(None) => match self.find(&key, None, None, at) {
                Found::Line(line) => {
                    Err(format!("it was made with the key of {}, not of {who}", line.shown()))
                }
                Found::Nobody(_) | Found::Broken(_) => {
                    let print =
                        PublicKey::from(ssh_key::public::Ed25519PublicKey(key)).fingerprint(HashAlg::Sha256);
                    let why = self.broken().next().map_or(String::new(), |why| format!("; {why}"));
                    Err(format!("its key {print} is not among the allowed signers as {who}{why}"))
                }
            },
        }
    }

    /// Whose signature this is, as `ssh-keygen -Y find-principals` would say: the first name of the first line.
    pub fn who(&self, armoured: &[u8], at: &str) -> Option<String> {
        let key = key_of(&SshSig::from_pem(armoured).ok()?)?;
        match self.find(&key, None, None, unix_of(at)?) {
            Found::Line(line) => line.shown().split(',').next().map(str::to_owned),
            Found::Nobody(_) | Found::Broken(_) => None,
        }
    }

    fn find(&self, key: &[u8; 32], who: Option<&[u8]>, namespace: Option<&str>, at: u64) -> Found<'_> {
        let mut near = None;
        for line in &self.lines {
            let broken = |why: &str| Found::Broken(format!("line {} of the signers: {why}", line.number));
            match (&line.principals, &line.rule) {
                (None, rule) => return broken(rule.as_ref().err().map_or("", String::as_str)),
                (Some(all), _) if who.is_some_and(|who| !listed(who, all)) => {}
                (Some(_), Err(why)) => return broken(why),
                (Some(_), Ok(rule)) if rule.key.as_ref() == Some(key) && !rule.authority => {
                    match rule.permits(namespace, at) {
                        Ok(()) => return Found::Line(line),
                        Err(why) => near = Some(why),
                    }
                }
                (Some(_), Ok(_)) => {}
            }
        }
        Found::Nobody(near)
    }
}

impl Line {
    fn shown(&self) -> String {
        String::from_utf8_lossy(self.principals.as_deref().unwrap_or_default()).into_owned()
    }
}

impl Rule {
    fn permits(&self, namespace: Option<&str>, at: u64) -> Result<(), String> {
        if let (Some(all), Some(namespace)) = (&self.namespaces, namespace)
            && !listed(namespace.as_bytes(), all)
        {
            return Err(format!("may not sign in `{namespace}`"));
        }
        if self.after.is_some_and(|after| at < after) {
            return Err("was not valid yet".into());
        }
        if self.before.is_some_and(|before| at > before) {
            return Err("was not valid any more".into());
        }
        Ok(())
    }
}

fn key_of(signature: &SshSig) -> Option<[u8; 32]> {
    signature.public_key().ed25519().map(|key| key.0)
}

/// The key that made a signature over exactly these bytes.
fn made(namespace: &str, bytes: &[u8], armoured: &[u8]) -> Result<[u8; 32], String> {
    let signature = SshSig::from_pem(armoured).map_err(|e| {
        let right = |b: &[u8]| {
            SshSig::from_pem(b).is_ok_and(|s| s.to_pem(LineEnding::LF).is_ok_and(|p| p.as_bytes() == b))
        };
        if plain::line_ends_converted(armoured, right) {
            return "its line ends were converted: copy it again, byte by byte".to_owned();
        }
        format!("it is not a signature ({e})")
    })?;
    // Armour leaves room for bytes that decode to the same, and the version's are not signed: only those that we
    // would have written are accepted.
    let parts = (signature.public_key().clone(), signature.namespace(), signature.hash_alg());
    let ours = SshSig::new(parts.0, parts.1, parts.2, signature.signature().clone())
        .and_then(|s| s.to_pem(LineEnding::LF))
        .map_err(|e| e.to_string())?;
    if ours.as_bytes() != armoured {
        if plain::line_ends_converted(armoured, |b| b == ours.as_bytes()) {
            return Err("its line ends were converted: copy it again, byte by byte".into());
        }
        return Err("its armour was changed".into());
    }
    let key = key_of(&signature).ok_or("it was made with a key that is not ssh-ed25519")?;
    let public = PublicKey::from(signature.public_key().clone());
    public.verify(namespace, bytes, &signature).map_err(|_| match signature.namespace() {
        other if other != namespace => format!("it was made for `{other}`, not for `{namespace}`"),
        _ => "it is not a signature over these bytes".to_owned(),
    })?;
    Ok(key)
}

fn white(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

fn blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

/// Skips what fits.
fn skip(text: &[u8], fits: fn(u8) -> bool) -> &[u8] {
    &text[text.iter().take_while(|b| fits(**b)).count()..]
}

fn read_line(number: usize, line: &[u8], zone: &TimeZone) -> Line {
    let Some((principals, rest)) = first_word(line) else {
        let why = Err("a signer needs a name and a key".to_owned());
        return Line { number, principals: None, rule: why };
    };
    let rule = rule(rest, zone).map_err(|why| match principals.strip_prefix(b"\xef\xbb\xbf") {
        Some(_) => "it begins with a byte order mark; write the file without".to_owned(),
        None => why,
    });
    Line { number, principals: Some(principals), rule }
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
fn listed(word: &[u8], list: &[u8]) -> bool {
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
            let allowed = Allowed::parse(&bytes, &TimeZone::UTC);
            let _ = allowed.broken().count();
            let _ = moment(&bytes, &TimeZone::UTC);
            let _ = options(&bytes, &TimeZone::UTC);
        }
    }
}
