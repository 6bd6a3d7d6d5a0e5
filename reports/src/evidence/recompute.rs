//! Every number again, from the raw events alone: what an auditor calls re-performance.
//!
//! Raw is what the journal quotes of the systems: when a question was sent and answered, how a write ended, what was read
//! back, which neighbours a search gave. Whether a search was right is computed again from the scenario's records. What
//! stays the harness's word at the time is why a single probe was bad, and what an act was seen to do.

use std::{
    io::{BufReader, Seek as _},
    path::Path,
};

use harness::{
    diagnose,
    own::{self, stack::Stack},
    ports::CountsAs,
    report::{Played, Report},
    scenario::{Priority, Scenario, WorldName},
    topology::Role,
};

use super::{
    attest::other_tests,
    ledger::{Closed, Declared},
    plain::{self, Links},
    seal::{ATTESTATION, JOURNAL, SCENARIO, STACK},
};
use crate::Format;
use harness::report::drawing::Drawing;

/// What the events of a run say.
#[derive(Clone, PartialEq, Debug)]
pub struct Recomputed {
    /// Everything that is reported.
    pub report: Report,
    /// The stores that critical services use.
    pub critical_stores: Vec<Role>,
}

/// What a journal says, and its report with the lines that prove it.
fn judged(journal: &Path) -> Result<(Played, Report), String> {
    let mut file = plain::open(journal, Links::Refused, plain::JOURNAL_MOST).map_err(|e| e.to_string())?;
    let played = Played::read(BufReader::with_capacity(1 << 18, &file)).map_err(|e| e.to_string())?;
    let mut report = played.report();
    file.rewind().map_err(|e| e.to_string())?;
    report.cite(BufReader::with_capacity(1 << 18, &file)).map_err(|e| e.to_string())?;
    Ok((played, report))
}

/// As a report is read back from JSON, which holds its numbers and none of its charts.
fn without_drawing(report: &Report) -> Report {
    Report { drawing: Drawing::default(), ..report.clone() }
}

/// Rebuilds a closed run from its journal, and compares all that was said about it. Answers with what is wrong: a
/// file and why.
///
/// A run that left no journal has nothing to rebuild; it is then never more than unknown.
pub fn recompute(
    folder: &Path,
    declared: &Declared,
    closed: &Closed,
) -> (Option<Recomputed>, Vec<(String, String)>) {
    let mut wrong = Vec::new();
    let (played, report) = match judged(&folder.join(JOURNAL)) {
        Ok(judged) => judged,
        Err(why) => {
            if closed.verdict == harness::verdict::Verdict::Pass {
                wrong.push((JOURNAL.to_owned(), format!("the run was closed as passed, but {why}")));
            }
            return (None, wrong);
        }
    };
    let mut say = |file: &str, why: String| wrong.push((file.to_owned(), why));
    if report.verdict != closed.verdict {
        let (found, said) = (report.verdict, closed.verdict);
        say(JOURNAL, format!("its events give {found}, and the ledger says {said}"));
    }
    for why in contradictions(&report, declared) {
        say(JOURNAL, why);
    }
    if let Played::Drill(facts) = &played
        && let Err(why) = facts.recount()
    {
        say(JOURNAL, why);
    }
    if let Some(why) = other_tests(folder, &report) {
        say(ATTESTATION, why);
    }
    let another = match &played {
        Played::Drill(facts) => another_scenario(folder, declared, &facts.began.scenario),
        Played::Restore(facts) => {
            let read =
                |drill: &[u8], pairs: &[_], stack: &Stack| own::drill(drill, pairs, |_| Ok(stack.clone()));
            another_own(folder, declared, &facts.drill, read)
        }
        Played::Fault(facts) => {
            let read = |drill: &[u8], pairs: &[_], stack: &Stack| {
                own::fault::drill(drill, pairs, |_| Ok(stack.clone()))
            };
            another_own(folder, declared, &facts.drill, read)
        }
    };
    if let Some(why) = another {
        say(SCENARIO, why);
    }
    // A later gameday may say the same in other words; its numbers are compared whatever its words are.
    if report.gameday == env!("CARGO_PKG_VERSION") {
        for format in Format::ALL {
            let said = view(folder, format).unwrap_or_default();
            if said != format.render(&report).into_bytes() {
                say(format.file_name(), "it is not what the journal gives".into());
            }
        }
    } else if view(folder, Format::Json)
        .and_then(|bytes| serde_json::from_slice::<Report>(&bytes).ok())
        .is_none_or(|said| said != without_drawing(&report))
    {
        say(Format::Json.file_name(), "its numbers are not those that the journal gives".into());
    }
    (Some(Recomputed { report, critical_stores: critical_stores(&played) }), wrong)
}

/// The stores that critical services use; none where the drill has no services.
fn critical_stores(played: &Played) -> Vec<Role> {
    let Played::Drill(facts) = played else { return Vec::new() };
    let critical = facts.plan.services.iter().filter(|s| s.priority == Priority::Critical);
    let mut stores: Vec<Role> = critical.flat_map(|s| s.uses.iter().copied()).collect();
    stores.sort_unstable();
    stores.dedup();
    stores
}

fn view(folder: &Path, format: Format) -> Option<Vec<u8>> {
    plain::read(&folder.join(format.file_name()), Links::Refused, plain::MOST).ok()
}

/// Where the journal is not that of the run that was declared.
fn contradictions(report: &Report, declared: &Declared) -> Vec<String> {
    let mut all = Vec::new();
    let mut same = |what: &str, equal: bool| {
        if !equal {
            all.push(format!("its {what} is not what was declared before the drill"));
        }
    };
    same("scenario", report.scenario == declared.scenario);
    same("scenario file", report.scenario_sha256 == declared.scenario_sha256);
    same("list of overrides", report.overrides == declared.overrides);
    same("world", report.world == declared.world);
    same("worth", report.counts_as == declared.counts_as);
    same("planted flaw", report.flaw == declared.flaw);
    same("list of thresholds", report.objectives == declared.objectives);
    same("version of gameday", report.gameday == declared.gameday);
    // A simulation is named by its seed: equal runs have equal journals.
    same("name", report.world == WorldName::Sim || report.run == declared.run);
    same("stack file", report.stack_sha256() == declared.stack_sha256.as_ref());
    all.extend(impossible(report.world, report.counts_as));
    all
}

/// What runs in a world of gameday's own is a rehearsal, and nothing else is.
pub(super) fn impossible(world: WorldName, counts_as: CountsAs) -> Option<String> {
    match (world.rehearses(), counts_as == CountsAs::Rehearsal) {
        (true, false) => Some(format!(
            "it claims to count as {counts_as}, and ran in world {world}, where all is rehearsal"
        )),
        (false, true) => {
            Some(format!("it claims to be a rehearsal, and ran in world {world}, where nothing is"))
        }
        _ => None,
    }
}

/// What was set on the command line, as pairs.
fn pairs(declared: &Declared) -> Vec<(String, String)> {
    let pair = |o: &String| o.split_once('=').map(|(path, value)| (path.to_owned(), value.to_owned()));
    declared.overrides.iter().map(pair).collect::<Option<_>>().unwrap_or_default()
}

/// Whether the sealed files of a drill on somebody's own stack are another drill than the one that was played.
fn another_own<D: PartialEq, E>(
    folder: &Path,
    declared: &Declared,
    played: &D,
    drill: impl Fn(&[u8], &[(String, String)], &Stack) -> Result<D, E>,
) -> Option<String> {
    let read = |name: &str| plain::read(&folder.join(name), Links::Refused, plain::SMALL).ok();
    let (written, stack) = read(SCENARIO).zip(read(STACK))?;
    let written = own::stack(&stack).ok().and_then(|stack| drill(&written, &pairs(declared), &stack).ok());
    match written {
        None => Some("it is not a drill that this gameday understands".into()),
        Some(written) => {
            (written != *played).then(|| "it is not the drill that the journal says was played".into())
        }
    }
}

/// Whether the sealed scenario file, with the declared overrides, is another drill than the one that was played.
fn another_scenario(folder: &Path, declared: &Declared, played: &Scenario) -> Option<String> {
    let bytes = plain::read(&folder.join(SCENARIO), Links::Refused, plain::SMALL).ok()?;
    let Ok(loaded) = diagnose::load(&bytes, &pairs(declared)) else {
        return Some("it is not a scenario that this gameday understands".into());
    };
    let mut written = loaded.scenario;
    if declared.world == WorldName::Sim {
        // Simulations scale the data down.
        written.data = played.data.clone();
    }
    (&written != played).then(|| "it is not the drill that the journal says was played".into())
}
