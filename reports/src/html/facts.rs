//! The rest of the record: moments in order, what was skipped, how to check and to repeat it, and the journal's lines.

use harness::report::{Moment, MomentKind, Report};
use maud::{Markup, html};

use super::{ROWS_MAX, scroll, text};
use crate::text::{
    counts_as,
    words::{count, stamp},
};

/// Moments in order; their stamps count from the start, as in the journal.
pub(super) fn happened(r: &Report) -> Markup {
    let more = r.timeline.len().saturating_sub(ROWS_MAX);
    let table = html! {
        table.cards {
            thead { tr { th.num { "At" } th { "Kind" } th { "What" } th { "What was seen" } } }
            tbody { @for m in r.timeline.iter().take(ROWS_MAX) { (moment(m)) } }
        }
    };
    html! {
        section #moments {
            h2 { "Moment by moment" }
            p.lead { "Stamps count from the start of the drill, as in the journal." }
            (scroll("Moments", table))
            @if more > 0 { p.dim { "and " (count(more as u64)) " more, in result.json" } }
        }
    }
}

fn moment(m: &Moment) -> Markup {
    let (kind, class) = match m.kind {
        MomentKind::Phase => ("phase", "k-dim"),
        MomentKind::Fault => ("fault", "k-fault"),
        MomentKind::Impact => ("impact", "k-impact"),
        MomentKind::Detected => ("detected", "k-impact"),
        MomentKind::Recovery => ("recovery", "k-fix"),
        MomentKind::Recovered => ("recovered", "k-good"),
        MomentKind::Undo => ("undo", "k-dim"),
    };
    html! { tr {
        td.num { (stamp(m.at_us).trim()) }
        td { span class={ "kind " (class) } { (kind) } }
        td { (text(&m.what)) }
        td { (text(&m.seen)) }
    } }
}

/// Who built indexes; nothing where nobody did.
pub(super) fn builds(r: &Report) -> Markup {
    if r.builds.is_empty() {
        return html! {};
    }
    let more = r.builds.len().saturating_sub(ROWS_MAX);
    html! {
        section #builds {
            h2 { "Index builds" }
            p.lead { "Who really built, by the store's own word and clock. What users felt of it is the RTO." }
            table.cards {
                thead { tr { th { "Step" } th { "Node" } th { "What" } th { "Engine" } } }
                tbody { @for b in r.builds.iter().take(ROWS_MAX) {
                    tr {
                        td { strong { (text(&b.step)) } }
                        td { (b.node) }
                        td { (text(&b.what())) }
                        td { (text(&b.by())) }
                    }
                } }
            }
            @if more > 0 { p.dim { "and " (count(more as u64)) " more, in result.json" } }
        }
    }
}

pub(super) fn skipped(r: &Report) -> Markup {
    html! {
        section #skipped {
            h2 { "What was skipped, and why" }
            @if r.drawing.skipped.is_empty() {
                p.lead { "Nothing: every phase was played, every step ran, every objective was set." }
            } @else {
                table.cards {
                    thead { tr { th { "What" } th { "Why" } } }
                    tbody { @for s in r.drawing.skipped.iter().take(ROWS_MAX) {
                        tr { td { strong { (text(&s.what)) } } td { (text(&s.why)) } }
                    } }
                }
            }
        }
    }
}

pub(super) fn again(r: &Report) -> Markup {
    let head = r.drawing.head.as_deref().unwrap_or("not read");
    let rows = [
        ("Run", text(&r.run)),
        ("World", format!("{} ({})", r.world, counts_as(r))),
        ("Seed", r.seed.to_string()),
        ("gameday", text(&r.gameday)),
        ("Machine", text(&r.machine)),
        ("Scenario, SHA-256", text(&r.scenario_sha256)),
        ("Journal, SHA-256 of its last line", text(head)),
        (
            "Journal",
            format!(
                "{} lines, format {}, each holds the hash of the line before",
                count(r.events),
                harness::journal::FORMAT
            ),
        ),
    ];
    let more = r.notes.len().saturating_sub(ROWS_MAX);
    html! {
        section #again {
            h2 { "To check it and to play it again" }
            table.cards {
                tbody {
                    @for (what, value) in rows { tr { td.nowrap { (what) } td.digest { (value) } } }
                    @for set in r.overrides.iter().take(ROWS_MAX) { tr { td { "Set on the command line" } td { (text(set)) } } }
                    @for note in r.notes.iter().take(ROWS_MAX) { tr { td { "Note" } td { (text(note)) } } }
                    @if more > 0 { tr { td { "Notes" } td { "and " (count(more as u64)) " more, in result.json" } } }
                }
            }
            p.lead { code { "gameday report journal.jsonl --html" } " makes this file again, byte for byte, and refuses a journal that was altered." }
        }
    }
}

/// The lines that findings and steps name.
pub(super) fn journal(r: &Report) -> Markup {
    if r.drawing.cited.is_empty() {
        return html! {};
    }
    html! {
        section #journal {
            h2 { "The lines that prove it" }
            p.lead { "Quoted from journal.jsonl. Event #n is line n + 1 of the file. The hash is of the whole line, without its line break." }
            ol.journal { @for c in &r.drawing.cited {
                li id={ "e" (c.seq) } {
                    b { "#" (c.seq) }
                    code { (super::super::clean(&c.line)) @if (c.line.len() as u64) < c.bytes { " … (" (count(c.bytes)) " bytes)" } }
                    span.why-line.digest { "sha256 " (text(&c.sha256)) }
                }
            } }
        }
    }
}
