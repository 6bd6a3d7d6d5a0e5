//! Tables with exactly one of several keys, such as the kind of a fault.

use std::ops::Range;

use toml::{Spanned, de::DeTable};

use super::{Fix, Mender, made, words};
use crate::diagnose::shape::{Shape, tagged, toml};

/// The keys of which one has to be there, with what stands at each.
type Tags<'a> = [(&'a str, Shape<'a>)];

fn words_of<'a>(all: &Tags<'a>) -> Vec<&'a str> {
    all.iter().map(|(tag, _)| *tag).collect()
}

fn of<'a>(all: &Tags<'a>, tag: &str) -> Option<Shape<'a>> {
    all.iter().find(|(t, _)| *t == tag).map(|(_, s)| *s)
}

impl Mender<'_> {
    pub(super) fn one_of<'i>(
        &mut self,
        table: &mut DeTable<'i>,
        all: &Tags<'_>,
        shape: Shape<'_>,
        span: &Range<usize>,
    ) -> Fix<'i> {
        let written: Vec<String> = table.keys().map(|k| k.get_ref().to_string()).collect();
        let tags = words_of(all);
        let known: Vec<&str> = written.iter().map(String::as_str).filter(|w| tags.contains(w)).collect();
        if known.is_empty() {
            match written.iter().find_map(|w| words::near(w, &tags).map(|near| (w, near))) {
                Some((word, near)) => self.rename_tag(table, word, near, &tags),
                None => return self.no_tag(&written, all, shape, span),
            }
        } else if known.len() > 1 {
            self.several_tags(table, &known, span);
        }
        let Some(tag) = table.keys().map(|k| k.get_ref().to_string()).find(|k| tags.contains(&k.as_str()))
        else {
            return Fix::None;
        };
        for more in table.keys().map(|k| k.get_ref().to_string()).collect::<Vec<_>>() {
            if more != tag {
                self.beside_tag(table, &more);
            }
        }
        let Some(inner) = of(all, &tag) else { return Fix::None };
        self.path.push(tag.clone());
        if let Some(value) = table.get_mut(tag.as_str()) {
            let at = value.span();
            match self.value(value, inner, &at) {
                Fix::None => {}
                Fix::Put(new) => *value.get_mut() = new,
                Fix::Drop => *value.get_mut() = made(&inner.sample()),
            }
        }
        self.path.pop();
        Fix::None
    }

    fn rename_tag(&mut self, table: &mut DeTable<'_>, word: &str, near: &str, tags: &[&str]) {
        let Some((key, value)) = table.remove_entry(word) else { return };
        let line = self.rewritten(&key.span(), near).unwrap_or_else(|| format!("`{near}`"));
        let hint = format!("did you mean `{near}`? write {line}; one of {}", words::list(tags));
        self.tell(key.span(), format!("`{}` cannot be `{word}`", self.key()), hint);
        self.path.push(near.to_owned());
        self.mended(true);
        self.path.pop();
        self.renamed.push((key.span(), near.to_owned()));
        table.insert(Spanned::new(key.span(), near.to_owned().into()), value);
    }

    /// None of the keys is there: the table is empty, has what belongs inside, or a word that nobody knows.
    fn no_tag<'i>(
        &mut self,
        written: &[String],
        all: &Tags<'_>,
        shape: Shape<'_>,
        span: &Range<usize>,
    ) -> Fix<'i> {
        let (name, list) = (self.key().to_owned(), words::list(&words_of(all)));
        let inside = written.first().and_then(|w| all.iter().find(|(_, s)| s.keys().contains(&w.as_str())));
        let (message, new) = match (written.first(), inside) {
            (Some(_), Some((tag, _))) => {
                let source = self.text.get(span.clone()).unwrap_or_default();
                (format!("`{name}` does not say what is done"), format!("{{ {tag} = {source} }}"))
            }
            (Some(word), None) => (format!("`{name}` cannot be `{word}`"), toml(&shape.sample())),
            (None, _) => (format!("`{name}` is empty"), toml(&shape.sample())),
        };
        let hint = format!("write, for example {}; one of {list}", self.line(span, &new));
        self.tell(span.clone(), message, hint);
        self.mended(false);
        Fix::Put(made(&shape.sample()))
    }

    fn several_tags(&mut self, table: &mut DeTable<'_>, known: &[&str], span: &Range<usize>) {
        let hint =
            format!("keep one of {}, and give each other one a section of its own", words::list(known));
        self.tell(span.clone(), format!("`{}` can be one thing only", self.key()), hint);
        self.mended(false);
        for more in &known[1..] {
            table.remove(*more);
        }
    }

    fn beside_tag(&mut self, table: &mut DeTable<'_>, word: &str) {
        let Some((key, _)) = table.remove_entry(word) else { return };
        let hint = match self.home(word) {
            Some(home) => format!("move it: {}", home.says(word)),
            None => "remove it".into(),
        };
        self.tell(key.span(), format!("`{}` has no key `{word}`", self.key()), hint);
    }

    /// The key stands there as a text: `act = "none"`.
    pub(super) fn tag_wanted<'i>(&mut self, word: &str, all: &Tags<'_>, span: &Range<usize>) -> Fix<'i> {
        let (name, tags) = (self.key().to_owned(), words_of(all));
        let near = words::near(word, &tags);
        let tag = near.or(tags.first().copied()).unwrap_or_default();
        let sample = tagged(tag, of(all, tag).map(Shape::sample).unwrap_or_default());
        let line = self.line(span, &toml(&sample));
        let example = if near.is_some() { "" } else { ", for example" };
        let hint = format!("write{example} {line}; one of {}", words::list(&tags));
        self.tell(span.clone(), format!("`{name}` is a table `{{ .. }}`, not a text"), hint);
        let sure = near.is_some() && sample[tag].as_object().is_some_and(serde_json::Map::is_empty);
        self.mended(sure);
        Fix::Put(made(&sample))
    }
}
