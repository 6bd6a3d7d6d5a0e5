//! What disaster recovery costs, as a share of what the infrastructure costs: from a table that somebody vouches for,
//! or from a bill in the FOCUS format.

mod bill;

use harness::journal::digest;
use serde::{Deserialize, Serialize};

use super::{Kpi, Period};
use crate::{
    evidence::{Trouble, record::says_something},
    text::words::share_at_most,
};
use bill::{Columns, Sums};

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
