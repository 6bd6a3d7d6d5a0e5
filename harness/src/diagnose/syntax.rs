//! Mistakes in a file's TOML itself. Each line that cannot be read is repaired and the file is read again, so that what
//! only follows from a first mistake is never told, and the repaired line is the hint.

mod other;
mod repair;

use std::ops::Range;

use toml::de::DeTable;

use super::{Diagnostic, MISTAKES_MAX};
use repair::Repair;

/// A repaired line must let the file be read a little further.
struct Reading {
    error: Option<toml::de::Error>,
    at: usize,
}

fn read(text: &str) -> Reading {
    let (_, errors) = DeTable::parse_recoverable(text);
    let at = |e: &toml::de::Error| e.span().map_or(0, |s| s.start);
    let error = errors.into_iter().min_by_key(at);
    Reading { at: error.as_ref().map_or(usize::MAX, at), error }
}

/// All mistakes of a text that is no TOML; none if it is.
pub(super) fn mistakes(text: &str, lists: &[&str]) -> Vec<Diagnostic> {
    let first = read(text);
    if first.error.is_none() {
        return Vec::new();
    }
    if let Some(whole) = other::language(text) {
        return vec![whole];
    }
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let mut found: Vec<(usize, Diagnostic)> = Vec::new();
    let mut reading = first;
    // A line may need several repairs.
    for _ in 0..4 * MISTAKES_MAX {
        let Some(error) = &reading.error else { break };
        let (number, column) = line_of(&lines, reading.at);
        let repaired = repair::repair(&lines, number, column, error, lists);
        let (number, column, repair) = repaired.unwrap_or_else(|| (number, column, Repair::unknown(error)));
        let again = repair.line.as_ref().and_then(|line| with(&lines, number, line, &reading));
        tell(&mut found, text, number, column, repair, again.is_some());
        let Some(next) = again else { break };
        (lines, reading) = next;
    }
    found.into_iter().map(|(_, d)| d).collect()
}

/// The lines with one of them repaired, if they can then be read further than before.
fn with(lines: &[String], number: usize, line: &str, before: &Reading) -> Option<(Vec<String>, Reading)> {
    let mut new = lines.to_vec();
    let old = new.get_mut(number)?;
    *old = format!("{line}{}", ending(old));
    let text = new.concat();
    let reading = read(&text);
    let grown = text.len().saturating_sub(lines.concat().len());
    let words = |r: &Reading| r.error.as_ref().map(|e| e.message().to_owned());
    let further = reading.at > before.at.saturating_add(grown)
        || line_of(&new, reading.at).0 > line_of(lines, before.at).0
        || words(&reading) != words(before);
    further.then_some((new, reading))
}

/// One mistake a line: a line that needed two repairs shows the last one.
fn tell(
    found: &mut Vec<(usize, Diagnostic)>,
    text: &str,
    number: usize,
    column: usize,
    repair: Repair,
    further: bool,
) {
    let shown = repair.line.as_deref().filter(|_| further).map(str::trim).filter(|l| !l.is_empty());
    let hint = match (shown, repair.why) {
        (Some(line), why) if why.is_empty() => format!("write `{line}`"),
        (Some(line), why) => format!("write `{line}`: {why}"),
        (None, why) if why.is_empty() => repair::GENERAL.to_owned(),
        (None, why) => why,
    };
    let hint = Some(hint);
    if let Some((_, before)) = found.iter_mut().find(|(n, _)| *n == number) {
        if further {
            before.hint = hint;
        }
        return;
    }
    let span = place(text, number, column, repair.width);
    found.push((number, Diagnostic { message: repair.message, span: Some(span), hint }));
}

/// The line, from 0, and the byte in it at which a text's byte stands.
fn line_of(lines: &[String], at: usize) -> (usize, usize) {
    let mut start = 0;
    for (n, line) in lines.iter().enumerate() {
        if at < start + line.len() || n + 1 == lines.len() {
            return (n, (at - start).min(line.len()));
        }
        start += line.len();
    }
    (0, 0)
}

/// A place in the text as it was written.
fn place(text: &str, number: usize, column: usize, width: usize) -> Range<usize> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let start: usize = lines.iter().take(number).map(|l| l.len()).sum();
    let line = lines.get(number).copied().unwrap_or_default();
    let longest = line.len() - ending(line).len();
    let from = floor(line, column.min(longest));
    let to = floor(line, (from + width.max(1)).min(longest).max(from));
    start + from..start + to.max(from)
}

fn floor(line: &str, mut at: usize) -> usize {
    while !line.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ending(line: &str) -> &str {
    if line.ends_with("\r\n") {
        "\r\n"
    } else if line.ends_with('\n') {
        "\n"
    } else {
        ""
    }
}
