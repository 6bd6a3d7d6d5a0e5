//! A fault drill on somebody's own stack as a report: the same [`Report`] that every drill ends in.

use serde::{Deserialize, Serialize};

use super::{
    Fault, FaultStep, Inject, RecoverAct,
    event::{Command, Look, Pass, Task},
    facts::{Facts, ServiceFacts},
    judge,
};
use crate::{
    own::stack::Stack,
    ports::CountsAs,
    report::{
        Moment, MomentKind, ObjectiveReport, Report, ServiceReport,
        drawing::{Drawing, Step, Watched, lane},
    },
    scenario::WorldName,
    verdict::Verdict,
};

/// What was broken, and what its data was afterwards.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FaultReport {
    /// The stack's name.
    pub stack: String,
    /// SHA-256 of its file.
    pub stack_sha256: String,
    /// Nothing was broken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearsed: bool,
    /// The components that were broken, each with the command that did it.
    pub broken: Vec<(String, String)>,
    /// What was done about it, step by step.
    pub recovery: Vec<(String, String)>,
    /// Data of users.
    pub witnesses: Vec<WitnessReport>,
    /// Canaries that were planted while the drill ran, by component.
    pub canaries: Vec<CanaryReport>,
}

/// One witness: lines of each reading; absent where it was not read.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WitnessReport {
    /// Its name.
    pub witness: String,
    /// Before the fault.
    pub before: Option<u64>,
    /// After recovery.
    pub recovered: Option<u64>,
    /// Of those before, in groups of lines that are the same after recovery.
    pub same: Option<u64>,
    /// After the undo.
    pub undone: Option<u64>,
}

/// Canaries of one component.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CanaryReport {
    /// Which.
    pub component: String,
    /// Acknowledged.
    pub acked: u64,
    /// Not acknowledged.
    pub unknown: u64,
    /// Acknowledged and gone; absent if nobody could look.
    pub lost: Option<u64>,
    /// There with another value.
    pub corrupt: Option<u64>,
}

/// What has to hold, before anything was measured.
pub fn objectives(fault: &Fault, stack: &Stack) -> Vec<ObjectiveReport> {
    let drill = super::Drill { fault: fault.clone(), stack: stack.clone() };
    let one = |(id, service): (&String, &crate::own::stack::Service)| ObjectiveReport {
        service: id.clone(),
        priority: service.priority,
        rto_us: Some(drill.rto(id).us()),
        rpo_us: fault.objectives.rpo.map(|d| d.us()),
        quality: None,
        latency_p99_us: None,
        availability: None,
        stable_for_us: fault.objectives.stable_for.us(),
    };
    drill.services().map(one).collect()
}

impl Report {
    /// Judges a fault drill on somebody's own stack.
    pub fn of_fault(f: &Facts) -> Report {
        let findings = judge::findings(f);
        let began = &f.began;
        let mut notes = f.notes.clone();
        if began.rehearsed {
            notes.push("a rehearsal: nothing was broken, and nothing is proved".into());
        }
        let worst = Verdict::worst(findings.iter().map(|f| f.verdict));
        Report {
            // Nothing was broken: that it could be is no pass.
            verdict: if began.rehearsed { worst.max(Verdict::Unknown) } else { worst },
            scenario: began.drill.name.clone(),
            title: began.drill.title.clone().unwrap_or_else(|| began.drill.name.clone()),
            world: WorldName::Own,
            counts_as: if began.rehearsed { CountsAs::Rehearsal } else { began.stack.level.into() },
            seed: 0,
            run: began.run.clone(),
            started: began.started.clone(),
            took_us: f.end_us,
            flaw: None,
            overrides: began.overrides.clone(),
            gameday: began.gameday.clone(),
            machine: began.machine.clone(),
            scenario_sha256: began.drill_sha256.clone(),
            objectives: objectives(&began.drill, &began.stack),
            services: f.services.iter().map(|(id, s)| service(f, id, s)).collect(),
            ledger: Vec::new(),
            quality: None,
            restore: None,
            fault: Some(fault(f)),
            builds: Vec::new(),
            findings,
            proves_little: proves_little(f),
            still_down: Vec::new(),
            timeline: timeline(f),
            notes,
            events: f.events,
            drawing: drawing(f),
        }
    }
}

/// When a runbook first began.
fn recovery_us(f: &Facts) -> Option<u64> {
    f.started.iter().filter(|(c, _)| c.task == Task::Recover).map(|(_, s)| s.at_us).min()
}

fn service(f: &Facts, id: &str, s: &ServiceFacts) -> ServiceReport {
    let t0_us = f.t0_us().unwrap_or(0);
    let since = |at: u64| at.saturating_sub(t0_us);
    let outage = s.outage.as_ref();
    let window = outage.and_then(|o| o.recovered);
    let hurt = outage.is_some_and(|o| o.bad > 0);
    let told = &f.drill.stack.service[id];
    let clock = |step: &FaultStep| {
        let began = f.started.get(&Command { task: Task::Inject, step: step.name.clone() })?;
        Some((step.name.clone(), window?.late_us.saturating_sub(began.at_us)))
    };
    let lifted = |step: &FaultStep| {
        let undo = f.ended(Task::Undo, &step.name).filter(|_| step.hold.is_some());
        undo.zip(window).is_some_and(|(u, w)| u.is.began_us <= w.late_us)
    };
    let faults = &f.drill.fault.fault;
    ServiceReport {
        service: id.to_owned(),
        priority: told.priority,
        absorbed: outage.is_some_and(|o| o.bad == 0 && o.asked > 0),
        impact_us: outage.and_then(|o| o.t1_us).map(since),
        detected_us: s.detected_us.map(since),
        recovery_started_us: recovery_us(f).filter(|_| hurt).map(since),
        first_good_us: outage.and_then(|o| o.t4_us).map(since),
        rto_early_us: window.map(|w| since(w.early_us)),
        rto_us: window.map(|w| since(w.late_us)),
        verified_us: None,
        lifted: faults.iter().any(lifted),
        detection_bypassed: f.drill.fault.recover.iter().any(|r| r.at.is_some()),
        probe_period_us: told.probe.every.us(),
        probes: outage.map_or(0, |o| o.asked),
        bad: outage.map_or(0, |o| o.bad),
        availability: None,
        latency_p99_us: None,
        why: s.why.clone(),
        older: 0,
        harness_lag_us: outage.map_or(0, |o| o.lag_us),
        resolution_us: outage.map_or(0, |o| o.resolution_us),
        per_fault_us: faults.iter().filter_map(clock).collect(),
    }
}

/// A command in one line.
fn line(run: &[String]) -> String {
    run.join(" ")
}

fn fault(f: &Facts) -> FaultReport {
    let witness = |(id, _): (&String, _)| {
        let sum = |pass| f.witnessed(pass, id).and_then(|w| w.is.sum.as_ref());
        let rows = |pass| sum(pass).map(|s| s.rows);
        WitnessReport {
            witness: id.clone(),
            before: rows(Pass::Before),
            recovered: rows(Pass::Recovered),
            same: sum(Pass::Before).zip(sum(Pass::Recovered)).map(|(was, is)| was.same_rows(is)),
            undone: rows(Pass::Undone),
        }
    };
    let canary = |id: &String| {
        let lost = judge::lost(f, Pass::Recovered, id);
        let sown = f.sown.get(id).map_or(&[][..], |all| &all[..]);
        CanaryReport {
            component: id.clone(),
            acked: sown.iter().filter(|s| s.is.failed.is_none()).count() as u64,
            unknown: sown.iter().filter(|s| s.is.failed.is_some()).count() as u64,
            lost: lost.as_ref().map(|l| l.lost),
            corrupt: lost.map(|l| l.corrupt),
        }
    };
    let broken = |step: &FaultStep| {
        let Inject::Command(command) = &step.inject;
        (step.component.clone(), line(&command.run))
    };
    FaultReport {
        stack: f.began.stack.name.clone(),
        stack_sha256: f.began.stack_sha256.clone(),
        rehearsed: f.began.rehearsed,
        broken: f.drill.fault.fault.iter().map(broken).collect(),
        recovery: f.drill.fault.recover.iter().map(|r| (r.name.clone(), done(f, &r.name, &r.act))).collect(),
        witnesses: f.drill.witnesses().map(witness).collect(),
        canaries: f.drill.planted().into_iter().map(canary).collect(),
    }
}

/// What a recovery step did, in words.
fn done(f: &Facts, name: &str, act: &RecoverAct) -> String {
    match act {
        RecoverAct::None {} => "nothing was done".into(),
        RecoverAct::Command(c) => match f.ended(Task::Recover, name) {
            Some(ran) => format!("{}: {}", line(&c.run), ran.is.how),
            None => format!("{}: not run", line(&c.run)),
        },
    }
}

/// Why a pass would prove little.
fn proves_little(f: &Facts) -> Vec<String> {
    let mut all = Vec::new();
    if f.drill.witnesses().next().is_none() {
        all.push("no witness: nothing says that the data of users is whole".into());
    }
    if f.drill.fault.objectives.rpo.is_none() {
        all.push("no RPO was asked for: nothing says that what was written last is there".into());
    }
    let broken: Vec<&String> = f.drill.fault.fault.iter().map(|s| &s.component).collect();
    if let Some(id) = broken.iter().find(|id| !f.drill.witnesses().any(|(_, w)| w.component == ***id)) {
        all.push(format!("no witness looks into `{id}`, which was broken"));
    }
    let struck = f.t0_us().is_some();
    let hurt = f.services.values().any(|s| s.outage.as_ref().is_some_and(|o| o.bad > 0));
    if struck && !hurt {
        all.push(format!(
            "no service noticed the fault while it was watched for {} after it struck: what fails later was not seen",
            f.drill.fault.objectives.stable_for
        ));
    }
    let unused = |r: &&super::RecoverStep| {
        let which = Command { task: Task::Recover, step: r.name.clone() };
        matches!(r.act, RecoverAct::Command(_)) && !f.started.contains_key(&which)
    };
    for step in f.drill.fault.recover.iter().filter(unused).filter(|_| struck) {
        all.push(format!("the runbook `{}` was never run: it is as untried as before", step.name));
    }
    all
}

fn timeline(f: &Facts) -> Vec<Moment> {
    let moment = |at_us, kind, what: String, seen: String| Moment { at_us, kind, what, seen };
    let mut all: Vec<Moment> =
        f.stages.iter().map(|(s, at)| moment(*at, MomentKind::Phase, s.to_string(), String::new())).collect();
    for (command, ran) in &f.ran {
        let kind = match command.task {
            Task::Inject => MomentKind::Fault,
            Task::Undo => MomentKind::Undo,
            Task::Recover => MomentKind::Recovery,
        };
        all.push(moment(ran.is.began_us, kind, format!("{command} begins"), String::new()));
        all.push(moment(ran.at_us, kind, format!("{command} has ended"), ran.is.how.clone()));
    }
    for ((fault, look), looked) in f.looked.iter().filter(|((_, look), _)| *look != Look::Before) {
        let seen = match looked.is.there {
            Some(true) => "the effect is there",
            Some(false) => "the effect is not there",
            None => "nobody can tell",
        };
        let kind = if *look == Look::Gone { MomentKind::Undo } else { MomentKind::Fault };
        all.push(moment(looked.at_us, kind, format!("{fault}: looked {look}"), seen.into()));
    }
    for (id, s) in &f.services {
        let Some(outage) = &s.outage else { continue };
        let why = s.why.clone().unwrap_or_default();
        all.extend(outage.t1_us.map(|at| moment(at, MomentKind::Impact, format!("{id} is bad"), why)));
        let detected = |at| {
            let how = "three bad probes in a row".to_owned();
            moment(at, MomentKind::Detected, format!("{id} is detected as down"), how)
        };
        all.extend(s.detected_us.map(detected));
        all.extend(outage.recovered.map(|w| {
            let what = format!("{id} is good again, and stays good");
            moment(w.late_us, MomentKind::Recovered, what, String::new())
        }));
    }
    all.sort_by_key(|m| (m.at_us, m.kind));
    all
}

fn drawing(f: &Facts) -> Drawing {
    let asked = f.services.values().filter_map(|s| s.probes.first()).map(|p| p.due_us).min();
    let from_us = asked.unwrap_or(0).min(u64::MAX - 1);
    let to_us = f.end_us.max(from_us + 1);
    let ends = f.stages.iter().skip(1).map(|(_, at)| *at).chain([f.end_us]);
    let watched = |(id, s): (&String, &ServiceFacts)| {
        let every_us = f.drill.stack.service[id].probe.every.us();
        let (outage, t0_us) = (s.outage.as_ref(), f.t0_us());
        lane(
            &Watched { name: id, every_us, limit_us: None, probes: &s.probes, outage, t0_us },
            from_us,
            to_us,
        )
    };
    let fault = |step: &FaultStep| {
        let ran = f.ended(Task::Inject, &step.name)?;
        let look = f.looked.get(&(step.name.clone(), Look::Struck));
        let seen = look.map_or("nobody looked".to_owned(), |l| match l.is.there {
            Some(true) => "its effect was seen".into(),
            Some(false) if f.struck_us(&step.name).is_some() => "its effect was seen by users".into(),
            _ => format!("NOT OBSERVED: {}", l.is.how),
        });
        Some(Step {
            name: step.name.clone(),
            fault: true,
            began_us: ran.is.began_us,
            ended_us: look.map(|l| l.at_us),
            until_us: f.ended(Task::Undo, &step.name).map(|r| r.is.began_us),
            observed: f.struck_us(&step.name).is_some(),
            acts: vec![(line(&step.inject.command().run), seen)],
            evidence: [Some(ran.seq), look.map(|l| l.seq)].into_iter().flatten().collect(),
        })
    };
    let recovered = |r: &super::RecoverStep| {
        let ran = f.ended(Task::Recover, &r.name)?;
        Some(Step {
            name: r.name.clone(),
            fault: false,
            began_us: ran.is.began_us,
            ended_us: Some(ran.at_us),
            until_us: None,
            observed: ran.is.code == Some(0),
            acts: vec![(done(f, &r.name, &r.act), ran.is.how.clone())],
            evidence: vec![ran.seq],
        })
    };
    let faults = f.drill.fault.fault.iter().filter_map(fault);
    let mut steps: Vec<Step> = faults.chain(f.drill.fault.recover.iter().filter_map(recovered)).collect();
    steps.sort_by_key(|s| s.began_us);
    Drawing {
        from_us,
        to_us,
        t0_us: f.t0_us(),
        phases: f.stages.iter().zip(ends).map(|((s, at), end)| (s.to_string(), *at, end.max(*at))).collect(),
        lanes: f.services.iter().map(watched).collect(),
        steps,
        ..Drawing::default()
    }
}
