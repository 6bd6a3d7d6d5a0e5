//! Reading a scenario file: all mistakes at once, each with its line, a caret and the fix.
//!
//! A deserialiser stops at its first error, and speaks of the types of a program. So the file is parsed into a table that
//! knows where each value stands (`syntax` tells of what is no TOML), and where the types refuse it, it is compared with
//! their JSON Schema (`shape`): each difference is told in the words of the file and mended (`mend`). What is left is
//! compiled, which finds the mistakes that types cannot see. A mistake that only follows from another is never shown.

mod mend;
mod render;
mod shape;
mod syntax;
mod table;

use std::ops::Range;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, Deserializer},
};

use crate::{plan::Plan, scenario::Scenario};
use shape::Shape;

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
pub fn read<T: DeserializeOwned + JsonSchema, C>(
    bytes: &[u8],
    overrides: &[(String, String)],
    compile: impl Fn(&T) -> Result<C, Vec<Problem>>,
) -> Result<(T, C), Vec<Diagnostic>> {
    let text = text_of(bytes)?;
    let (mut table, errors) = DeTable::parse_recoverable(text);
    let schema = || shape::schema_of::<T>();
    if !errors.is_empty() {
        return Err(in_order(syntax::mistakes(text, &Shape::new(&schema()).lists())));
    }
    for (path, value) in overrides {
        table::set(table.get_mut(), path, value).map_err(|d| vec![d])?;
    }
    let given: Vec<String> = table.get_ref().keys().map(|k| k.get_ref().to_string()).collect();
    let typed = |table: &Spanned<DeTable<'_>>| T::deserialize(Deserializer::from(table.clone()));
    let (mut found, mut mended) = (Vec::new(), Vec::new());
    let mut written = typed(&table);
    if written.is_err() {
        (found, mended) = mend::mend(text, Shape::new(&schema()), table.get_mut());
        written = typed(&table);
    }
    let problems = match written.map(|w| (compile(&w), w)) {
        Ok((Ok(made), written)) if found.is_empty() => return Ok((written, made)),
        Ok((Ok(_), _)) => Vec::new(),
        Ok((Err(problems), _)) => problems,
        Err(error) if found.is_empty() => return Err(vec![unexplained(&error)]),
        Err(_) => Vec::new(),
    };
    let schema = schema();
    let shape = Shape::new(&schema);
    let mut problems: Vec<Problem> =
        problems.into_iter().filter(|p| !mend::follows(&given, &mended, &p.path)).collect();
    // Sections that are missing have no place; they come in the order in which they are written.
    problems.sort_by_key(|p| shape.keys().iter().position(|k| *k == p.path));
    found.extend(problems.into_iter().map(|p| told(text, shape, table.get_ref(), p)));
    Err(in_order(found))
}

/// A mistake that types cannot see, at its place and with the line as it should be.
fn told(text: &str, shape: Shape<'_>, table: &DeTable<'_>, problem: Problem) -> Diagnostic {
    let Problem { path, message, hint } = problem;
    let span = table::locate(table, &path);
    let hint = match shape.key(&path).filter(|_| !table.contains_key(path.as_str())) {
        // A section that is not there at all.
        Some(section) => {
            let hint = hint.unwrap_or_default();
            Some(format!("{hint}, for example:\n{}", shape::section(&path, &section.sample())))
        }
        None => hint.map(|h| mend::corrected(text, table, &path, h)),
    };
    Diagnostic { message, span, hint }
}

/// What the types refuse and their schema does not: no file of ours should ever come here.
fn unexplained(error: &toml::de::Error) -> Diagnostic {
    Diagnostic {
        message: "what stands here cannot be read".into(),
        span: error.span().filter(|s| *s != (0..0)),
        hint: Some("compare it with what `gameday schema` prints".into()),
    }
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
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(whole("the file is UTF-16 text".into(), "save the file as UTF-8"));
    }
    std::str::from_utf8(bytes).map_err(|e| {
        let line = bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        whole(format!("line {line} is not UTF-8 text"), "save the file as UTF-8")
    })
}

/// The word that was probably meant.
pub(crate) fn closest<'a>(word: &str, known: &'a [String]) -> Option<&'a str> {
    let near = known.iter().map(|k| (strsim::damerau_levenshtein(word, k), k)).min()?;
    (near.0 <= 1 + word.len() / 4).then_some(near.1.as_str())
}

#[cfg(test)]
mod tests;
