//! What stands at the end: where the evidence lies, what to type next, and the table of several drills.

use std::path::Path;

use harness::{report::Report, scenario::WorldName, time::human_us};

use super::{Played, folder::page, select::Drill};
use crate::{exit::Exit, say};

/// The worst of several ends. Drills that were never started prove nothing, and neither does no drill at all.
pub(super) fn worst(exits: impl IntoIterator<Item = Exit>, left: usize) -> Exit {
    let order = [Exit::Fail, Exit::Usage, Exit::Evidence, Exit::Environment, Exit::Unknown, Exit::Pass];
    let unplayed = (left > 0).then_some(Exit::Unknown);
    let rank = |exit: &Exit| order.iter().position(|o| o == exit);
    exits.into_iter().chain(unplayed).min_by_key(rank).unwrap_or(Exit::Unknown)
}

/// Where the evidence lies, and what to type next.
pub(super) fn next(played: &Played, drill: &Drill, world: WorldName) -> String {
    let (Some(folder), Some(short)) = (&played.folder, &played.short) else { return String::new() };
    let program = say::program();
    let (latest, file) = (short.display(), drill.input.path.display());
    let mut text = format!(
        "\nEVIDENCE\n  {}\n    journal.jsonl (what happened), report.txt, report.html, result.json, junit.xml,\n    summary.md, oscal-ar.json, trace.otlp.jsonl, scenario.toml\n\nNEXT\n",
        folder.display()
    );
    let mut line = |command: String, why: &str| text.push_str(&format!("  {command}\n      {why}\n"));
    line(format!("{program} report {latest}"), "this report again, from the journal alone");
    if world == WorldName::Sim {
        line(format!("{program} run {file}"), "the same drill with real processes, files and links");
    } else if played.exit() != Exit::Pass {
        line(format!("{program} plan {file}"), "what was to happen, and when");
    } else {
        line(format!("{program} report --format junit {latest}"), "for a CI server");
    }
    text
}

/// The last lines of one drill: the verdict, and its page.
pub(super) fn last(report: &Report, folder: Option<&Path>) -> String {
    let page = folder.map_or(String::new(), |folder| page(folder) + "\n");
    format!("\n{}\n{page}", reports::headline(report))
}

/// The findings of several drills that are no pass.
pub(super) fn doubts(played: &[Played]) -> String {
    let mut text = String::new();
    for p in played {
        match &p.result {
            Ok((report, _)) => {
                let doubts = reports::doubts(report);
                if !doubts.is_empty() {
                    text.push_str(&format!("\n{}\n{doubts}", p.scenario));
                }
            }
            Err(failure) => text.push_str(&format!("\n{}\n  {}\n", p.scenario, failure.what)),
        }
    }
    text
}

/// One line a drill; last the verdict of all of them with the count, and the page of the worst.
pub(super) fn table(played: &[Played], skipped: usize, left: usize, world: WorldName) -> String {
    let width = played.iter().map(|p| p.scenario.len()).max().unwrap_or(0).max(8);
    let mut text = format!("\n{:<width$}  {:<11}  {:>9}  evidence\n", "drill", "verdict", "took");
    for p in played {
        let (verdict, took) = match &p.result {
            Ok((report, Exit::Environment)) => ("ENVIRONMENT".to_owned(), human_us(report.took_us)),
            Ok((report, _)) => (report.verdict.to_string(), human_us(report.took_us)),
            Err(_) => ("ENVIRONMENT".to_owned(), "-".to_owned()),
        };
        let folder = p.folder.as_ref().map_or("-".into(), |f| f.display().to_string());
        text.push_str(&format!("{:<width$}  {verdict:<11}  {took:>9}  {folder}\n", p.scenario));
    }
    let count = |exit: Exit| played.iter().filter(|p| p.exit() == exit).count();
    let other = played.len() - count(Exit::Pass) - count(Exit::Fail) - count(Exit::Unknown);
    if skipped > 0 {
        text.push_str(&format!("SKIPPED: {skipped} made for other worlds\n"));
    }
    if left > 0 {
        text.push_str(&format!("NOT STARTED: {left}, because a stop was asked for\n"));
    }
    let all = worst(played.iter().map(Played::exit), left);
    text.push_str(&format!(
        "\n{}: {} drills in world {world}: {} pass, {} fail, {} unknown, {other} broken by the environment\n",
        word(all),
        played.len(),
        count(Exit::Pass),
        count(Exit::Fail),
        count(Exit::Unknown),
    ));
    let shown = played.iter().filter(|p| p.result.is_ok()).find(|p| p.exit() == all);
    if let Some(folder) = shown.and_then(|p| p.folder.as_ref()) {
        text.push_str(&format!("{}\n", page(folder)));
    }
    text
}

fn word(exit: Exit) -> &'static str {
    match exit {
        Exit::Pass => "PASS",
        Exit::Fail => "FAIL",
        Exit::Unknown => "UNKNOWN",
        Exit::Usage | Exit::Environment | Exit::Evidence => "ENVIRONMENT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_counts_and_nothing_is_unknown() {
        use Exit::{Environment, Fail, Pass, Unknown};
        assert_eq!(worst([Pass, Unknown, Environment, Fail], 0), Fail);
        assert_eq!(worst([Pass, Unknown, Environment], 0), Environment);
        assert_eq!(worst([Pass, Unknown], 0), Unknown);
        assert_eq!(worst([Pass, Pass], 0), Pass);
        assert_eq!(worst([Pass], 1), Unknown);
        assert_eq!(worst([], 0), Unknown);
    }
}
