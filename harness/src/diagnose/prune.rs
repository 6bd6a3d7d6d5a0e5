//! Surgery on a parsed TOML table: find a value, remove one, set one.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::Diagnostic;

/// A value that was removed because it was wrong.
#[derive(Debug)]
pub(super) struct Pruned {
    span: Range<usize>,
    /// Where the table or array stood that held it; `None` for the root.
    parent: Option<Range<usize>>,
    /// Whether an element of an array of tables, or a whole section, went.
    whole: bool,
    /// Its key, if it stood in no table.
    root: Option<String>,
}

impl Pruned {
    /// Whether it is missing now because it was removed.
    pub(super) fn is_missed(&self, message: &str) -> bool {
        self.root.as_ref().is_some_and(|key| message == format!("missing field `{key}`"))
    }

    /// Whether an error at `span` follows from this removal: it is about what stood around the removed value.
    pub(super) fn explains(&self, span: &Range<usize>) -> bool {
        let inside = span.start <= self.span.start && self.span.end <= span.end && *span != self.span;
        inside || self.parent.as_ref().is_some_and(|p| p == span)
    }
}

fn inside(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// Removes the smallest entry around `span`: the key or value at exactly that place, or else the innermost entry
/// that holds it. `None` if nothing is left to remove.
pub(super) fn prune(root: &mut DeTable<'_>, span: &Range<usize>) -> Option<Pruned> {
    let mut path = Vec::new();
    if !find_table(root, span, &mut path) {
        return None;
    }
    let last = path.pop()?;
    let whole = path.len() <= 1;
    let mut steps = path.iter();
    let Some(first) = steps.next() else {
        let Step::Key(key) = last else { return None };
        let (key, value) = root.remove_entry(key.as_str())?;
        let root = Some(key.get_ref().to_string());
        return Some(Pruned { span: key.start_to(&value), parent: None, whole, root });
    };
    let Step::Key(first) = first else { return None };
    let mut at = root.get_mut(first.as_str())?;
    for step in steps {
        at = match (at.get_mut(), step) {
            (DeValue::Table(t), Step::Key(k)) => t.get_mut(k.as_str())?,
            (DeValue::Array(a), Step::Index(i)) => a.get_mut(*i)?,
            _ => return None,
        };
    }
    let parent = Some(at.span());
    let span = match (at.get_mut(), last) {
        (DeValue::Table(t), Step::Key(k)) => {
            let (key, value) = t.remove_entry(k.as_str())?;
            key.start_to(&value)
        }
        (DeValue::Array(a), Step::Index(i)) => {
            let span = a.get(i)?.span();
            let mut kept = DeArray::new();
            for (_, v) in
                std::mem::replace(a, DeArray::new()).into_iter().enumerate().filter(|(n, _)| *n != i)
            {
                kept.push(v);
            }
            *a = kept;
            span
        }
        _ => return None,
    };
    Some(Pruned { span, parent, whole, root: None })
}

trait StartTo {
    /// From the start of a key to the end of its value.
    fn start_to(&self, value: &Spanned<DeValue<'_>>) -> Range<usize>;
}

impl StartTo for Spanned<toml::de::DeString<'_>> {
    fn start_to(&self, value: &Spanned<DeValue<'_>>) -> Range<usize> {
        self.span().start..value.span().end.max(self.span().end)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

/// Leaves in `path` the way to the entry to remove.
fn find_table(table: &DeTable<'_>, span: &Range<usize>, path: &mut Vec<Step>) -> bool {
    for (key, value) in table {
        path.push(Step::Key(key.get_ref().to_string()));
        if key.span() == *span || find_value(value, span, path) {
            return true;
        }
        path.pop();
    }
    false
}

fn find_value(value: &Spanned<DeValue<'_>>, span: &Range<usize>, path: &mut Vec<Step>) -> bool {
    let deeper = match value.get_ref() {
        DeValue::Table(t) => find_table(t, span, path),
        DeValue::Array(a) => a.iter().enumerate().any(|(i, v)| {
            path.push(Step::Index(i));
            find_value(v, span, path) || {
                path.pop();
                false
            }
        }),
        _ => false,
    };
    deeper || value.span() == *span || (!span.is_empty() && inside(&value.span(), span))
}

/// Whether a problem at `path` may only follow from what was removed.
pub(super) fn follows(root: &DeTable<'_>, pruned: &[Pruned], path: &str) -> bool {
    if pruned.is_empty() {
        return false;
    }
    // Sections that speak of each other: with a piece of one missing, the other may look wrong.
    let across = !path.contains('.') || path.starts_with("objectives.") || path.ends_with(".after");
    if across && pruned.iter().any(|p| p.whole) {
        return true;
    }
    let mut tables = Vec::new();
    walk(root, path, |value| tables.push(value.span()));
    pruned.iter().any(|p| p.parent.as_ref().is_some_and(|parent| tables.iter().any(|t| t == parent)))
}

/// The place of the value at `path`, or of the innermost value on the way to it.
pub(super) fn locate(root: &DeTable<'_>, path: &str) -> Option<Range<usize>> {
    let mut last = None;
    walk(root, path, |value| last = Some(value.span()));
    last.filter(|s| *s != (0..0))
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
