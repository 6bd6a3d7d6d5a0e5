//! What stands at the end: where the evidence lies, what to type next, and the table of several drills.

use std::path::Path;

use harness::{scenario::WorldName, time::human_us};

use super::{Played, select::Drill};
use crate::{exit::Exit, say};

/// The worst of several ends. Drills that were never started prove nothing, and neither does no drill at all.
pub(super) fn worst(exits: impl IntoIterator<Item = Exit>, left: usize) -> Exit {
    let order = [Exit::Fail, Exit::Usage, Exit::Evidence, Exit::Environment, Exit::Unknown, Exit::Pass];
    let unplayed = (left > 0).then_some(Exit::Unknown);
    let rank = |exit: &Exit| order.iter().position(|o| o == exit);
    exits.into_iter().chain(unplayed).min_by_key(rank).unwrap_or(Exit::Unknown)
}

/// Where the evidence lies, and what to type next.
pub(super) fn next(played: &Played, drill: &Drill, out: &Path, world: WorldName) -> String {
    let Some(folder) = &played.folder else { return String::new() };
    let (program, latest) = (say::program(), out.join("latest"));
    let (latest, file) = (latest.display(), drill.input.path.display());
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

/// One line a drill, and the count.
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
    text.push_str(&format!(
        "{} drills in world {world}: {} pass, {} fail, {} unknown, {other} broken by the environment\n",
        played.len(),
        count(Exit::Pass),
        count(Exit::Fail),
        count(Exit::Unknown),
    ));
    if skipped > 0 {
        text.push_str(&format!("SKIPPED: {skipped} made for other worlds\n"));
    }
    if left > 0 {
        text.push_str(&format!("NOT STARTED: {left}, because a stop was asked for\n"));
    }
    text
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
