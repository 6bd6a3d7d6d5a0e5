//! What was meant by a line that is no TOML.

use toml::de::Error;

/// What to write where nothing better is known.
pub(super) const GENERAL: &str =
    "write one `key = value` a line, texts in double quotes, lists in `[ ]`, tables in `{ }`";

/// A mistake in a line, and the line without it.
pub(super) struct Repair {
    pub(super) message: String,
    /// Why it is written so, or what to do where no line is known; it may be empty.
    pub(super) why: String,
    /// The line as it should be.
    pub(super) line: Option<String>,
    /// How many bytes are wrong.
    pub(super) width: usize,
}

impl Repair {
    fn of(message: impl Into<String>, why: &str, line: impl Into<String>, width: usize) -> Repair {
        Repair { message: message.into(), why: why.into(), line: Some(line.into()), width }
    }

    /// What the TOML reader says, where nothing better is known.
    pub(super) fn unknown(error: &Error) -> Repair {
        let message = error.message().split(", expected").next().unwrap_or_default().to_owned();
        let why =
            "write one `key = value` a line, texts in double quotes, lists in `[ ]`, tables in `{ }`".into();
        Repair { message, why, line: None, width: error.span().map_or(1, |s| s.len()) }
    }
}

/// A line as far as it matters.
struct Line<'a> {
    all: &'a [String],
    number: usize,
    /// Without its end.
    text: &'a str,
    column: usize,
    /// The words at which the reader stopped.
    bad: &'a str,
    lists: &'a [&'a str],
}

/// The repair of an error at a column of a line, with the place that it concerns.
pub(super) fn repair(
    lines: &[String],
    number: usize,
    column: usize,
    error: &Error,
    lists: &[&str],
) -> Option<(usize, usize, Repair)> {
    let text = lines.get(number)?.trim_end_matches(['\n', '\r']);
    let width = error.span().map_or(0, |s| s.len());
    let bad = text.get(column..(column + width).min(text.len())).unwrap_or_default();
    let column = column.min(text.len());
    let line = Line { all: lines, number, text, column, bad, lists };
    if let Some((at, repair)) = line.quotes(error.message()) {
        return Some((number, at, repair));
    }
    let message = error.message();
    let begins = |m: &str| message.starts_with(m);
    if let Some((at, repair)) = line.parentheses() {
        return Some((number, at, repair));
    }
    const OPEN: [&str; 5] =
        ["missing key for inline", "missing comma", "unclosed", "unexpected `=`", "invalid inline"];
    if OPEN.into_iter().any(begins)
        && let Some(repair) = line.brackets(message)
    {
        return Some(repair);
    }
    let here = if begins("duplicate key") {
        line.twice()
    } else if begins("invalid basic string") || begins("invalid literal string") {
        line.unclosed_quote()
    } else if begins("missing escaped value") {
        line.escape()
    } else if begins("key with no value") || begins("missing assignment") || begins("invalid unquoted key") {
        line.no_equals()
    } else if begins("extra `=`") {
        Some(Repair::of("one `=` is enough", "", line.text.replacen("==", "=", 1), 1))
    } else if begins("string values must be quoted")
        || begins("invalid ")
        || begins("unexpected leading zero")
    {
        line.bare_value()
    } else if begins("unexpected key or value") {
        line.behind_value()
    } else {
        None
    };
    here.map(|r| (number, column, r))
}

impl Line<'_> {
    fn with(&self, new: &str) -> String {
        let end = self.column + self.bad.len();
        format!("{}{new}{}", &self.text[..self.column], &self.text[end..])
    }

    fn inserted(&self, new: &str) -> String {
        format!("{}{new}{}", &self.text[..self.column], &self.text[self.column..])
    }

    /// Typographic quotes.
    fn quotes(&self, message: &str) -> Option<(usize, Repair)> {
        let double = ['\u{201c}', '\u{201d}', '\u{201e}', '\u{ab}', '\u{bb}', '\u{2033}'];
        let single = ['\u{2018}', '\u{2019}', '\u{201a}'];
        let is = |c: char| double.contains(&c) || single.contains(&c);
        // Within a text they are as good as any other character.
        if !self.bad.contains(is) && !message.contains("string") {
            return None;
        }
        let at = self.text.find(is)?;
        let line = self.text.replace(double, "\"").replace(single, "\"");
        let width = self.text[at..].chars().next().map_or(1, char::len_utf8);
        Some((at, Repair::of("this is a typographic quote", "with straight quotes", line, width)))
    }

    /// A list in parentheses.
    fn parentheses(&self) -> Option<(usize, Repair)> {
        let value = self.text.split_once('=')?.1;
        let (at, inner) = (self.text.len() - value.trim_start().len(), value.trim().strip_prefix('(')?);
        let line = format!("{}[{}]", &self.text[..at], inner.strip_suffix(')')?);
        Some((at, Repair::of("a list stands in `[ ]`", "", line, value.trim().len())))
    }

    /// Brackets and commas of lists, tables and headers.
    fn brackets(&self, message: &str) -> Option<(usize, usize, Repair)> {
        let here = |r| Some((self.number, self.column, r));
        if self.text.trim_start().starts_with('[') && message.contains("table") && !message.contains("inline")
        {
            let name = self.text.trim().trim_matches(['[', ']', '{', '}', '(', ')']).trim();
            let two = self.text.trim().starts_with("[[");
            let line = if two { format!("[[{name}]]") } else { format!("[{name}]") };
            return here(Repair::of("the bracket of this section is not closed", "", line, 1));
        }
        let rest = self.text[self.column..].trim_start();
        let list = message.contains("array");
        let (open, close, what) = if list { ('[', "]", "list") } else { ('{', "}", "table") };
        let skipped = self.text.len() - self.column - rest.len();
        match rest.chars().next() {
            Some('}' | ')') if list => here(self.replaced(skipped, "]", "a list ends with `]`")),
            Some(']' | ')') if !list => here(self.replaced(skipped, "}", "a table ends with `}`")),
            Some(';') => here(self.replaced(skipped, ",", "commas stand between")),
            Some(c)
                if message.starts_with("missing comma")
                    && self.text[..self.column].contains(open)
                    && c != '#' =>
            {
                let before = self.text[..self.column].trim_end().to_owned();
                here(Repair::of("a comma is missing", "", format!("{before}, {rest}"), 1))
            }
            _ => self.unclosed(open, close, what),
        }
    }

    fn replaced(&self, skipped: usize, new: &str, why: &str) -> Repair {
        let at = self.column + skipped;
        let line = format!("{}{new}{}", &self.text[..at], &self.text[at + 1..]);
        Repair::of(format!("`{}` is out of place", &self.text[at..=at]), why, line, 1 + skipped)
    }

    /// A list or table that is never closed: it ends where it began.
    fn unclosed(&self, open: char, close: &str, what: &str) -> Option<(usize, usize, Repair)> {
        let begins = |l: &&(usize, &String)| {
            let value = l.1.split_once('=').map_or("", |(_, v)| v);
            value.matches(open).count() > value.matches(close).count()
        };
        let before: Vec<(usize, &String)> = self.all.iter().enumerate().take(self.number + 1).collect();
        let (number, line) = before.iter().rev().find(begins)?;
        let line = line.trim_end();
        let (line, comment) = line.split_once(" #").map_or((line, ""), |(l, _)| (l.trim_end(), ""));
        let at = line.find(open)?;
        let space = if open == '{' { " " } else { "" };
        let fixed = format!("{}{space}{close}{comment}", line.trim_end_matches(','));
        Some((*number, at, Repair::of(format!("this {what} is not closed"), "", fixed, 1)))
    }

    /// A key or a section that is there already.
    fn twice(&self) -> Option<Repair> {
        let header = self.text.trim_start();
        if header.starts_with('[') {
            let name = header.trim_matches(['[', ']', ' ']);
            let message = format!("the section `{name}` is there already");
            let why = match self.lists.contains(&name) {
                true => {
                    format!("write `[[{name}]]`, with two brackets, here and above: there may be several")
                }
                false => "put these lines below the one that is there".into(),
            };
            return Some(Repair { message, why, line: None, width: name.len() });
        }
        let message = format!("`{}` is given twice", self.bad);
        let why = "remove one of the two".into();
        // What remains is read as if this one were not there; two keys of one inline table are left as they are.
        let whole = header.starts_with(self.bad) && header.matches('=').count() >= 1;
        Some(Repair { message, why, line: whole.then(String::new), width: self.bad.len() })
    }

    /// A text without its second quote.
    fn unclosed_quote(&self) -> Option<Repair> {
        let quote = if self.text.matches('"').count() % 2 == 1 { '"' } else { '\'' };
        let closers = |c: char| matches!(c, ']' | '}' | ',' | ' ' | '\t');
        let (mut text, mut tail) = (self.text.trim_end(), String::new());
        let kept = text.trim_end_matches(closers);
        if text[..kept.len()].matches(['{', '[']).count() > 0 {
            tail = text[kept.len()..].to_owned();
            text = kept;
        }
        let other = if quote == '"' { '\'' } else { '"' };
        let line = format!("{}{quote}{tail}", text.trim_end_matches(other));
        Some(Repair::of("this text has no closing quote", "", line, 1))
    }

    /// A backslash that is no escape, as in a path of Windows.
    fn escape(&self) -> Option<Repair> {
        let (before, after) = (&self.text[..self.column], &self.text[self.column..]);
        let line = format!("{}\\\\{after}", before.strip_suffix('\\').unwrap_or(before));
        Some(Repair::of("a backslash in double quotes must be written twice", "", line, 1))
    }

    /// `key: value`, `key value`, `// comment`.
    fn no_equals(&self) -> Option<Repair> {
        let text = self.text;
        let start = text.trim_start();
        let indent = &text[..text.len() - start.len()];
        if let Some(comment) = start.strip_prefix("//").or(start.strip_prefix(';')) {
            return Some(Repair::of("a comment begins with `#`", "", format!("{indent}#{comment}"), 2));
        }
        if text.contains(":=") {
            return Some(Repair::of(
                "a key and its value are joined by `=`",
                "",
                text.replacen(":=", "=", 1),
                2,
            ));
        }
        // Within braces only the colon is exchanged.
        let brace = text[..self.column].rfind('{').map_or(0, |n| n + 1);
        let key = |c: char| c.is_ascii_alphanumeric() || "_-. \t".contains(c);
        let colon =
            text[brace..].find(|c| !key(c)).map(|n| n + brace).filter(|n| text[*n..].starts_with(':'));
        if let Some(colon) = colon {
            let (name, value) = (text[..colon].trim_end(), text[colon + 1..].trim_start());
            let line = format!("{name} = {value}");
            return Some(Repair::of("a key and its value are joined by `=`, not `:`", "", line, 1));
        }
        match start.split_once([' ', '\t']) {
            Some((name, value)) if !value.trim().is_empty() && !value.contains('=') => {
                let line = format!("{indent}{name} = {}", value.trim());
                Some(Repair::of("`=` is missing between the key and its value", "", line, 1))
            }
            _ => None,
        }
    }

    /// A value that is neither number nor text.
    fn bare_value(&self) -> Option<Repair> {
        let bad = self.bad.trim();
        let of =
            |message: &str, why: &str, new: &str| Some(Repair::of(message, why, self.with(new), bad.len()));
        let number = |t: &str| t.replace('_', "").parse::<f64>().is_ok();
        if bad.is_empty() {
            return Some(match self.fraction() {
                Some(line) => Repair::of("digits stand on both sides of the point", "", line, 1),
                None => Repair::of(
                    "the value is missing",
                    "with the value that is meant",
                    self.inserted(" \"..\""),
                    1,
                ),
            });
        }
        if let Some((value, comment)) = bad.split_once("//") {
            return of("a comment begins with `#`", "", &format!("{}  #{comment}", value.trim_end()));
        }
        if let Some(value) = bad.strip_suffix(';') {
            return of("no line ends with `;`", "", value);
        }
        match bad.to_lowercase().as_str() {
            "true" | "yes" | "on" => return of("this value is written `true`", "", "true"),
            "false" | "no" | "off" => return of("this value is written `false`", "", "false"),
            "null" | "none" | "nil" | "~" => {
                let why = "leave the line out: a key without a value is not written".into();
                return Some(Repair {
                    message: "TOML has no such value".into(),
                    why,
                    line: Some(String::new()),
                    width: bad.len(),
                });
            }
            _ => {}
        }
        if let Some(percent) = bad.strip_suffix('%').and_then(|p| p.trim().parse::<f64>().ok()) {
            return of("a share is a number from 0 to 1, without `%`", "", &format!("{}", percent / 100.0));
        }
        if self.text[..self.column].contains('[') && bad.split_whitespace().all(number) {
            return of("a comma is missing", "", &bad.split_whitespace().collect::<Vec<_>>().join(", "));
        }
        let plain = bad.trim_start_matches('0');
        if bad.starts_with('0') && number(plain) {
            return of("no number begins with 0", "", plain);
        }
        if bad.contains(['"', '\'', '=', '\\']) {
            return None;
        }
        of("a value that is no number stands in quotes", "", &format!("\"{bad}\""))
    }

    /// `.5` and `5.`
    fn fraction(&self) -> Option<String> {
        let (before, after) = (&self.text[..self.column], &self.text[self.column..]);
        (after.starts_with('.') || before.ends_with('.')).then(|| format!("{before}0{after}"))
    }

    /// Something behind a value or a header.
    fn behind_value(&self) -> Option<Repair> {
        let rest = self.text[self.column..].trim();
        let start = self.text.trim_start();
        if start.starts_with('[') && rest.starts_with(']') {
            let name = start.trim_matches(['[', ']', ' ']);
            let message = "the brackets of this section do not match";
            let line = if self.lists.contains(&name) { format!("[[{name}]]") } else { format!("[{name}]") };
            return Some(Repair::of(message, "", line, rest.len()));
        }
        let before = self.text[..self.column].trim_end();
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        if before.ends_with(|c: char| c.is_ascii_digit()) && rest.strip_prefix(',').is_some_and(digits) {
            let line = format!("{before}.{}", &rest[1..]);
            return Some(Repair::of("a number has a point, not a comma", "", line, 1));
        }
        match rest.chars().next() {
            Some(',' | ';') if rest.len() == 1 => {
                Some(Repair::of(format!("no line ends with `{rest}`"), "", before, 1))
            }
            Some(',' | ';') => Some(Repair {
                message: "one key and its value stand on a line".into(),
                why: "begin a new line behind the first value".into(),
                line: Some(before.to_owned()),
                width: 1,
            }),
            Some('/') => {
                let line = format!("{before}  # {}", rest.trim_start_matches('/').trim());
                Some(Repair::of("a comment begins with `#`", "", line, 2))
            }
            _ => Some(Repair {
                message: "nothing may stand behind the value".into(),
                why: "begin a new line, or put all of it in quotes, or in a list `[ .. ]`".into(),
                line: Some(before.to_owned()),
                width: rest.len(),
            }),
        }
    }
}
