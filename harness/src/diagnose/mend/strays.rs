//! Keys that stand in the wrong section. They are told of and moved to where they belong, so that nothing is missing there.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Mender, words};
use crate::diagnose::shape::{Kind, Shape};

/// Where a key belongs.
pub(super) enum Home {
    /// Above all sections.
    Top,
    /// In this section.
    Section(String),
    /// In these sections, of which there may be several.
    Steps(Vec<String>),
}

impl Home {
    pub(super) fn says(&self, key: &str) -> String {
        match self {
            Home::Top => format!("`{key}` stands above the first [section]"),
            Home::Section(name) => format!("`{key}` stands below [{name}]"),
            Home::Steps(names) => {
                let names: Vec<String> = names.iter().map(|n| format!("[[{n}]]")).collect();
                format!("`{key}` stands below {}", names.join(" or "))
            }
        }
    }
}

impl Mender<'_> {
    /// Where a key would be known.
    pub(super) fn home(&self, key: &str) -> Option<Home> {
        if self.root.keys().contains(&key) {
            return Some(Home::Top);
        }
        let (mut sections, mut steps) = (Vec::new(), Vec::new());
        for name in self.root.keys() {
            let Some(at) = self.root.key(name) else { continue };
            match at.kind() {
                Kind::Table if at.keys().contains(&key) => sections.push(name.to_owned()),
                Kind::List(of) if of.keys().contains(&key) => steps.push(name.to_owned()),
                _ => {}
            }
        }
        match (sections.len(), steps.is_empty()) {
            (1, _) => sections.pop().map(Home::Section),
            (0, false) => Some(Home::Steps(steps)),
            _ => None,
        }
    }

    /// Moves keys that stand in the wrong section to where they belong.
    pub(super) fn move_strays(&mut self, root: &mut DeTable<'_>) {
        let mut strays = Vec::new();
        self.strays_of(root, self.root, &mut strays);
        let shape = self.root;
        for (name, value) in root.iter_mut() {
            let Some(shape) = shape.key(name.get_ref()) else { continue };
            self.path.push(name.get_ref().to_string());
            match (value.get_mut(), shape.kind()) {
                (DeValue::Table(t), Kind::Table) => {
                    self.strays_of(t, shape, &mut strays);
                }
                (DeValue::Array(a), Kind::List(of)) => {
                    for (i, value) in a.iter_mut().enumerate() {
                        self.path.push(i.to_string());
                        if let DeValue::Table(t) = value.get_mut() {
                            self.strays_of(t, of, &mut strays);
                        }
                        self.path.pop();
                    }
                }
                _ => {}
            }
            self.path.pop();
        }
        for (section, key, value) in strays {
            let table = match section {
                None => &mut *root,
                Some(section) => {
                    let section = root
                        .entry(Spanned::new(0..0, section.into()))
                        .or_insert_with(|| Spanned::new(0..0, DeValue::Table(DeTable::new())));
                    let DeValue::Table(table) = section.get_mut() else { continue };
                    table
                }
            };
            table.entry(key).or_insert(value);
        }
    }

    /// Whether a value is a section with its header, or a list of them.
    fn section(&self, value: &Spanned<DeValue<'_>>) -> bool {
        match value.get_ref() {
            DeValue::Table(_) => {
                self.text.get(value.span()).is_some_and(|t| t.starts_with('[') && t.ends_with(']'))
            }
            DeValue::Array(a) => a.iter().any(|v| v.get_ref().is_table() && self.section(v)),
            _ => false,
        }
    }

    fn strays_of<'i>(&mut self, table: &mut DeTable<'i>, shape: Shape<'_>, strays: &mut Vec<Stray<'i>>) {
        let keys: Vec<String> = table.keys().map(|k| k.get_ref().to_string()).collect();
        for written in keys {
            if self.enough() {
                return;
            }
            // A misspelt section is no key of another one.
            let section = table.get(written.as_str()).is_some_and(|v| self.section(v));
            let known = shape.key(&written).is_some()
                || words::same(&written, &shape.keys())
                || (section && words::near(&written, &shape.keys()).is_some());
            let home = if known { None } else { self.home(&written) };
            let section = match &home {
                Some(Home::Top) => None,
                Some(Home::Section(name)) => Some(name.clone()),
                _ => continue,
            };
            let (Some((key, value)), Some(home)) = (table.remove_entry(written.as_str()), home) else {
                continue;
            };
            let message = format!("`{written}` does not belong in {}", self.place());
            self.tell(key.span(), message, format!("move the line: {}", home.says(&written)));
            strays.push((section, key, value));
        }
    }
}

/// A key that stands in the wrong section, with its value and the section in which it belongs.
type Stray<'i> = (Option<String>, Spanned<toml::de::DeString<'i>>, Spanned<DeValue<'i>>);
