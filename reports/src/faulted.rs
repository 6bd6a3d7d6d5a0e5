//! What only a fault drill on somebody's own stack has: what was broken by which command, and what its data was after. In
//! words, as text, and for the page.

use harness::{own::fault::FaultReport, report::Report};
use maud::{Markup, html};

use crate::text::{page::Page, words::count};

fn rows(n: Option<u64>) -> String {
    n.map_or("-".into(), count)
}

/// Rows, in words.
pub(crate) fn plural(rows: u64) -> String {
    format!("{} {}", count(rows), if rows == 1 { "row" } else { "rows" })
}

/// What a pass says of the data.
pub(crate) fn headline(f: &FaultReport) -> Vec<String> {
    let mut said = Vec::new();
    if !f.witnesses.is_empty() {
        let same = f.witnesses.iter().filter_map(|w| w.same).sum();
        let noun = if f.witnesses.len() == 1 { "witness" } else { "witnesses" };
        said.push(format!("{} of {} {noun} as before", plural(same), f.witnesses.len()));
    }
    if !f.canaries.is_empty() {
        let (acked, lost) =
            f.canaries.iter().fold((0, 0), |(a, l), c| (a + c.acked, l + c.lost.unwrap_or(0)));
        said.push(format!("{} of {} canaries lost", count(lost), count(acked)));
    }
    said
}

/// A section of the text.
pub(crate) fn text(page: &mut Page, f: &FaultReport) {
    page.section("WHAT WAS BROKEN, AND WHAT THE DATA WAS AFTER");
    for (name, value) in facts(f) {
        page.item(&format!("  {name:<11}"), &value);
    }
    if !f.witnesses.is_empty() {
        let longest = f.witnesses.iter().map(|w| w.witness.len()).max().unwrap_or(0).max(7);
        let widths = [longest, 14, 14, 14, 14];
        page.row(
            &widths,
            &["witness", "before", "recovered", "same for sure", "after undo"].map(String::from),
        );
        for w in &f.witnesses {
            let figures = [w.before, w.recovered, w.same, w.undone].map(rows);
            page.row(&widths, &std::iter::once(w.witness.clone()).chain(figures).collect::<Vec<_>>());
        }
    }
}

/// Facts by name.
fn facts(f: &FaultReport) -> Vec<(&'static str, String)> {
    let mut all = vec![("stack", f.stack.clone())];
    all.extend(f.broken.iter().map(|(component, by)| ("broken", format!("{component}, by {by}"))));
    all.extend(f.recovery.iter().map(|(name, what)| ("recovery", format!("{name}: {what}"))));
    for c in &f.canaries {
        let what = format!(
            "{}: {} acknowledged, of these {} lost and {} changed; {} not acknowledged",
            c.component,
            count(c.acked),
            rows(c.lost),
            rows(c.corrupt),
            count(c.unknown)
        );
        all.push(("canaries", what));
    }
    all
}

/// A section of the page.
pub(crate) fn page(report: &Report) -> Markup {
    let Some(f) = &report.fault else { return html! {} };
    let clean = crate::clean;
    html! {
        section #broken {
            h2 { "What was broken, and what the data was after" }
            p.lead { "Every row of each witness, compared with what it was before the fault; a row more, less or changed is a miss." }
            @if !f.witnesses.is_empty() {
                div.scroll role="region" aria-label="Witnesses" tabindex="0" {
                    table.cards {
                        thead { tr {
                            th { "Witness" } th.num { "Before" } th.num { "After recovery" } th.num { "The same for sure" }
                            th.num { "After the undo" }
                        } }
                        tbody { @for w in f.witnesses.iter().take(200) { tr {
                            td { strong { (clean(&w.witness)) } }
                            @for n in [w.before, w.recovered, w.same, w.undone] { td.num { (rows(n)) } }
                        } } }
                    }
                }
            }
            table.cards { tbody {
                @for (name, value) in facts(f) { tr { td.nowrap { (name) } td { (clean(&value)) } } }
                tr { td.nowrap { "Stack file, SHA-256" } td.digest { (clean(&f.stack_sha256)) } }
            } }
        }
    }
}
