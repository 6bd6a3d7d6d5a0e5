//! Values: of the wrong kind, out of range, unknown words.

use std::ops::Range;

use serde_json::Value;
use toml::{
    Spanned,
    de::{DeArray, DeValue},
};

use super::{Fix, Mender, guess, made, words};
use crate::{
    diagnose::shape::{Kind, Shape, toml},
    time::{Dur, Rate},
};

impl Mender<'_> {
    /// A value that stands at `key`.
    pub(super) fn value<'i>(
        &mut self,
        value: &mut Spanned<DeValue<'i>>,
        shape: Shape<'_>,
        key: &Range<usize>,
    ) -> Fix<'i> {
        let span = value.span();
        match (shape.kind(), value.get_mut()) {
            (Kind::Any, _)
            | (Kind::Text, DeValue::String(_))
            | (Kind::Number, DeValue::Integer(_) | DeValue::Float(_))
            | (Kind::Flag, DeValue::Boolean(_)) => Fix::None,
            (Kind::Table, DeValue::Table(t)) => {
                self.table(t, shape, &span);
                Fix::None
            }
            (Kind::OneOf(all), DeValue::Table(t)) => self.one_of(t, &all, shape, &span),
            (Kind::List(of), DeValue::Array(a)) => {
                self.list(a, of);
                self.counted(a.len(), shape, &span)
            }
            (Kind::List(of), single) if fits(single, of) => self.list_wanted(single, of, shape, &span, key),
            (_, DeValue::Array(a)) if a.len() == 1 && a.iter().all(|one| fits(one.get_ref(), shape)) => {
                self.single_wanted(a, shape, &span, key)
            }
            (Kind::Words(all), DeValue::String(word)) => match all.contains(&word.as_ref()) {
                true => Fix::None,
                false => self.word(word.as_ref(), &all, &span),
            },
            (Kind::OneOf(all), DeValue::String(word)) => self.tag_wanted(word, &all, &span),
            (Kind::Duration, DeValue::String(text)) => self.duration(text, shape, &span),
            (Kind::Rate, DeValue::String(text)) => self.rate(text, shape, &span),
            (Kind::Whole { low, high }, DeValue::Integer(i)) => {
                let it = i128::from_str_radix(i.as_str(), i.radix()).ok();
                match it.filter(|n| (low..=high).contains(n)) {
                    Some(_) => Fix::None,
                    None => self.out_of_range((low, high), it, shape, &span),
                }
            }
            (kind, wrong) => self.wrong(kind, wrong, shape, &span),
        }
    }

    fn list(&mut self, list: &mut DeArray<'_>, of: Shape<'_>) {
        let all = std::mem::replace(list, DeArray::new());
        for (i, mut value) in all.into_iter().enumerate() {
            if self.enough() {
                list.push(value);
                continue;
            }
            self.path.push(i.to_string());
            let span = value.span();
            match self.value(&mut value, of, &span) {
                Fix::None => {}
                Fix::Put(new) => *value.get_mut() = new,
                Fix::Drop => *value.get_mut() = made(&of.sample()),
            }
            self.path.pop();
            list.push(value);
        }
    }

    fn counted<'i>(&mut self, len: usize, shape: Shape<'_>, span: &Range<usize>) -> Fix<'i> {
        match shape.count() {
            Some(count) if count != len => {
                let hint = format!("write, for example {}", self.line(span, &toml(&shape.sample())));
                self.tell(span.clone(), format!("`{}` has {count} values, not {len}", self.key()), hint);
                self.mended(false);
                Fix::Put(made(&shape.sample()))
            }
            _ => Fix::None,
        }
    }

    /// One thing stands where a list of them is wanted.
    fn list_wanted<'i>(
        &mut self,
        single: &mut DeValue<'i>,
        of: Shape<'_>,
        shape: Shape<'_>,
        span: &Range<usize>,
        key: &Range<usize>,
    ) -> Fix<'i> {
        let name = self.key().to_owned();
        let section = matches!(of.kind(), Kind::Table) && matches!(single, DeValue::Table(_));
        let mut items = vec![std::mem::replace(single, DeValue::Boolean(false))];
        if section && self.path.len() == 1 {
            let hint = format!("write `[[{name}]]`, with two brackets: there may be several of them");
            self.tell(key.clone(), format!("`{name}` is a list of sections, and this is a single one"), hint);
        } else {
            // Words have no blanks, and neither have the parts of a command.
            let parts = matches!(of.kind(), Kind::Words(_)) || name == "run";
            if let (true, Some(DeValue::String(text))) = (parts, items.first()) {
                let parts: Vec<String> =
                    text.split([',', ' ']).filter(|p| !p.is_empty()).map(str::to_owned).collect();
                items = parts.into_iter().map(|p| DeValue::String(p.into())).collect();
            }
            let written: Vec<String> = items.iter().map(|v| self.source(v, span)).collect();
            let line = self.line(span, &format!("[{}]", written.join(", ")));
            self.tell(span.clone(), format!("`{name}` is a list"), format!("write {line}"));
        }
        self.mended(true);
        let mut list: DeArray<'i> = items.into_iter().map(|v| Spanned::new(span.clone(), v)).collect();
        self.list(&mut list, of);
        match self.counted(list.len(), shape, span) {
            Fix::None => Fix::Put(DeValue::Array(list)),
            other => other,
        }
    }

    /// A list of one thing stands where the thing alone is wanted.
    fn single_wanted<'i>(
        &mut self,
        list: &mut DeArray<'i>,
        shape: Shape<'_>,
        span: &Range<usize>,
        key: &Range<usize>,
    ) -> Fix<'i> {
        let name = self.key().to_owned();
        let Some(mut one) = std::mem::replace(list, DeArray::new()).into_iter().next() else {
            return Fix::Drop;
        };
        let section = self.text.get(span.clone()).is_some_and(|t| t.starts_with("[["));
        if section {
            let hint = format!("write `[{name}]`, with one bracket");
            self.tell(key.clone(), format!("there is only one section `{name}`"), hint);
        } else {
            let written = self.source(one.get_ref(), &one.span());
            let hint = format!("write {}", self.line(span, &written));
            self.tell(span.clone(), format!("`{name}` is a single value, not a list"), hint);
        }
        self.mended(true);
        match self.value(&mut one, shape, key) {
            Fix::None => Fix::Put(one.into_inner()),
            other => other,
        }
    }

    /// A value as its file has it.
    fn source(&self, value: &DeValue<'_>, span: &Range<usize>) -> String {
        match value {
            DeValue::String(s) => toml(&Value::from(s.as_ref())),
            _ => self.text.get(span.clone()).filter(|t| !t.is_empty()).unwrap_or("..").to_owned(),
        }
    }

    fn word<'i>(&mut self, word: &str, all: &[&str], span: &Range<usize>) -> Fix<'i> {
        let message = format!("`{}` cannot be `{word}`", self.key());
        let Some(meant) = words::near(word, all) else {
            self.tell(span.clone(), message, format!("write one of {}", words::list(all)));
            self.mended(false);
            return Fix::Drop;
        };
        let line = self.line(span, &toml(&meant.into()));
        let hint = format!("did you mean `{meant}`? write {line}; one of {}", words::list(all));
        self.tell(span.clone(), message, hint);
        self.mended(true);
        Fix::Put(DeValue::String(meant.to_owned().into()))
    }

    fn out_of_range<'i>(
        &mut self,
        (low, high): (i128, i128),
        it: Option<i128>,
        shape: Shape<'_>,
        span: &Range<usize>,
    ) -> Fix<'i> {
        let bound = match it {
            Some(it) if it < low => format!("{low} or more"),
            _ => format!("at most {high}"),
        };
        let hint = format!("write, for example {}: {bound}", self.line(span, &toml(&shape.sample())));
        self.tell(span.clone(), format!("`{}` is out of range", self.key()), hint);
        self.mended(false);
        Fix::Drop
    }

    fn duration<'i>(&mut self, text: &str, shape: Shape<'_>, span: &Range<usize>) -> Fix<'i> {
        let why = match text.parse::<Dur>() {
            Ok(_) => return Fix::None,
            Err(why) => why,
        };
        let why = why.split("; ").next().unwrap_or_default().to_owned();
        self.unit(why, guess::duration(text, shape.usual()), shape, DURATIONS, span)
    }

    fn rate<'i>(&mut self, text: &str, shape: Shape<'_>, span: &Range<usize>) -> Fix<'i> {
        let why = match text.parse::<Rate>() {
            Ok(_) => return Fix::None,
            Err(why) => why,
        };
        let why = why.split("; ").next().unwrap_or_default().to_owned();
        self.unit(why, guess::rate(text), shape, RATES, span)
    }

    /// A text with a unit that cannot be read, and what was probably meant.
    fn unit<'i>(
        &mut self,
        why: String,
        meant: Option<String>,
        shape: Shape<'_>,
        kind: &str,
        span: &Range<usize>,
    ) -> Fix<'i> {
        let hint = match &meant {
            Some(meant) => format!("write {}: {kind}", self.line(span, &toml(&meant.as_str().into()))),
            None => format!("write, for example {}: {kind}", self.line(span, &toml(&shape.sample()))),
        };
        self.tell(span.clone(), why, hint);
        self.mended(meant.is_some());
        meant.map_or(Fix::Drop, |m| Fix::Put(DeValue::String(m.into())))
    }

    /// A value of the wrong kind.
    fn wrong<'i>(
        &mut self,
        kind: Kind<'_>,
        wrong: &DeValue<'i>,
        shape: Shape<'_>,
        span: &Range<usize>,
    ) -> Fix<'i> {
        let said = match wrong {
            DeValue::String(s) => Some(s.trim().to_owned()),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {
                Some(self.text.get(span.clone()).unwrap_or_default().to_owned()).filter(|t| !t.is_empty())
            }
            _ => None,
        };
        let said = said.unwrap_or_default();
        let meant = match &kind {
            Kind::Text if !said.is_empty() => Some(toml(&said.as_str().into())),
            Kind::Duration => guess::duration(&said, shape.usual()).map(|d| toml(&d.into())),
            Kind::Rate => guess::rate(&said).map(|r| toml(&r.into())),
            Kind::Whole { .. } => guess::whole(&said),
            Kind::Number => guess::number(&said),
            Kind::Flag => guess::flag(&said).map(str::to_owned),
            Kind::Table => self.wrapped(wrong, shape, span),
            _ => None,
        };
        let (is, sample) = (noun(&kind), toml(&shape.sample()));
        let line = self.line(span, meant.as_deref().unwrap_or(&sample));
        let example = if meant.is_some() { "" } else { ", for example" };
        let message = format!("`{}` is {is}, not {}", self.key(), of(wrong));
        self.tell(span.clone(), message, format!("write{example} {line}"));
        self.mended(meant.is_some() && !matches!(kind, Kind::Whole { .. } | Kind::Number));
        match (kind, meant) {
            (Kind::Flag, Some(meant)) => Fix::Put(DeValue::Boolean(meant == "true")),
            (Kind::Text | Kind::Duration | Kind::Rate, Some(meant)) => {
                Fix::Put(DeValue::String(meant.trim_matches('"').to_owned().into()))
            }
            (Kind::Table | Kind::OneOf(_), _) => Fix::Put(made(&shape.sample())),
            _ => Fix::Drop,
        }
    }

    /// A value put where it belongs in a table that needs only one: `kill = "east/vector"`.
    fn wrapped(&self, wrong: &DeValue<'_>, shape: Shape<'_>, span: &Range<usize>) -> Option<String> {
        let mut required = shape.required();
        let (key, more) = (required.next(), required.next());
        let (Some(key), None) = (key, more) else { return None };
        let source = self.source(wrong, span);
        match (shape.key(key)?.kind(), wrong) {
            (Kind::Text, DeValue::String(_)) => Some(format!("{{ {key} = {source} }}")),
            (Kind::List(_), DeValue::Array(_)) => Some(format!("{{ {key} = {source} }}")),
            (Kind::List(_), DeValue::String(_)) => Some(format!("{{ {key} = [{source}] }}")),
            _ => None,
        }
    }
}

/// Whether a value is of the kind that is wanted, or nearly.
fn fits(value: &DeValue<'_>, shape: Shape<'_>) -> bool {
    match shape.kind() {
        Kind::Table => value.is_table(),
        Kind::OneOf(_) => value.is_table() || value.is_str(),
        Kind::Words(_) | Kind::Text => value.is_str(),
        Kind::Duration | Kind::Rate => value.is_str() || value.is_integer(),
        Kind::Whole { .. } | Kind::Number => value.is_integer() || value.is_float(),
        Kind::Flag => value.is_bool(),
        Kind::List(_) | Kind::Any => false,
    }
}

const DURATIONS: &str = "a number and a unit (ms, s, m, h), in quotes";
const RATES: &str = "a number, `/` and s or m (a second, a minute), in quotes";

/// What is wanted.
fn noun(kind: &Kind<'_>) -> &'static str {
    match kind {
        Kind::Table => "a table `{ .. }`",
        Kind::OneOf(_) => "a table `{ .. }` with one key",
        Kind::List(_) => "a list `[ .. ]`",
        Kind::Words(_) => "a word in quotes",
        Kind::Duration => "a duration with its unit, in quotes",
        Kind::Rate => "a rate, in quotes",
        Kind::Text => "a text in quotes",
        Kind::Whole { .. } => "a whole number",
        Kind::Number => "a number",
        Kind::Flag => "true or false, without quotes",
        Kind::Any => "something else",
    }
}

/// What is there.
fn of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or a time of day",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
