//! What had to hold against what was measured: a row for each finding, the worst first.

use harness::{judge::Finding, report::Report, verdict::Verdict};
use maud::{Markup, html};

use super::{badge, lines, text};

pub(super) fn section(r: &Report) -> Markup {
    let order = [Verdict::Fail, Verdict::Unknown, Verdict::Pass];
    let sorted = order.iter().flat_map(|v| r.findings.iter().filter(move |f| f.verdict == *v));
    let tally = order.map(|v| (v, r.findings.iter().filter(|f| f.verdict == v).count()));
    let tally: Vec<String> = tally
        .iter()
        .filter(|(_, n)| *n > 0)
        .map(|(v, n)| format!("{n} {}", v.to_string().to_lowercase()))
        .collect();
    html! {
        section #verdicts {
            h2 { "What had to hold, and what was measured" }
            @if r.findings.is_empty() {
                p.lead { "Nothing was judged, so nothing is proved." }
            } @else {
                p.lead { "The worst finding is the verdict: " (tally.join(", ")) ". Numbers on the right lead to the lines of the journal that prove it." }
                table.cards {
                    thead { tr { th { "Verdict" } th { "Objective" } th { "Required" } th { "Measured" } th { "Lines" } } }
                    tbody { @for f in sorted { (row(r, f)) } }
                }
            }
            @for why in &r.proves_little { p.why-line { "Proves little: " (text(why)) "." } }
            @if !r.still_down.is_empty() { p.why-line { "Still down at the end: " (text(&r.still_down.join(", "))) "." } }
        }
    }
}

fn row(r: &Report, f: &Finding) -> Markup {
    html! {
        tr {
            td { (badge(f.verdict)) }
            td { strong { (text(&f.objective)) } " of " (text(&f.subject)) }
            td data-label="Required" { (text(&f.required)) }
            td data-label="Measured" { (text(&f.measured)) @if !f.why.is_empty() { span.why-line { (text(&f.why)) } } }
            td data-label="Lines" { (lines(r, &f.evidence)) }
        }
    }
}
