//! All mistakes of a parsed table that a look at what may stand where can find, in the words of the file.
//!
//! Each mistake is mended once it is told: a misspelt key is renamed, a number that should be a duration gets its quotes.
//! So the rest of the file is read as if it had not been made, and nothing that only follows from it is told as well.

mod guess;
mod keys;
mod one_of;
mod strays;
mod value;
mod words;

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Diagnostic, MISTAKES_MAX, shape::Shape};

/// What was mended, and whether that is surely what was meant.
#[derive(Debug)]
pub(super) struct Mended {
    path: Vec<String>,
    sure: bool,
}

/// What becomes of a value that is wrong.
enum Fix<'i> {
    /// It is right, or was mended in place.
    None,
    /// This stands there instead.
    Put(DeValue<'i>),
    /// It goes, and something stands there if it has to.
    Drop,
}

/// Mends all that is wrong in a table, and says what it was.
pub(super) fn mend(text: &str, shape: Shape<'_>, table: &mut DeTable<'_>) -> (Vec<Diagnostic>, Vec<Mended>) {
    let mut all = Mender {
        text,
        root: shape,
        path: Vec::new(),
        found: Vec::new(),
        mended: Vec::new(),
        renamed: Vec::new(),
    };
    all.move_strays(table);
    all.table(table, shape, &(0..0));
    (all.found, all.mended)
}

struct Mender<'a> {
    text: &'a str,
    root: Shape<'a>,
    /// Where we are: keys and indices.
    path: Vec<String>,
    found: Vec<Diagnostic>,
    mended: Vec<Mended>,
    /// Keys that were renamed, with their places.
    renamed: Vec<(Range<usize>, String)>,
}

impl Mender<'_> {
    fn tell(&mut self, span: Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        let span = Some(span).filter(|s| *s != (0..0));
        self.found.push(Diagnostic { message: message.into(), span, hint: Some(hint.into()) });
    }

    /// Whether as many mistakes are found as are shown: what is left of the file is not looked at any more.
    fn enough(&self) -> bool {
        self.found.len() >= MISTAKES_MAX
    }

    fn mended(&mut self, sure: bool) {
        self.mended.push(Mended { path: self.path.clone(), sure });
    }

    /// The key that we are at.
    fn key(&self) -> &str {
        self.path.iter().rev().find(|k| !is_index(k)).map_or("", String::as_str)
    }

    /// The file's line with other words at a place; if that is no one line, the key with them.
    fn line(&self, span: &Range<usize>, new: &str) -> String {
        self.rewritten(span, new).unwrap_or_else(|| match self.path.last() {
            Some(last) if !is_index(last) => format!("`{last} = {new}`"),
            _ => format!("`{new}`"),
        })
    }

    /// The file's line with other words at a place, and with what was renamed before it.
    fn rewritten(&self, span: &Range<usize>, new: &str) -> Option<String> {
        rewritten(self.text, span, new, &self.renamed)
    }
}

/// The hint of a name that was nearly right, with the line as it should be.
pub(super) fn corrected(text: &str, table: &DeTable<'_>, path: &str, hint: String) -> String {
    let meant = hint.strip_prefix("did you mean `").and_then(|h| h.split_once("`? "));
    let Some((meant, rest)) = meant else { return hint };
    let Some((span, quoted)) = super::table::locate_exactly(table, path) else { return hint };
    let new = if quoted { format!("\"{meant}\"") } else { meant.to_owned() };
    match rewritten(text, &span, &new, &[]) {
        Some(line) => format!("did you mean `{meant}`? write {line}; {rest}"),
        None => hint,
    }
}

/// The line of a text with other words at a place in it, if that is one line and not too long.
fn rewritten(text: &str, span: &Range<usize>, new: &str, more: &[(Range<usize>, String)]) -> Option<String> {
    if *span == (0..0) {
        return None;
    }
    let (before, old) = (text.get(..span.start)?, text.get(span.clone())?);
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    let after = text.get(span.end..)?.lines().next().unwrap_or_default();
    let mut line = format!("{}{new}{}", &before[start..], after.trim_end());
    let mut more: Vec<_> = more.iter().filter(|(at, _)| at.start >= start && at.end <= span.start).collect();
    // From right to left, so that no place moves.
    more.sort_by_key(|(at, _)| std::cmp::Reverse(at.start));
    for (at, word) in more {
        line.replace_range(at.start - start..at.end - start, word);
    }
    let plain = !old.contains('\n') && !new.contains('\n') && line.chars().count() <= LINE_MAX;
    plain.then(|| format!("`{}`", line.trim()))
}

/// The longest line that a hint repeats.
const LINE_MAX: usize = 160;

fn is_index(step: &str) -> bool {
    step.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a problem at `path` may only follow from what was mended.
pub(super) fn follows(given: &[String], mended: &[Mended], path: &str) -> bool {
    let steps: Vec<&str> = path.split('.').collect();
    let under = |at: &[String]| at.len() <= steps.len() && at.iter().zip(&steps).all(|(a, b)| a == b);
    let unsure = || mended.iter().filter(|m| !m.sure);
    let own = unsure().any(|m| m.path.iter().any(|p| p == path));
    if steps.len() == 1 && !given.iter().any(|k| k == path) && !own {
        return false;
    }
    // Sections that speak of each other: with a piece of one missing, the other may look wrong.
    let across = steps.len() == 1 || steps.first() == Some(&"objectives") || steps.last() == Some(&"after");
    let names_nodes = ["fault", "recover", "load", "backup"].contains(steps.first().unwrap_or(&""));
    mended.iter().any(|m| m.path == steps)
        || unsure().any(|m| {
            let parent = m.path.split_last().map_or(&[][..], |(_, parent)| parent);
            under(&m.path)
                || (!parent.is_empty() && under(parent))
                || (across && m.path.len() <= 2)
                || (steps.last() == Some(&"inject") && m.path.first().is_some_and(|p| p == "service"))
                || (names_nodes && m.path.first().is_some_and(|p| p == "stack"))
        })
}

/// A value that stands where nothing stood, or something else.
fn made<'i>(value: &serde_json::Value) -> DeValue<'i> {
    use serde_json::Value;
    let whole = |text| DeValue::parse(text).map_or(DeValue::Boolean(false), Spanned::into_inner);
    match value {
        Value::Null => DeValue::Boolean(false),
        Value::Bool(b) => DeValue::Boolean(*b),
        // The numbers of samples only have to be some.
        Value::Number(n) if n.is_f64() => whole("0.9"),
        Value::Number(_) => whole("1"),
        Value::String(s) => DeValue::String(s.clone().into()),
        Value::Array(a) => DeValue::Array(a.iter().map(|v| Spanned::new(0..0, made(v))).collect()),
        Value::Object(t) => {
            let entry = |(k, v): (&String, &Value)| {
                (Spanned::new(0..0, k.clone().into()), Spanned::new(0..0, made(v)))
            };
            DeValue::Table(t.iter().map(entry).collect())
        }
    }
}
