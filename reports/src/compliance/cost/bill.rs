//! Rows of a bill in the FOCUS format. What cannot be read in one way alone is an error, never a row of nothing.

use std::{collections::BTreeSet, fmt};

use csv::StringRecord;
use jiff::tz::TimeZone;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

use super::{Period, is_currency};

/// Where the columns are that a bill must have.
pub(super) struct Columns {
    pub(super) cost: usize,
    currency: usize,
    start: usize,
    tags: usize,
    /// Credits and adjustments are told by these, where there are any.
    category: Option<usize>,
    class: Option<usize>,
}

impl Columns {
    pub(super) fn of(header: &StringRecord) -> Result<Columns, String> {
        let find = |name: &str| {
            let mut all = header.iter().enumerate().filter(|(_, h)| *h == name).map(|(i, _)| i);
            match (all.next(), all.next()) {
                (_, Some(_)) => {
                    Err(format!(":1: there are two columns {name}: which one counts cannot be told"))
                }
                (at, None) => Ok(at),
            }
        };
        let need = |name: &str| find(name)?.ok_or_else(|| format!(":1: there is no column {name}"));
        Ok(Columns {
            cost: find("EffectiveCost")?.map_or_else(|| need("BilledCost"), Ok)?,
            currency: need("BillingCurrency")?,
            start: need("ChargePeriodStart")?,
            tags: need("Tags")?,
            category: find("ChargeCategory")?,
            class: find("ChargeClass")?,
        })
    }
}

/// What was read of a bill.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) all: f64,
    pub(super) recovery: f64,
    pub(super) currency: Option<String>,
    /// Rows of the period, and those of them with the tag.
    pub(super) rows: usize,
    pub(super) tagged: usize,
    /// Other values of the tag's key in the period.
    pub(super) others: BTreeSet<String>,
}

impl Sums {
    /// Takes in a row, if it lies in the period.
    pub(super) fn add(
        &mut self,
        row: &StringRecord,
        at: &Columns,
        (key, value): (&str, &str),
        period: &Period,
    ) -> Result<(), String> {
        let cell = |i: usize| row.get(i).unwrap_or_default();
        let start = day(cell(at.start))
            .ok_or_else(|| format!("`{}` is no date; write it as 2026-11-30T00:00:00Z", cell(at.start)))?;
        if !(&period.from[..10]..&period.until[..10]).contains(&start.as_str()) {
            return Ok(());
        }
        let amount: f64 = cell(at.cost)
            .parse()
            .ok()
            .filter(|a: &f64| a.is_finite())
            .ok_or_else(|| format!("`{}` is no amount", cell(at.cost)))?;
        let given = |column: Option<usize>, words: &[&str]| column.is_some_and(|i| words.contains(&cell(i)));
        let back = given(at.category, &["Credit", "Adjustment"]) || given(at.class, &["Correction"]);
        if amount < 0.0 && !back {
            return Err(format!(
                "{amount} is negative, and no ChargeCategory says Credit or Adjustment: whose cost it lowers cannot be told"
            ));
        }
        if !is_currency(cell(at.currency)) {
            return Err(format!("`{}` is no currency", cell(at.currency)));
        }
        let currency = self.currency.get_or_insert_with(|| cell(at.currency).to_owned());
        if currency != cell(at.currency) {
            return Err(format!("another currency ({}) than before ({currency})", cell(at.currency)));
        }
        self.rows += 1;
        self.all += amount;
        match tagged(cell(at.tags), key)? {
            Some(found) if same(&found, value) => {
                self.tagged += 1;
                self.recovery += amount.max(0.0);
            }
            Some(other) if self.others.len() < 100 => {
                self.others.insert(format!("`{other}`"));
            }
            Some(_) | None => {}
        }
        Ok(())
    }
}

/// The day of a charge, in UTC: a date, a moment without a zone (FOCUS means UTC), or one with its zone.
fn day(text: &str) -> Option<String> {
    let text = text.trim();
    let iso = text.strip_suffix(" UTC").map_or_else(|| text.to_owned(), |t| format!("{t}Z"));
    // Four digits and a dash first: other forms that could be read could be read in more than one way.
    let year = iso.bytes().take(5).map(|b| if b.is_ascii_digit() { b'0' } else { b });
    if !year.eq(*b"0000-") {
        return None;
    }
    let moment = iso.parse::<jiff::Timestamp>().map(|t| t.to_zoned(TimeZone::UTC).date());
    let local = || iso.parse::<jiff::civil::DateTime>().map(jiff::civil::DateTime::date);
    moment.or_else(|_| local()).ok().map(|date| date.to_string())
}

/// The value of a tag in a cell of tags, as text.
fn tagged(cell: &str, key: &str) -> Result<Option<String>, String> {
    let cell = cell.trim();
    if cell.is_empty() {
        return Ok(None);
    }
    let tags: Option<Tags> = serde_json::from_str(cell).map_err(|e| format!("tags: {e}"))?;
    let mut found = None;
    for (name, value) in tags.unwrap_or_default().0 {
        if name == key && found.replace(value).is_some() {
            return Err(format!("tags: `{key}` is there twice"));
        }
    }
    match found {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => Ok(Some(value.to_string())),
        Some(Value::Array(_) | Value::Object(_)) => {
            Err(format!("tags: the value of `{key}` is neither text nor number"))
        }
    }
}

/// Whether a tag's value is the one that is asked for: as text, or as numbers.
fn same(found: &str, asked: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok().filter(|x| x.is_finite());
    found == asked || number(found).is_some_and(|x| Some(x) == number(asked))
}

/// A JSON object with all of its names, those that are there twice as well.
#[derive(Default)]
struct Tags(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Tags;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of keys and values")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Tags, M::Error> {
                let mut all = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    all.push(pair);
                }
                Ok(Tags(all))
            }
        }
        from.deserialize_map(All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_in_one_way_or_not_at_all() {
        for (text, date) in [
            ("2026-11-01T00:00:00Z", Some("2026-11-01")),
            ("2026-11-01 00:00:00", Some("2026-11-01")),
            ("2026-11-01 00:00:00 UTC", Some("2026-11-01")),
            ("2026-11-01T00:00:00.000Z", Some("2026-11-01")),
            ("2026-11-01", Some("2026-11-01")),
            ("2026-12-31T23:30:00-02:00", Some("2027-01-01")),
            ("2026-10-01T00:30:00+02:00", Some("2026-09-30")),
            ("11/01/2026", None),
            ("01.11.2026", None),
            ("2026/11/01", None),
            ("2026-02-30T00:00:00Z", None),
            ("2026-13-01", None),
            ("20261101", None),
            ("45597", None),
            ("Nov 1, 2026", None),
            ("", None),
        ] {
            assert_eq!(day(text).as_deref(), date, "{text}");
        }
    }

    #[test]
    fn tags_of_all_kinds() {
        let has = |cell: &str, key: &str, value: &str| {
            tagged(cell, key).map(|v| v.is_some_and(|v| same(&v, value)))
        };
        assert_eq!(has("{\"dr\":true}", "dr", "true"), Ok(true));
        assert_eq!(has("{\"dr\":1}", "dr", "1"), Ok(true));
        assert_eq!(has("{\"dr\":1.0}", "dr", "1"), Ok(true));
        assert_eq!(has("{\"dr\":\"true\"}", "dr", "true"), Ok(true));
        for none in ["", "{}", "null", "{\"dr\":null}", "{\"DR\":true}"] {
            assert_eq!(tagged(none, "dr"), Ok(None), "{none}");
        }
        for wrong in [
            "[]",
            "true",
            "NULL",
            "dr=true",
            "{\"dr\":[1]}",
            "{\"dr\":{}}",
            "{\"dr\":1,\"dr\":2}",
            "{\"dr\":1",
        ] {
            assert!(tagged(wrong, "dr").is_err(), "{wrong}");
        }
    }
}
