//! What people and machines read of a drill: one file a format, each a pure function of a
//! [`harness::report::Report`].
//!
//! No clock, no files, no colour: the same report always makes the same bytes, so a report made from an old journal
//! is byte-identical to the one made by the run. A new format is one file here and one arm in [`Format`].
//!
//! Beside them, what is made of many drills: [`evidence`] (signed, chained, verified), [`compliance`], [`metrics`].

pub mod compliance;
pub mod controls;
pub mod evidence;
mod faulted;
mod headline;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod metrics;
pub mod oscal;
mod restored;
pub mod text;
pub mod trace;

use std::{fmt, str::FromStr};

use harness::report::Report;

pub use headline::headline;
pub use text::{doubts, words::clean};

/// The formats of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// For people: `report.txt`.
    Text,
    /// For programs: `result.json`.
    Json,
    /// For CI servers: `junit.xml`.
    Junit,
    /// For the step summary of a CI server: `summary.md`.
    Markdown,
    /// For tools of auditors: `oscal-ar.json`.
    Oscal,
    /// For collectors of traces: `trace.otlp.jsonl`.
    Trace,
    /// To look at, to print and to file: `report.html`.
    Html,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 7] = [
        Format::Text,
        Format::Json,
        Format::Junit,
        Format::Markdown,
        Format::Oscal,
        Format::Trace,
        Format::Html,
    ];

    /// The word for it on a command line.
    pub fn word(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Json => "json",
            Format::Junit => "junit",
            Format::Markdown => "markdown",
            Format::Oscal => "oscal",
            Format::Trace => "trace",
            Format::Html => "html",
        }
    }

    /// The file of a run's folder that holds it.
    pub fn file_name(self) -> &'static str {
        match self {
            Format::Text => "report.txt",
            Format::Json => "result.json",
            Format::Junit => "junit.xml",
            Format::Markdown => "summary.md",
            Format::Oscal => "oscal-ar.json",
            Format::Trace => "trace.otlp.jsonl",
            Format::Html => "report.html",
        }
    }

    /// A report in this format.
    pub fn render(self, report: &Report) -> String {
        match self {
            Format::Text => text::render(report),
            Format::Json => json::render(report),
            Format::Junit => junit::render(report),
            Format::Markdown => markdown::render(report),
            Format::Oscal => oscal::render(report),
            Format::Trace => trace::render(report),
            Format::Html => html::render(report),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Format::ALL.into_iter().find(|f| f.word() == text);
        found.ok_or_else(|| {
            format!("`{text}` is not a format; formats are {}", Format::ALL.map(Format::word).join(", "))
        })
    }
}
