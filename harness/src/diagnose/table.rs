//! Values of a parsed TOML table by their paths: where one stands, and setting one.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Diagnostic;

/// The place of the value at `path`, or of the innermost value on the way to it.
pub(super) fn locate(root: &DeTable<'_>, path: &str) -> Option<Range<usize>> {
    let mut last = None;
    walk(root, path, |value| last = Some(value.span()));
    last.filter(|s| *s != (0..0))
}

/// The place of the text or number at `path`, and of nothing else; whether it is a text.
pub(super) fn locate_exactly(root: &DeTable<'_>, path: &str) -> Option<(Range<usize>, bool)> {
    let (mut found, mut left) = (None, path.split('.').count());
    walk(root, path, |value| {
        left -= 1;
        let single = |v: &&Spanned<DeValue<'_>>| !v.get_ref().is_table() && !v.get_ref().is_array();
        found = Some(value).filter(|_| left == 0).filter(single).map(|v| (v.span(), v.get_ref().is_str()));
    });
    found
}

fn walk<'a, 'i>(root: &'a DeTable<'i>, path: &str, mut visit: impl FnMut(&'a Spanned<DeValue<'i>>)) {
    let mut steps = path.split('.');
    let Some(mut at) = steps.next().and_then(|k| root.get(k)) else { return };
    visit(at);
    for step in steps {
        let next = match at.get_ref() {
            DeValue::Table(t) => t.get(step),
            DeValue::Array(a) => step.parse::<usize>().ok().and_then(|i| a.get(i)),
            _ => None,
        };
        let Some(next) = next else { return };
        at = next;
        visit(at);
    }
}

/// Sets the value at `path`; tables on the way are made where they are missing.
pub(super) fn set<'i>(root: &mut DeTable<'i>, path: &str, value: &str) -> Result<(), Diagnostic> {
    let wrong = |why: &str, hint: &str| Diagnostic {
        message: format!("--set {path}={value}: {why}"),
        span: None,
        hint: Some(hint.into()),
    };
    let hint = "for example --set objectives.rto=30s or --set fault.0.at=10s";
    if path.split('.').count() > 16 {
        return Err(wrong("the path is too deep", hint));
    }
    let mut steps = path.split('.');
    let mut entry = match steps.next().filter(|s| !s.is_empty()) {
        None => return Err(wrong("the path is empty", hint)),
        Some(first) => root
            .entry(Spanned::new(0..0, first.to_owned().into()))
            .or_insert_with(|| Spanned::new(0..0, DeValue::Table(DeTable::new()))),
    };
    for step in steps {
        entry = match entry.get_mut() {
            DeValue::Table(t) => t
                .entry(Spanned::new(0..0, step.to_owned().into()))
                .or_insert_with(|| Spanned::new(0..0, DeValue::Table(DeTable::new()))),
            DeValue::Array(a) => {
                let count = a.len();
                step.parse::<usize>().ok().and_then(|i| a.get_mut(i)).ok_or_else(|| {
                    wrong(&format!("`{step}` is no index; there are {count} elements, counted from 0"), hint)
                })?
            }
            _ => {
                return Err(wrong(
                    &format!("nothing can stand at `{step}`: its parent is a single value"),
                    hint,
                ));
            }
        };
    }
    *entry = Spanned::new(0..0, parse_value(value));
    Ok(())
}

/// A TOML value, or else the text itself, so that `--set objectives.rto=30s` needs no quotes.
fn parse_value(text: &str) -> DeValue<'static> {
    // The parsed value borrows its digits. The few texts of a command line may live as long as the program.
    let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
    DeValue::parse(text).map_or_else(|_| DeValue::String(text.into()), |v| nowhere(v.into_inner()))
}

/// The same value without places: it stands in no file.
fn nowhere(value: DeValue<'_>) -> DeValue<'_> {
    match value {
        DeValue::Array(a) => {
            DeValue::Array(a.into_iter().map(|v| Spanned::new(0..0, nowhere(v.into_inner()))).collect())
        }
        DeValue::Table(t) => DeValue::Table(
            t.into_iter()
                .map(|(k, v)| {
                    (Spanned::new(0..0, k.into_inner()), Spanned::new(0..0, nowhere(v.into_inner())))
                })
                .collect(),
        ),
        single => single,
    }
}
