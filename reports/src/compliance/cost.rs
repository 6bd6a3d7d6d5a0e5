//! What disaster recovery costs, as a share of what the infrastructure costs: from a table that somebody vouches for,
//! or from a bill in the FOCUS format.

use harness::journal::digest;
use serde::{Deserialize, Serialize};

use super::{Kpi, Period};
use crate::{evidence::Trouble, text::words::share};

/// The most that it may cost.
const SHARE: f64 = 0.15;

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
    let hash = digest(text.as_bytes());
    let source = format!("asserted by {} in {file}, sha256 {hash}", table.asserted_by);
    checked(table.recovery + table.drills, table.infrastructure, table.currency, source, file)
}

/// Adds up a bill in the FOCUS format: rows of the period, those whose tags hold `tag` (`key=value`) being recovery.
///
/// # Errors
/// If a column is missing, a row cannot be read, or currencies differ.
pub fn focus(bytes: &[u8], file: &str, tag: &str, period: &Period) -> Result<Cost, Trouble> {
    let wrong = |what: String| {
        Trouble::usage(format!("{file}{what}"), "export the bill in the FOCUS format, as CSV with a header")
    };
    let (key, value) = tag
        .split_once('=')
        .ok_or_else(|| Trouble::usage(format!("`{tag}` is no tag"), "write key=value, such as purpose=dr"))?;
    let mut rows = csv::Reader::from_reader(bytes);
    let header = rows.headers().map_err(|e| wrong(format!(": {e}")))?.clone();
    let column = |name: &str| header.iter().position(|h| h == name);
    let need = |name: &str| column(name).ok_or_else(|| wrong(format!(":1: there is no column {name}")));
    let cost = column("EffectiveCost").map_or_else(|| need("BilledCost"), Ok)?;
    let (currency, start, tags) = (need("BillingCurrency")?, need("ChargePeriodStart")?, need("Tags")?);
    let (mut recovery, mut all, mut money) = (0.0, 0.0, None::<String>);
    for row in rows.records() {
        let row = row.map_err(|e| wrong(format!(": {e}")))?;
        let line = row.position().map_or(0, csv::Position::line);
        let cell = |i: usize| row.get(i).unwrap_or_default();
        let at = cell(start).replacen(' ', "T", 1);
        if !(&period.from[..10]..&period.until[..10]).contains(&at.get(..10).unwrap_or_default()) {
            continue;
        }
        let amount: f64 =
            cell(cost).parse().map_err(|_| wrong(format!(":{line}: `{}` is no amount", cell(cost))))?;
        if money.get_or_insert_with(|| cell(currency).to_owned()) != cell(currency) {
            return Err(wrong(format!(":{line}: another currency ({}) than before", cell(currency))));
        }
        let tagged: serde_json::Value = match cell(tags) {
            "" => serde_json::Value::Null,
            text => serde_json::from_str(text).map_err(|e| wrong(format!(":{line}: tags: {e}")))?,
        };
        all += amount;
        if tagged.get(key).and_then(serde_json::Value::as_str) == Some(value) {
            recovery += amount;
        }
    }
    let money = money.ok_or_else(|| wrong(format!(": no row lies in {}", period.name)))?;
    let source = format!(
        "{file}, sha256 {}, column {}, tag {tag}",
        digest(bytes),
        header.get(cost).unwrap_or_default()
    );
    checked(recovery, all, money, source, file)
}

fn checked(
    recovery: f64,
    infrastructure: f64,
    currency: String,
    source: String,
    file: &str,
) -> Result<Cost, Trouble> {
    let sane = recovery.is_finite() && infrastructure.is_finite() && recovery >= 0.0 && infrastructure > 0.0;
    if !sane || recovery > infrastructure {
        let what =
            format!("{file}: recovery costs {recovery} of {infrastructure} {currency}, which cannot be");
        return Err(Trouble::usage(
            what,
            "infrastructure is the whole bill, recovery the part of it for recovery and drills",
        ));
    }
    Ok(Cost { recovery, infrastructure, currency, source })
}

pub(super) fn kpi(cost: Option<&Cost>) -> Kpi {
    let mut kpi = Kpi::new("cost of disaster recovery", "at most 15 % of infrastructure cost");
    let Some(c) = cost else {
        kpi.gaps.push("no bill was named: --costs FILE or --focus FILE".into());
        return kpi;
    };
    let rate = c.recovery / c.infrastructure;
    kpi.n = 1;
    kpi.interval = Some(c.source.clone());
    kpi.decide(
        format!("{} ({:.2} of {:.2} {})", share(rate), c.recovery, c.infrastructure, c.currency),
        rate <= SHARE,
    )
}
