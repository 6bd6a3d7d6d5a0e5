//! What only a restore drill has: what came back, beside what had to. In words, as text, and for the page.

use harness::{
    own::{AnswersReport, RestoreReport},
    report::Report,
    time::human_us,
};
use maud::{Markup, html};

use crate::text::{
    page::Page,
    words::{count, limit_us},
};

/// The verdict's reason where it is a pass.
pub(crate) fn headline(report: &Report, r: &RestoreReport) -> String {
    let limits = report.objectives.first();
    let limit = |us: Option<u64>| us.map_or(String::new(), |l| format!(" (limit {})", limit_us(l)));
    let mut said = Vec::new();
    said.extend(r.rto_us.map(|us| {
        format!("{} was back after {}{}", r.source, human_us(us), limit(limits.and_then(|o| o.rto_us)))
    }));
    said.extend(
        r.age_us.map(|age| format!("its backup was {}{}", old(age), limit(limits.and_then(|o| o.rpo_us)))),
    );
    let (rows, witnesses) = (r.witnesses.iter().filter_map(|w| w.same).sum(), r.witnesses.len());
    let noun = if witnesses == 1 { "witness" } else { "witnesses" };
    said.push(format!("{} of {witnesses} {noun} as in the source", crate::faulted::plural(rows)));
    said.join("; ")
}

/// How old a backup was.
fn old((early, late): (u64, u64)) -> String {
    match early {
        0 => format!("at most {} old", human_us(late)),
        _ => format!("between {} and {} old", human_us(early), human_us(late)),
    }
}

fn rows(n: Option<u64>) -> String {
    n.map_or("-".into(), count)
}

/// A section of the text.
pub(crate) fn text(page: &mut Page, r: &RestoreReport) {
    page.section("RESTORE (what came back, beside what the source holds)");
    page.item("  ", &format!("{} ({}) of stack {}", r.source, r.product, r.stack));
    for (name, value) in facts(r) {
        page.item(&format!("      {name:<11}"), &value);
    }
    let longest = r.witnesses.iter().map(|w| w.witness.len()).max().unwrap_or(0).max(7);
    let widths = [longest, 14, 14, 14, 14, 14];
    page.row(
        &widths,
        &["witness", "before", "restored", "same for sure", "restarted", "source after"].map(String::from),
    );
    for w in &r.witnesses {
        let figures = [w.before, w.restored, w.same, w.restarted, w.after].map(rows);
        page.row(&widths, &std::iter::once(w.witness.clone()).chain(figures).collect::<Vec<_>>());
    }
}

/// Facts by name.
fn facts(r: &RestoreReport) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    if let Some(command) = r.command_us {
        let checked = r.rto_us.map_or("the checks never passed".into(), |us| {
            format!("every check of the data had passed after {}", human_us(us))
        });
        all.push(("restored", format!("by its command in {}; {checked}", human_us(command))));
    }
    if let Some(age) = r.age_us {
        all.push(("backup", format!("{}, counted from the start of the drill", old(age))));
    }
    if r.canaries > 0 {
        let (planted, back, harmed) = (count(r.canaries), count(r.canaries_back), count(r.canaries_harmed));
        all.push((
            "canaries",
            format!("{planted} planted before, {back} came back, {harmed} gone or changed that had to"),
        ));
    }
    for w in &r.witnesses {
        all.extend(w.answers.as_ref().map(|a| ("searched", searched(&w.witness, a))));
    }
    let said = |facts: &[(String, String)]| {
        facts.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
    };
    all.push(("source", said(&r.source_is)));
    all.push(("scratch", said(&r.scratch_is)));
    all.retain(|(_, value)| !value.is_empty());
    all
}

/// What became of the source's answers to golden queries.
fn searched(witness: &str, a: &AnswersReport) -> String {
    // Rounded down: what is not all is not called so.
    let percent = |share: f64| format!("{:.2} %", (share * 10_000.0).floor() / 100.0);
    let Some((asked, restored)) = a.asked.zip(a.restored) else {
        return format!(
            "{witness}: no answers to compare; required are those of the source, {}",
            percent(a.least)
        );
    };
    let restarted = a.restarted.map(|s| format!(", {} after the restart", percent(s))).unwrap_or_default();
    format!(
        "{witness}: {} of the source's answers to {} queries came back{restarted}; required: {}",
        percent(restored),
        count(asked),
        percent(a.least)
    )
}

/// A section of the page.
pub(crate) fn page(report: &Report) -> Markup {
    let Some(r) = &report.restore else { return html! {} };
    let clean = crate::clean;
    html! {
        section #restore {
            h2 { "What came back" }
            p.lead { "Every row of each witness, compared with the source as it was before; a row more, less or changed is a miss." }
            div.scroll role="region" aria-label="Witnesses" tabindex="0" {
                table.cards {
                    thead { tr {
                        th { "Witness" } th.num { "Source before" } th.num { "Restored" } th.num { "The same for sure" }
                        th.num { "After the restart" } th.num { "Source after" }
                    } }
                    tbody { @for w in r.witnesses.iter().take(200) { tr {
                        td { strong { (clean(&w.witness)) } }
                        @for n in [w.before, w.restored, w.same, w.restarted, w.after] { td.num { (rows(n)) } }
                    } } }
                }
            }
            table.cards { tbody {
                tr { td.nowrap { "Restored" } td { (clean(&r.source)) " (" (clean(&r.product)) ") of stack " (clean(&r.stack)) } }
                @for (name, value) in facts(r) { tr { td.nowrap { (name) } td { (clean(&value)) } } }
                tr { td.nowrap { "Stack file, SHA-256" } td.digest { (clean(&r.stack_sha256)) } }
            } }
        }
    }
}
