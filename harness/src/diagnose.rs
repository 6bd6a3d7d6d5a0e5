//! Reading a scenario file: all mistakes at once, each with its line, a caret and the fix.
//!
//! A deserialiser stops at its first error. So the file is parsed into a table that knows where each value stands,
//! and then deserialised again and again: each error is kept, the value that caused it is pruned, and the rest is
//! tried once more. What is left is compiled, which finds the mistakes that types cannot see. A mistake that only
//! follows from pruning is never shown.

mod prune;
mod render;

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, Deserializer};

use crate::{plan::Plan, scenario::Scenario};

pub use render::render;

/// The largest scenario file that is read.
pub const FILE_MAX: usize = 1 << 20;

/// The most mistakes shown of one file.
const MISTAKES_MAX: usize = 50;

/// A mistake in a scenario's meaning, at a path such as `fault.0.inject.kill.node`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Problem {
    /// Keys and indices, joined by dots.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// The fix.
    pub hint: Option<String>,
}

/// A mistake in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes; `None` if it stands in no file (`--set`) or concerns all of it.
    pub span: Option<Range<usize>>,
    /// The fix.
    pub hint: Option<String>,
}

/// A scenario that may be played.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded {
    /// The scenario, overrides applied.
    pub scenario: Scenario,
    /// Compiled.
    pub plan: Plan,
}

/// Loads a scenario file. `overrides` are pairs of a path (`objectives.rto`) and a TOML value.
///
/// # Errors
/// All mistakes of the file, in its order; never none.
pub fn load(bytes: &[u8], overrides: &[(String, String)]) -> Result<Loaded, Vec<Diagnostic>> {
    let (scenario, plan) = read(bytes, overrides, Plan::compile)?;
    Ok(Loaded { scenario, plan })
}

/// Reads any file of ours: its types first, then `compile`, which finds the mistakes that types cannot see. Answers with
/// what was written, and what was made of it.
///
/// # Errors
/// All mistakes of the file, in its order; never none.
pub fn read<T: DeserializeOwned, C>(
    bytes: &[u8],
    overrides: &[(String, String)],
    compile: impl Fn(&T) -> Result<C, Vec<Problem>>,
) -> Result<(T, C), Vec<Diagnostic>> {
    let text = text_of(bytes)?;
    let (mut table, syntax) = DeTable::parse_recoverable(text);
    if !syntax.is_empty() {
        return Err(in_order(syntax.iter().map(from_toml).collect()));
    }
    for (path, value) in overrides {
        prune::set(table.get_mut(), path, value).map_err(|d| vec![d])?;
    }
    let mut found: Vec<Diagnostic> = Vec::new();
    let mut pruned: Vec<prune::Pruned> = Vec::new();
    let written = loop {
        let error = match T::deserialize(Deserializer::from(table.clone())) {
            Ok(written) => break Some(written),
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        // An error around something already pruned follows from the pruning.
        if !pruned.iter().any(|p| p.explains(&span) || p.is_missed(error.message())) {
            found.push(from_toml(&error));
        }
        match prune::prune(table.get_mut(), &span) {
            Some(p) if found.len() < MISTAKES_MAX => pruned.push(p),
            _ => break None,
        }
    };
    let problems = match written.map(|w| (compile(&w), w)) {
        Some((Ok(made), written)) if found.is_empty() => return Ok((written, made)),
        Some((Err(problems), _)) => problems,
        _ => Vec::new(),
    };
    let follows = |p: &Problem| prune::follows(table.get_ref(), &pruned, &p.path);
    found.extend(problems.into_iter().filter(|p| !follows(p)).map(|p| Diagnostic {
        span: prune::locate(table.get_ref(), &p.path),
        message: p.message,
        hint: p.hint,
    }));
    Err(in_order(found))
}

fn in_order(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    found.sort_by_key(|d| d.span.as_ref().map_or((0, 0), |s| (s.start, s.end)));
    found.dedup();
    found.truncate(MISTAKES_MAX);
    found
}

fn text_of(bytes: &[u8]) -> Result<&str, Vec<Diagnostic>> {
    let whole =
        |message: String, hint: &str| vec![Diagnostic { message, span: None, hint: Some(hint.into()) }];
    if bytes.len() > FILE_MAX {
        return Err(whole(format!("the file has {} bytes", bytes.len()), "a scenario has at most 1 MiB"));
    }
    std::str::from_utf8(bytes).map_err(|e| {
        let line = bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        whole(format!("line {line} is not UTF-8 text"), "save the file as UTF-8")
    })
}

fn from_toml(error: &toml::de::Error) -> Diagnostic {
    let span = error.span().filter(|s| *s != (0..0));
    let (message, hint) = explain(error.message());
    Diagnostic { message, span, hint }
}

/// Adds "did you mean" to serde's lists of what it expected.
fn explain(message: &str) -> (String, Option<String>) {
    let Some((what, list)) = message.split_once(", expected ") else {
        return (message.to_owned(), missing(message));
    };
    let words: Vec<String> = list.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let got = what.split('`').nth(1);
    let near = got.and_then(|g| closest(g, &words)).map(|n| format!("did you mean `{n}`? "));
    let hint = match (words.is_empty(), near) {
        (true, _) => format!("expected {list}"),
        (false, near) => format!("{}expected {list}", near.unwrap_or_default()),
    };
    (what.to_owned(), Some(hint))
}

fn missing(message: &str) -> Option<String> {
    let field = message.strip_prefix("missing field `")?.strip_suffix('`')?;
    Some(format!("add `{field} = ..` here; `gameday schema` prints what is expected"))
}

/// The word that was probably meant.
pub(crate) fn closest<'a>(word: &str, known: &'a [String]) -> Option<&'a str> {
    let near = known.iter().map(|k| (strsim::damerau_levenshtein(word, k), k)).min()?;
    (near.0 <= 1 + word.len() / 4).then_some(near.1.as_str())
}

#[cfg(test)]
mod tests;
