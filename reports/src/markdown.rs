//! `summary.md`: the step summary of a CI server. Never over [`MAX`] bytes: a server drops a summary that is too long as
//! a whole.

use harness::{judge::Finding, report::Report, time::human_us, verdict::Verdict};

use crate::text::words::{clean, count, maybe_us, share, share_at_least};

/// The most bytes of a summary.
pub const MAX: usize = 64 << 10;
/// What is left for the list of findings to come; the rest is short.
const FINDINGS_MAX: usize = 40 << 10;

/// Index builds that are told; the rest are in `result.json`.
const BUILDS_MAX: usize = 8;

/// As Markdown.
pub fn render(report: &Report) -> String {
    let mut text = format!("### {}\n\n{}\n\n", cell(&report.title), cell(&crate::headline(report)));
    text.push_str(&format!(
        "`{}` in world `{}`, {}; seed {}; run `{}`\n\n",
        cell(&report.scenario),
        report.world,
        crate::text::counts_as(report),
        report.seed,
        cell(&report.run)
    ));
    if let Some(flaw) = &report.flaw {
        text.push_str(&format!(
            "**A flaw was planted on purpose: {}. This drill tests gameday, not a stack.**\n\n",
            cell(flaw)
        ));
    }
    text.push_str("| verdict | objective | required | measured |\n|---|---|---|---|\n");
    // What failed first, so that it is never what was cut.
    let mut findings: Vec<&Finding> = report.findings.iter().collect();
    findings.sort_by_key(|f| std::cmp::Reverse(f.verdict));
    for (i, f) in findings.iter().enumerate() {
        let line = format!(
            "| {} | {} of {} | {} | {} |\n",
            mark(f.verdict),
            cell(&f.objective),
            cell(&f.subject),
            cell(&f.required),
            cell(&f.measured)
        );
        if text.len() + line.len() > FINDINGS_MAX {
            text.push_str(&format!("\n{} more findings are in `result.json`.\n", findings.len() - i));
            break;
        }
        text.push_str(&line);
    }
    let mut more = String::from("\n<details><summary>Services and data</summary>\n\n");
    more.push_str("| service | unavailable | detected | recovery started |\n|---|---|---|---|\n");
    for s in &report.services {
        let outage =
            if s.absorbed { "absorbed".into() } else { s.rto_us.map_or("not back".into(), human_us) };
        let (detected, started) = (maybe_us(s.detected_us), maybe_us(s.recovery_started_us));
        more.push_str(&format!("| {} | {outage} | {detected} | {started} |\n", cell(&s.service)));
    }
    more.push_str(
        "\n| store | acknowledged | lost | corrupt | unexpected | RPO |\n|---|---|---|---|---|---|\n",
    );
    for s in &report.ledger {
        let (acked, lost, corrupt, unexpected) =
            (count(s.acked), count(s.lost), count(s.corrupt), count(s.unexpected));
        let rpo = maybe_us(s.rpo_us);
        more.push_str(&format!(
            "| {} | {acked} | {lost} | {corrupt} | {unexpected} | {rpo} |\n",
            report.name_of(s)
        ));
    }
    if let Some((point, lower)) = report.quality.as_ref().and_then(|q| q.ratio) {
        more.push_str(&format!(
            "\nRecall is {} of before, at least {}.\n",
            share(point),
            share_at_least(lower)
        ));
    }
    for b in report.builds.iter().take(BUILDS_MAX) {
        more.push_str(&format!("\n{} built {}: {}.\n", b.node, cell(&b.what()), cell(&b.by())));
    }
    more.push_str("\n</details>\n");
    if text.len() + more.len() <= MAX {
        text.push_str(&more);
    }
    text
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Unknown => "**UNKNOWN**",
        Verdict::Fail => "**FAIL**",
    }
}

/// Words from outside: no line breaks, nothing that Markdown or HTML would obey, and not without end.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in clean(text).chars().take(600) {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '!' | '#' | '~' => {
                if c != '_' {
                    out.push('\\');
                }
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_from_outside_are_harmless() {
        assert_eq!(cell("a|b\n<img src=x>"), "a\\|b &lt;img src=x&gt;");
        assert_eq!(cell(&"x".repeat(10_000)).len(), 600);
    }
}
