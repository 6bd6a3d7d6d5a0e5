//! What disaster recovery costs, as a share of what the infrastructure costs: from a table that somebody vouches for,
//! or from a bill in the FOCUS format.

use std::{collections::BTreeSet, fmt};

use csv::StringRecord;
use harness::journal::digest;
use jiff::tz::TimeZone;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

use super::{Kpi, Period};
use crate::{
    evidence::{Trouble, record::says_something},
    text::words::share_at_most,
};

/// The most that it may cost.
const SHARE: f64 = 0.15;

/// Two sums that differ by less than this share of them are the same: decimals are not exact in binary.
const SAME: f64 = 1e-9;

/// Costs of one closed billing period in one currency.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Cost {
    /// Of disaster recovery, drills included.
    pub recovery: f64,
    /// Of the infrastructure, recovery included.
    pub infrastructure: f64,
    /// Currency.
    pub currency: String,
    /// Where the figures come from, with the hash of the file.
    pub source: String,
    /// Why they measure nothing.
    pub gap: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    period: String,
    currency: String,
    infrastructure: f64,
    recovery: f64,
    #[serde(default)]
    drills: f64,
    asserted_by: String,
}

/// Reads a declared table.
///
/// # Errors
/// If it is not one, or is of another period.
pub fn table(text: &str, file: &str, period: &Period) -> Result<Cost, Trouble> {
    let remedy =
        "write period, currency, infrastructure, recovery, drills and asserted_by; amounts as numbers";
    let table: Table = toml::from_str(text).map_err(|e| {
        let line = e.span().map_or(1, |s| text[..s.start.min(text.len())].matches('\n').count() + 1);
        Trouble::usage(format!("{file}:{line}: {}", e.message()), remedy)
    })?;
    if table.period != period.name {
        let what = format!("{file}: it is about {}, not {}", table.period, period.name);
        return Err(Trouble::usage(what, "name the table of the same period"));
    }
    if !says_something(&table.asserted_by) {
        let what = format!("{file}: asserted_by names nobody who vouches for it");
        return Err(Trouble::usage(what, "name the person who vouches for the figures"));
    }
    let amounts =
        [("infrastructure", table.infrastructure), ("recovery", table.recovery), ("drills", table.drills)];
    for (name, amount) in amounts {
        if !amount.is_finite() || amount < 0.0 {
            let what = format!("{file}: {name} is {amount}, which cannot be");
            return Err(Trouble::usage(what, remedy));
        }
    }
    if !is_currency(&table.currency) {
        let what = format!("{file}: `{}` is no currency", table.currency);
        return Err(Trouble::usage(what, "write its three letters, such as EUR"));
    }
    let hash = digest(text.as_bytes());
    let source = format!("asserted by {} in {file}, sha256 {hash}", table.asserted_by);
    let spent = table.recovery + table.drills;
    let gap = (spent == 0.0).then(|| format!("{file}: nothing is entered for recovery and drills"));
    checked(
        Cost { recovery: spent, infrastructure: table.infrastructure, currency: table.currency, source, gap },
        file,
    )
}

fn is_currency(word: &str) -> bool {
    word.len() == 3 && word.bytes().all(|b| b.is_ascii_uppercase())
}

/// Where the columns are that a bill must have.
struct Columns {
    cost: usize,
    currency: usize,
    start: usize,
    tags: usize,
    /// Credits and adjustments are told by these, where there are any.
    category: Option<usize>,
    class: Option<usize>,
}

impl Columns {
    fn of(header: &StringRecord) -> Result<Columns, String> {
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
struct Sums {
    all: f64,
    recovery: f64,
    currency: Option<String>,
    /// Rows of the period, and those of them with the tag.
    rows: usize,
    tagged: usize,
    /// Other values of the tag's key in the period.
    others: BTreeSet<String>,
}

/// Adds up a bill in the FOCUS format: rows of the period, those whose tags hold `tag` (`key=value`) being recovery.
/// Credits and adjustments lower the whole bill, and never what recovery costs.
///
/// # Errors
/// If a column is missing or there twice, a row cannot be read, or currencies differ.
pub fn focus(bytes: &[u8], file: &str, tag: &str, period: &Period) -> Result<Cost, Trouble> {
    let wrong = |what: String| {
        Trouble::usage(format!("{file}{what}"), "export the bill in the FOCUS format, as CSV with a header")
    };
    let parts: Vec<&str> = tag.split('=').map(str::trim).collect();
    let [key, value] = parts[..] else {
        return Err(Trouble::usage(
            format!("`{tag}` is no tag"),
            "write key=value with one `=`, such as purpose=dr",
        ));
    };
    if key.is_empty() {
        return Err(Trouble::usage(format!("`{tag}` has no key"), "write key=value, such as purpose=dr"));
    }
    let mut rows = csv::Reader::from_reader(bytes);
    let header = rows.headers().map_err(|e| wrong(format!(": {e}")))?.clone();
    let columns = Columns::of(&header).map_err(wrong)?;
    let mut sums = Sums::default();
    for row in rows.records() {
        let row = row.map_err(|e| wrong(format!(": {e}")))?;
        let line = row.position().map_or(0, csv::Position::line);
        sums.add(&row, &columns, (key, value), period).map_err(|why| wrong(format!(":{line}: {why}")))?;
    }
    let Some(currency) = sums.currency else {
        return Err(wrong(format!(": no row lies in {}", period.name)));
    };
    let column = header.get(columns.cost).unwrap_or_default();
    let source = format!(
        "{file}, sha256 {}, column {column}, tag {tag} on {} of {} rows",
        digest(bytes),
        sums.tagged,
        sums.rows
    );
    let gap = match (sums.tagged, sums.recovery == 0.0) {
        (0, _) => {
            let others: Vec<&str> = sums.others.iter().take(5).map(String::as_str).collect();
            let hint = match others.len() {
                0 => format!("no row has a tag `{key}`"),
                _ => format!("`{key}` is {} there", others.join(", ")),
            };
            Some(format!("{file}: no row of {} has the tag {tag}; {hint}", period.name))
        }
        (n, true) => Some(format!("{file}: all {n} rows of {} with the tag {tag} cost nothing", period.name)),
        (_, false) => None,
    };
    checked(Cost { recovery: sums.recovery, infrastructure: sums.all, currency, source, gap }, file)
}

impl Sums {
    fn add(
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
            Some(other) => {
                if self.others.len() < 100 {
                    self.others.insert(format!("`{other}`"));
                }
            }
            None => {}
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

/// Costs that can be.
fn checked(cost: Cost, file: &str) -> Result<Cost, Trouble> {
    let Cost { recovery, infrastructure, ref currency, .. } = cost;
    let sane = recovery.is_finite() && infrastructure.is_finite() && recovery >= 0.0 && infrastructure > 0.0;
    if !sane || recovery > infrastructure * (1.0 + SAME) {
        let what =
            format!("{file}: recovery costs {recovery} of {infrastructure} {currency}, which cannot be");
        return Err(Trouble::usage(
            what,
            "infrastructure is the whole bill, recovery the part of it for recovery and drills",
        ));
    }
    Ok(cost)
}

pub(super) fn kpi(cost: Option<&Cost>) -> Kpi {
    let mut kpi = Kpi::new("cost of disaster recovery", "at most 15 % of infrastructure cost");
    let Some(c) = cost else {
        kpi.gaps.push("no bill was named: --costs FILE or --focus FILE".into());
        return kpi;
    };
    kpi.interval = Some(c.source.clone());
    if let Some(gap) = &c.gap {
        kpi.gaps.push(gap.clone());
        return kpi;
    }
    let rate = c.recovery / c.infrastructure;
    let met = rate <= SHARE * (1.0 + SAME);
    kpi.n = 1;
    let shown = if met { share_at_most(rate.min(SHARE)) } else { share_at_most(rate) };
    kpi.decide(format!("{shown} ({:.2} of {:.2} {})", c.recovery, c.infrastructure, c.currency), met)
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
