//! `report.html`: the report that people look at, in one file.
//!
//! No scripts, no fonts, no images: nothing is fetched, and a Content-Security-Policy forbids that anything ever is. The
//! style sheet is inline and allowed by its hash alone. Charts are inline SVG, each with a table of its figures; light
//! and dark follow the reader, and the print style makes the browser's PDF the copy for the file. All text from outside
//! is escaped by `maud`, cleaned of control characters, and cut where it would grow without bound.

mod data;
mod facts;
mod latency;
mod plot;
mod timeline;
mod verdicts;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use harness::{report::Report, time::human_us, verdict::Verdict};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use crate::text::{
    counts_as,
    words::{clean, count},
};

const STYLE: &str = include_str!("html/style.css");

/// The longest text from outside that is shown whole, in characters.
const TEXT_MAX: usize = 400;
/// The most rows of a table that grows with the drill.
const ROWS_MAX: usize = 200;

/// The whole file.
pub fn render(report: &Report) -> String {
    let headline = crate::headline(report);
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        STANDARD.encode(Sha256::digest(STYLE))
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="referrer" content="no-referrer";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (report.verdict) " · " (text(&report.title)) " · gameday" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (plot::patterns())
                main {
                    (top(report, &headline))
                    (verdicts::section(report))
                    (crate::restored::page(report))
                    (crate::faulted::page(report))
                    (timeline::section(report))
                    (latency::section(report))
                    (data::quality(report))
                    (data::ledger(report))
                    (facts::happened(report))
                    (facts::builds(report))
                    (facts::skipped(report))
                    (facts::again(report))
                    (facts::journal(report))
                }
            }
        }
    };
    page.into_string() + "\n"
}

fn top(r: &Report, headline: &str) -> Markup {
    let (_, why) = headline.split_once(": ").unwrap_or(("", headline));
    html! {
        header class={ "top " (class(r.verdict)) } {
            p.kicker { "gameday · " (r.world) " · " (counts_as(r)) }
            h1 { (text(&r.title)) }
            p.verdict { (badge(r.verdict)) span.why { (text(why)) } }
            @if let Some(flaw) = &r.flaw {
                p.flaw { strong { "A flaw was planted on purpose: " (text(flaw)) "." } " This drill tests gameday, not a stack." }
            }
            dl.facts {
                div { dt { "Scenario" } dd { (text(&r.scenario)) } }
                div { dt { "Started" } dd { (text(&r.started)) } }
                div { dt { "Took" } dd { (human_us(r.took_us)) } }
                @if r.world.rehearses() { div { dt { "Seed" } dd { (r.seed) } } }
                div { dt { "Evidence" } dd { (count(r.events)) " journal lines" } }
            }
        }
    }
}

/// A verdict as a word in its colour: the word alone carries the meaning.
fn badge(verdict: Verdict) -> Markup {
    html! { span class={ "badge " (class(verdict)) } { (verdict) } }
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Unknown => "unknown",
        Verdict::Fail => "fail",
    }
}

/// Text from outside, made harmless and cut; `maud` escapes it.
fn text(from_outside: &str) -> String {
    let mut clean = clean(from_outside);
    if let Some((at, _)) = clean.char_indices().nth(TEXT_MAX) {
        clean.truncate(at);
        clean.push('…');
    }
    clean
}

/// Links to the quoted lines of the journal: the first few, and the last.
fn lines(r: &Report, evidence: &[u64]) -> Markup {
    const SHOWN: usize = 4;
    let quoted: Vec<u64> =
        evidence.iter().copied().filter(|seq| r.drawing.cited.iter().any(|c| c.seq == *seq)).collect();
    let more = evidence.len().saturating_sub(SHOWN);
    let shown = quoted.iter().take(if more > 0 { SHOWN - 1 } else { SHOWN });
    let last = quoted.last().filter(|_| more > 0);
    html! {
        span.lines {
            @for (i, seq) in shown.chain(last).enumerate() {
                @if i > 0 { " " }
                @if more > 0 && Some(seq) == last { span.dim { "… " } }
                a href={ "#e" (seq) } { "#" (seq) }
            }
            @if evidence.is_empty() { span.dim { "–" } }
            @else if quoted.is_empty() { span.dim { "events " (count(evidence[0])) " ff." } }
        }
    }
}

/// A table that scrolls inside itself where the page is narrow.
fn scroll(label: &str, inside: Markup) -> Markup {
    html! { div.scroll role="region" aria-label=(label) tabindex="0" { (inside) } }
}
