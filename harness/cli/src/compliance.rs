//! `gameday compliance`: the key figures of a quarter, from verified evidence alone.

use std::{path::PathBuf, time::SystemTime};

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use harness::ports::CountsAs;
use reports::{
    compliance::{self, Period, cost},
    evidence::{
        plain::{self, Links},
        stamp, time_of,
    },
};

use crate::{
    evidence::{Trust, refused},
    exit::{Exit, Failure},
    say,
};

/// Judge a quarter of drills: key figures, gaps, and an exit code for CI
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday compliance evidence/ --quarter 2026Q4
  gameday compliance evidence/ --quarter 2026Q4 --accept staging
  gameday compliance evidence/ --quarter 2026Q4 --costs costs-2026Q4.toml
  gameday compliance evidence/ --quarter 2026Q4 --focus bill.csv --dr-tag purpose=dr --json

The evidence is verified first and every number rebuilt. Each level of stack is shown by itself;
figures rest on runs of the accepted level and higher ones. Simulations and rehearsals never count.
Ends with 0 if every figure is where it has to be, 1 if any falls short or was not measured (each is
named), 5 if the evidence does not verify.")]
pub(crate) struct Compliance {
    /// The folder of evidence, or a bundle
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// The quarter, such as 2026Q4
    #[arg(long, value_name = "QUARTER")]
    quarter: String,
    /// The lowest level of stack that figures may rest on
    #[arg(long, value_name = "LEVEL", default_value = "production", value_parser = level_parser())]
    accept: CountsAs,
    #[command(flatten)]
    trust: Trust,
    /// A table of costs that somebody vouches for (TOML)
    #[arg(long, value_name = "FILE")]
    costs: Option<PathBuf>,
    /// A bill in the FOCUS format (CSV); needs --dr-tag
    #[arg(long, value_name = "FILE", requires = "dr_tag", conflicts_with = "costs")]
    focus: Option<PathBuf>,
    /// The tag of what is spent on disaster recovery
    #[arg(long, value_name = "KEY=VALUE")]
    dr_tag: Option<String>,
    /// Look at it as of this moment (RFC 3339) instead of now
    #[arg(long, value_name = "MOMENT")]
    as_of: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The levels that a policy may accept; a rehearsal is none of them.
fn level_parser() -> impl TypedValueParser<Value = CountsAs> {
    const LEVELS: [CountsAs; 3] = [CountsAs::Disposable, CountsAs::Staging, CountsAs::Production];
    PossibleValuesParser::new(LEVELS.map(CountsAs::word)).try_map(|word| {
        LEVELS.into_iter().find(|l| l.word() == word).ok_or_else(|| format!("there is no level `{word}`"))
    })
}

/// The first moment of a quarter, and the first after it.
pub(crate) fn quarter(text: &str) -> Result<(String, String), Failure> {
    let wrong =
        || Failure::usage(format!("`{text}` is not a quarter"), "write year and quarter, such as 2026Q4");
    let (year, q) = text.split_once('Q').ok_or_else(wrong)?;
    let digits = year.len() == 4 && year.bytes().all(|b| b.is_ascii_digit());
    let (year, q): (u32, u32) = (year.parse().map_err(|_| wrong())?, q.parse().map_err(|_| wrong())?);
    if !digits || !(1970..=9998).contains(&year) || !(1..=4).contains(&q) || text.len() != 6 {
        return Err(wrong());
    }
    let first = |year: u32, month: u32| format!("{year:04}-{month:02}-01T00:00:00Z");
    let until = if q == 4 { first(year + 1, 1) } else { first(year, q * 3 + 1) };
    Ok((first(year, q * 3 - 2), until))
}

impl Compliance {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let period = self.period()?;
        let cost = self.cost(&period)?;
        let checked = self.trust.check(&self.folder, true)?;
        if let Some(failure) = refused(&checked, &self.folder) {
            return Err(failure);
        }
        let answer = compliance::judge(&checked.runs, period, self.accept, cost.as_ref());
        say::out(&if self.json { compliance::json(&answer) } else { compliance::text(&answer) })?;
        Ok(if answer.complies() { Exit::Pass } else { Exit::Fail })
    }

    fn period(&self) -> Result<Period, Failure> {
        let (from, until) = quarter(&self.quarter)?;
        let now = match &self.as_of {
            None => stamp(SystemTime::now())?,
            Some(text) if time_of(text).is_some() => text.clone(),
            Some(text) => {
                let what = format!("`{text}` is not a moment");
                return Err(Failure::usage(what, "write UTC to the second, such as 2026-12-31T23:59:59Z"));
            }
        };
        let as_of = now.min(until.clone());
        Ok(Period { name: self.quarter.clone(), from, until, as_of })
    }

    fn cost(&self, period: &Period) -> Result<Option<cost::Cost>, Failure> {
        let read = |path: &PathBuf| {
            plain::read(path, Links::Followed, plain::MOST).map_err(|e| {
                Failure::usage(format!("`{}`: {e}", path.display()), "name a plain file that is there")
            })
        };
        if let Some(path) = &self.costs {
            let text = String::from_utf8(read(path)?).map_err(|_| {
                Failure::usage(
                    format!("`{}` is not text in UTF-8", path.display()),
                    "write it again as UTF-8",
                )
            })?;
            return Ok(Some(cost::table(&text, &path.display().to_string(), period)?));
        }
        let Some((path, tag)) = self.focus.as_ref().zip(self.dr_tag.as_ref()) else { return Ok(None) };
        Ok(Some(cost::focus(&read(path)?, &path.display().to_string(), tag, period)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters() {
        assert_eq!(
            quarter("2026Q4").unwrap(),
            ("2026-10-01T00:00:00Z".to_owned(), "2027-01-01T00:00:00Z".to_owned())
        );
        assert_eq!(quarter("2026Q1").unwrap().1, "2026-04-01T00:00:00Z");
        for wrong in ["", "2026", "2026Q5", "2026Q0", "26Q1", "2026q1", "+026Q1", "2026Q1 "] {
            assert!(quarter(wrong).is_err(), "{wrong}");
        }
    }
}
