//! Whether data is whole: witnesses read the same as before, and canaries that were acknowledged are there.

use crate::{
    judge::Finding,
    own::fault::{
        event::{Pass, Sown, Task},
        facts::Facts,
    },
    time::human_us,
    verdict::Verdict::{Fail, Pass as Good, Unknown},
};

/// What became of the canaries of one component.
#[derive(Clone, PartialEq, Debug, Default)]
pub(in crate::own::fault) struct Lost {
    /// Planted and acknowledged.
    pub(in crate::own::fault) acked: u64,
    /// Not acknowledged: they may be there or not.
    pub(in crate::own::fault) unknown: u64,
    /// Acknowledged, and gone.
    pub(in crate::own::fault) lost: u64,
    /// Acknowledged, and there with another value.
    pub(in crate::own::fault) corrupt: u64,
    /// Acknowledged in the window before the fault that may be lost.
    pub(in crate::own::fault) exercised: u64,
    /// Lost, and acknowledged after all recovery of its component had ended.
    pub(in crate::own::fault) late: u64,
    /// From the oldest lost one to the last fault, or to the newest lost one if that is later.
    pub(in crate::own::fault) actual_us: u64,
}

/// Whether a witness could be taken at all: what a rehearsal says.
pub(super) fn taken(f: &Facts, witness: &str) -> Finding {
    let finding = Finding::new("witness", witness, "can be read");
    let Some(w) = f.witnessed(Pass::Before, witness) else {
        return finding.because(Unknown, "it was not read");
    };
    let finding = finding.evidence([w.seq]);
    match (&w.is.sum, &w.is.none) {
        (Some(sum), _) if sum.rows > 0 => finding.measured(format!("{} rows", sum.rows)).because(Good, ""),
        (Some(_), _) => finding.measured("no rows").because(Unknown, "it is empty, and would prove nothing"),
        (None, why) => finding.because(Unknown, why.clone().unwrap_or_default()),
    }
}

/// A witness reads as it did before.
pub(super) fn same(f: &Facts, witness: &str, pass: Pass) -> Finding {
    let objective = if pass == Pass::Recovered { "data" } else { "data_after" };
    let finding = Finding::new(objective, witness, format!("{pass}, the same rows as before the fault"));
    let Some(before) = f.witnessed(Pass::Before, witness) else {
        return finding.because(Unknown, "it was not read before");
    };
    let finding = finding.evidence([before.seq]);
    let Some(was) = &before.is.sum else {
        let why = before.is.none.clone().unwrap_or_default();
        return finding.because(Unknown, format!("it could not be read before: {why}"));
    };
    if was.rows == 0 {
        return finding.because(Unknown, "it was empty before, and proves nothing");
    }
    let Some(now) = f.witnessed(pass, witness) else {
        return finding.because(Unknown, format!("it was not read {pass}"));
    };
    let finding = finding.evidence([now.seq]);
    match (&now.is.sum, &now.is.none) {
        (Some(is), _) if is == was => {
            finding.measured(format!("{} rows, each as before", is.rows)).because(Good, "")
        }
        (Some(is), _) => {
            let text = format!(
                "{} rows before, {} {pass}; at least {} changed, lost or added",
                was.rows,
                is.rows,
                was.differs_at_least(is)
            );
            let why = "rows are gone, changed or new; where users change them, ask for rows that nobody changes any more";
            finding.measured(text).because(Fail, why)
        }
        (None, why) => {
            let why = why.clone().unwrap_or_default();
            finding
                .measured("it could not be read")
                .because(Fail, format!("users do not get their data: {why}"))
        }
    }
}

/// What became of the canaries of a component; absent if nobody could read them.
pub(in crate::own::fault) fn lost(f: &Facts, pass: Pass, component: &str) -> Option<Lost> {
    let there = f.canaries.get(&(pass, component.to_owned())).filter(|c| c.is.none.is_none())?;
    let there: std::collections::BTreeMap<&String, &String> =
        there.is.list.iter().map(|p| (&p.id, &p.digest)).collect();
    let none = Vec::new();
    let sown = f.sown.get(component).unwrap_or(&none);
    let (acked, unknown): (Vec<&Sown>, Vec<&Sown>) =
        sown.iter().map(|s| &s.is).partition(|s| s.failed.is_none());
    let gone: Vec<&&Sown> = acked.iter().filter(|s| !there.contains_key(&s.id)).collect();
    let changed = |s: &&&Sown| there.get(&s.id).is_some_and(|d| **d != s.digest);
    let mut lost = Lost {
        acked: acked.len() as u64,
        unknown: unknown.len() as u64,
        lost: gone.len() as u64,
        corrupt: acked.iter().chain(&unknown).filter(|s| changed(s)).count() as u64,
        ..Lost::default()
    };
    if let Some(t0_us) = f.t0_us() {
        let rpo_us = f.drill.fault.objectives.rpo.map_or(0, |d| d.us());
        let from_us = if rpo_us == 0 { 0 } else { t0_us.saturating_sub(rpo_us) };
        lost.exercised = acked.iter().filter(|s| (from_us..t0_us).contains(&s.done_us)).count() as u64;
        let over_us = recovered_us(f, component);
        lost.late = gone.iter().filter(|s| over_us.is_some_and(|over| s.sent_us > over)).count() as u64;
        let struck_us = f.last_strike_us().unwrap_or(t0_us);
        let (oldest, newest) = (gone.iter().map(|s| s.done_us).min(), gone.iter().map(|s| s.done_us).max());
        lost.actual_us = oldest.zip(newest).map_or(0, |(o, n)| struck_us.max(n).saturating_sub(o).max(1));
    }
    Some(lost)
}

/// When the last step that mends a component had ended; where none was run, when its users had it again.
fn recovered_us(f: &Facts, component: &str) -> Option<u64> {
    let struck_us = f.last_strike_us()?;
    let steps = f.drill.fault.recover.iter().filter(|r| r.component.as_deref() == Some(component));
    let ended = steps.filter_map(|r| f.ended(Task::Recover, &r.name)).map(|r| r.at_us).max();
    let back = || {
        let detectors = f.drill.detectors(Some(component));
        let outages = detectors.into_iter().filter_map(|id| f.services.get(id)?.outage.as_ref());
        outages.map(|o| o.recovered.map_or(0, |w| w.late_us)).max()
    };
    Some(ended.or_else(back).unwrap_or(0).max(struck_us))
}

/// Canaries that were acknowledged are there, but for those that may be lost.
pub(super) fn rpo(f: &Facts, component: &str, t0_us: u64) -> Finding {
    let limit = f.drill.fault.objectives.rpo.unwrap_or_default();
    let finding = Finding::new("rpo", component, format!("at most {limit}"));
    let read = f.canaries.get(&(Pass::Recovered, component.to_owned()));
    let finding = finding.evidence(read.map(|c| c.seq));
    let Some(lost) = lost(f, Pass::Recovered, component) else {
        return match read.and_then(|c| c.is.none.as_ref()) {
            Some(why) => {
                let why = format!("the canaries could not be read after recovery: {why}");
                finding.measured("nothing could be read").because(Fail, why)
            }
            None => finding.because(Unknown, "they were not read after recovery"),
        };
    };
    let since = |s: &&Sown| s.done_us >= t0_us;
    let after = f.sown.get(component).into_iter().flatten().map(|s| &s.is).filter(since).count();
    let finding = finding.measured(format!(
        "{} ({} lost, {} changed of {} acknowledged; {} in the window before the fault, {after} asked after it)",
        human_us(lost.actual_us),
        lost.lost,
        lost.corrupt,
        lost.acked,
        lost.exercised,
    ));
    if lost.corrupt > 0 {
        finding.because(Fail, "a record came back with another value")
    } else if lost.late > 0 {
        let why = format!(
            "{} records are gone that were written after recovery had ended: no RPO covers that",
            lost.late
        );
        finding.because(Fail, why)
    } else if lost.actual_us > limit.us() {
        finding.because(Fail, "records that were acknowledged are gone, beyond what may be lost")
    } else if lost.exercised == 0 {
        finding.because(Unknown, "no canary was acknowledged before the fault: nothing could be lost")
    } else {
        finding.because(Good, "")
    }
}

/// The undo took no canary away that recovery had brought back.
pub(super) fn kept(f: &Facts, component: &str) -> Finding {
    let finding =
        Finding::new("data_after", component, "after the undo, the same canaries as after recovery");
    let read = f.canaries.get(&(Pass::Undone, component.to_owned()));
    let finding = finding.evidence(read.map(|c| c.seq));
    let Some((before, after)) = lost(f, Pass::Recovered, component).zip(lost(f, Pass::Undone, component))
    else {
        return match read.and_then(|c| c.is.none.as_ref()) {
            Some(why) => finding.because(Fail, format!("they could not be read after the undo: {why}")),
            None => finding.because(Unknown, "they were not read twice"),
        };
    };
    let finding = finding.measured(format!("{} lost, {} changed", after.lost, after.corrupt));
    if after.lost > before.lost || after.corrupt > before.corrupt {
        finding.because(Fail, "the undo took records away")
    } else {
        finding.because(Good, "")
    }
}
