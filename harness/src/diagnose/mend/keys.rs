//! Keys: misspelt, unknown and missing ones.

use std::ops::Range;

use toml::{Spanned, de::DeTable};

use super::{Fix, Mender, is_index, made, words};
use crate::diagnose::shape::{Shape, section, toml};

impl Mender<'_> {
    /// A table: each of its keys, then what is missing.
    pub(super) fn table(&mut self, table: &mut DeTable<'_>, shape: Shape<'_>, span: &Range<usize>) {
        let keys: Vec<String> = table.keys().map(|k| k.get_ref().to_string()).collect();
        for written in keys {
            if self.enough() {
                return;
            }
            let key = match shape.key(&written) {
                Some(_) => Some(written),
                None => self.unknown(table, shape, &written),
            };
            if let Some((key, shape)) = key.and_then(|k| shape.key(&k).map(|s| (k, s))) {
                self.path.push(key);
                self.entry(table, shape);
                self.path.pop();
            }
        }
        self.missing(table, shape, span);
    }

    /// The value at the key that we are at.
    fn entry(&mut self, table: &mut DeTable<'_>, shape: Shape<'_>) {
        let Some(key) = self.path.last().cloned() else { return };
        let Some(at) = table.get_key_value(key.as_str()).map(|(k, _)| k.span()) else { return };
        let Some(value) = table.get_mut(key.as_str()) else { return };
        match self.value(value, shape, &at) {
            Fix::None => {}
            Fix::Put(new) => *value.get_mut() = new,
            Fix::Drop => drop(table.remove(key.as_str())),
        }
    }

    /// A key that nothing is known of: it is renamed to what was surely meant, which is then answered, or goes.
    pub(super) fn unknown(
        &mut self,
        table: &mut DeTable<'_>,
        shape: Shape<'_>,
        written: &str,
    ) -> Option<String> {
        let keys = shape.keys();
        let (key, value) = table.remove_entry(written)?;
        let header = self.text[..key.span().start].ends_with('[');
        let message = match self.path.is_empty() && header {
            true => format!("there is no section `{written}`"),
            false => format!("{} has no key `{written}`", self.place()),
        };
        let meant = words::near(written, &keys);
        let hint = match meant {
            // What is set on the command line stands in no line.
            Some(meant) if key.span() == (0..0) => format!("did you mean `{meant}`?"),
            Some(meant) if table.contains_key(meant) => {
                format!("did you mean `{meant}`? it is given already: remove one of the two")
            }
            Some(meant) => {
                let line = self.rewritten(&key.span(), meant).unwrap_or_else(|| format!("`{meant}`"));
                format!("did you mean `{meant}`? write {line}")
            }
            None => match self.home(written) {
                Some(home) => format!("move it: {}", home.says(written)),
                None if keys.is_empty() => "remove it: nothing can be set here".into(),
                None => format!("remove it, or write one of {}", words::list(&keys)),
            },
        };
        self.tell(key.span(), message, hint);
        self.path.push(meant.unwrap_or(written).to_owned());
        // A key that nobody knows is missed by nobody.
        self.mended(true);
        self.path.pop();
        let meant = meant.filter(|m| !table.contains_key(*m))?;
        self.renamed.push((key.span(), meant.to_owned()));
        table.insert(Spanned::new(key.span(), meant.to_owned().into()), value);
        Some(meant.to_owned())
    }

    fn missing(&mut self, table: &mut DeTable<'_>, shape: Shape<'_>, span: &Range<usize>) {
        let absent: Vec<&str> = shape.required().filter(|k| !table.contains_key(*k)).collect();
        for key in absent {
            let Some(sample) = shape.key(key).map(Shape::sample) else { continue };
            self.path.push(key.to_owned());
            // What was dropped has been told of.
            if !self.mended.iter().any(|m| m.path == self.path) {
                let step = self.path.pop().unwrap_or_default();
                let hint = self.add(table, span, key, &sample);
                let message = match (self.path.is_empty(), sample.is_object()) {
                    (true, true) => format!("the section [{key}] is missing"),
                    (true, false) => format!("`{key}` is missing"),
                    _ => format!("{} needs `{key}`", self.place()),
                };
                self.tell(span.clone(), message, hint);
                self.path.push(step);
                self.mended(false);
            }
            self.path.pop();
            table.insert(Spanned::new(0..0, key.to_owned().into()), Spanned::new(0..0, made(&sample)));
        }
    }

    /// What to write for a key that is missing.
    fn add(&self, table: &DeTable<'_>, span: &Range<usize>, key: &str, sample: &serde_json::Value) -> String {
        let entry = format!("{key} = {}", toml(sample));
        let written = self.text.get(span.clone()).filter(|t| t.starts_with('{'));
        match written {
            _ if self.path.is_empty() && sample.is_object() => {
                format!("add, for example:\n{}", section(key, sample))
            }
            _ if self.path.is_empty() => format!("add above all sections, for example `{entry}`"),
            Some(_) if table.is_empty() => {
                format!("write, for example {}", self.line(span, &format!("{{ {entry} }}")))
            }
            Some(inner) if inner.ends_with('}') => {
                let inner = inner[..inner.len() - 1].trim_end().trim_end_matches(',');
                format!("write, for example {}", self.line(span, &format!("{inner}, {entry} }}")))
            }
            _ => format!("add the line `{entry}`, for example"),
        }
    }

    /// The table that we are in, as its file names it.
    pub(super) fn place(&self) -> String {
        match &self.path[..] {
            [] => "the top of the file".into(),
            [key] => format!("[{key}]"),
            [key, index] if is_index(index) => format!("[[{key}]]"),
            _ => format!("`{}`", self.key()),
        }
    }
}
