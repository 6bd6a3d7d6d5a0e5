//! A restore drill as a report: the same [`Report`] that every drill ends in, with what only a restore has beside it.

use serde::{Deserialize, Serialize};

use super::{
    event::{Pass, Place, Sum, Task},
    facts::Facts,
    judge,
    load::Drill,
    restore::Restore,
    stack::Product,
};
use crate::{
    ports::CountsAs,
    report::{
        Moment, MomentKind, ObjectiveReport, Report,
        drawing::{Drawing, Step},
    },
    scenario::WorldName,
    verdict::Verdict,
};

/// What was restored, and what came back.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RestoreReport {
    /// The stack's name.
    pub stack: String,
    /// SHA-256 of its file.
    pub stack_sha256: String,
    /// The component whose backup was restored.
    pub source: String,
    /// What it is.
    pub product: String,
    /// Nothing was run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearsed: bool,
    /// What the source said of itself.
    pub source_is: Vec<(String, String)>,
    /// What the scratch place said of itself after the restore.
    pub scratch_is: Vec<(String, String)>,
    /// How long the command took, in microseconds.
    pub command_us: Option<u64>,
    /// From its start until every check of the data had passed, in microseconds: RTO actual.
    pub rto_us: Option<u64>,
    /// How old the data was that came back, at least and at most, in microseconds: RPO actual.
    pub age_us: Option<(u64, u64)>,
    /// Canaries planted before the drill.
    pub canaries: u64,
    /// Of these, those that came back unchanged.
    pub canaries_back: u64,
    /// Of these, gone although a newer one came back, or changed; and those that nobody planted.
    pub canaries_harmed: u64,
    /// What had to come back.
    pub witnesses: Vec<WitnessReport>,
}

/// One witness: lines of each reading; absent where it was not read.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WitnessReport {
    /// Its name.
    pub witness: String,
    /// In the source before.
    pub before: Option<u64>,
    /// After the restore.
    pub restored: Option<u64>,
    /// Of those before, in groups of lines that came back the same.
    pub same: Option<u64>,
    /// After the restart.
    pub restarted: Option<u64>,
    /// In the source after.
    pub after: Option<u64>,
    /// Golden queries, where it is searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<AnswersReport>,
}

/// Golden queries of a witness.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AnswersReport {
    /// How many were asked; absent if none could be.
    pub asked: Option<u64>,
    /// The share of the source's answers that has to come back.
    pub least: f64,
    /// The share that what was restored gave; absent if it gave none.
    pub restored: Option<f64>,
    /// The same after the restart.
    pub restarted: Option<f64>,
}

impl RestoreReport {
    /// The share of what had to come back that did, as far as it was read: lines of all witnesses.
    pub fn share_back(&self) -> Option<f64> {
        let (mut all, mut same) = (0u64, 0u64);
        for w in &self.witnesses {
            (all, same) = (all + w.before?, same + w.same.unwrap_or(0));
        }
        (all > 0).then(|| same as f64 / all as f64)
    }
}

/// What has to hold, before anything was measured.
pub fn objectives(restore: &Restore) -> Vec<ObjectiveReport> {
    vec![ObjectiveReport {
        service: restore.source.clone(),
        priority: restore.priority,
        rto_us: Some(restore.objectives.rto.us()),
        rpo_us: restore.objectives.rpo.map(|d| d.us()),
        quality: None,
        latency_p99_us: None,
        availability: None,
        stable_for_us: 0,
    }]
}

impl Report {
    /// Judges a restore drill.
    pub fn of_restore(f: &Facts) -> Report {
        let findings = judge::findings(f);
        let began = &f.began;
        let mut notes = f.notes.clone();
        let rpo = began.drill.objectives.rpo;
        for (id, w) in f.drill.witnesses() {
            if let Some(rpo) = rpo.filter(|_| w.bounded()) {
                notes.push(format!(
                    "witness {id}: what is younger than the RPO ({rpo} before the drill began) was not compared; nothing is \
                     said of it"
                ));
            }
        }
        if began.rehearsed {
            notes.push("a rehearsal: nothing was restored, and nothing is proved".into());
        }
        let worst = Verdict::worst(findings.iter().map(|f| f.verdict));
        Report {
            // Nothing was restored: that all could be is no pass.
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
            objectives: objectives(&began.drill),
            services: Vec::new(),
            ledger: Vec::new(),
            quality: None,
            restore: Some(restore(f)),
            fault: None,
            builds: Vec::new(),
            findings,
            proves_little: proves_little(&f.drill),
            still_down: Vec::new(),
            timeline: timeline(f),
            notes,
            events: f.events,
            drawing: drawing(f),
        }
    }
}

/// Why a pass would prove little.
fn proves_little(drill: &Drill) -> Vec<String> {
    let mut all = Vec::new();
    if drill.restore.objectives.rpo.is_none() {
        all.push("no RPO was asked for: a backup of any age would do".into());
    }
    if !drill.restore.objectives.durable {
        all.push("what was restored was not restarted: add `durable = true`".into());
    }
    let counts = |sql: &String| sql.to_ascii_lowercase().replace(' ', "").contains("count(");
    for (id, _) in drill.witnesses().filter(|(_, w)| w.sql.as_ref().is_some_and(counts)) {
        all.push(format!("witness `{id}` counts rows: it does not see what stands in them"));
    }
    if drill.restore.scratch.started_by_restore {
        all.push(
            "nobody answered at the scratch place before: that it was empty is the clean-up's word".into(),
        );
    }
    if drill.source().product == Product::Command {
        all.push("what was read came through commands of the user's own, and is as true as they are".into());
    }
    all
}

fn restore(f: &Facts) -> RestoreReport {
    let identity = |place, after| {
        let facts = f.identity(place, after).map(|i| i.is.facts.clone()).unwrap_or_default();
        facts.into_iter().collect()
    };
    let ran = f.ran.get(&Task::Restore);
    let count = judge::count(f, Pass::Restored).unwrap_or_default();
    let witness = |id: String| {
        let sum = |pass: Pass| -> Option<&Sum> { f.sum(pass, &id)?.is.sum.as_ref() };
        let rows = |pass| sum(pass).map(|s| s.rows);
        let same = sum(Pass::Before).zip(sum(Pass::Restored)).map(|(was, is)| was.same_rows(is));
        let (before, restored) = (rows(Pass::Before), rows(Pass::Restored));
        let (restarted, after) = (rows(Pass::Restarted), rows(Pass::After));
        let share = |pass| match judge::answered(f, &id, pass).0 {
            judge::Compared::Share(share, asked) => Some((share, asked)),
            _ => None,
        };
        let answers = judge::least(f, &id).map(|least| AnswersReport {
            asked: share(Pass::Restored).map(|(_, asked)| asked),
            least,
            restored: share(Pass::Restored).map(|(share, _)| share),
            restarted: share(Pass::Restarted).map(|(share, _)| share),
        });
        WitnessReport { before, restored, same, restarted, after, answers, witness: id }
    };
    RestoreReport {
        stack: f.began.stack.name.clone(),
        stack_sha256: f.began.stack_sha256.clone(),
        source: f.began.drill.source.clone(),
        product: f.drill.source().product.word().into(),
        rehearsed: f.began.rehearsed,
        source_is: identity(Place::Source, false),
        scratch_is: identity(Place::Scratch, true),
        command_us: ran.map(|r| r.at_us.saturating_sub(r.is.began_us)),
        rto_us: judge::verified_us(f).zip(f.restore_began_us()).map(|(at, began)| at.saturating_sub(began)),
        age_us: count.age_us,
        canaries: count.planted,
        canaries_back: count.back,
        canaries_harmed: count.lost + count.corrupt + count.strange,
        witnesses: f.witnesses().into_iter().map(witness).collect(),
    }
}

fn timeline(f: &Facts) -> Vec<Moment> {
    let moment = |at_us, kind, what: String, seen: String| Moment { at_us, kind, what, seen };
    let stage = |(stage, at): &(_, u64)| moment(*at, MomentKind::Phase, format!("{stage}"), String::new());
    let mut all: Vec<Moment> = f.stages.iter().map(stage).collect();
    for ran in f.ran.values() {
        let kind = if ran.is.what == Task::Restore { MomentKind::Recovery } else { MomentKind::Undo };
        all.push(moment(ran.is.began_us, kind, format!("{} begins", ran.is.what), String::new()));
        all.push(moment(ran.at_us, kind, format!("{} has ended", ran.is.what), ran.is.how.clone()));
    }
    let verified = judge::verified_us(f);
    all.extend(verified.map(|at| {
        moment(at, MomentKind::Recovered, "every check of the data has passed".into(), String::new())
    }));
    all.sort_by_key(|m| (m.at_us, m.kind));
    all
}

fn drawing(f: &Facts) -> Drawing {
    let ends = f.stages.iter().skip(1).map(|(_, at)| *at).chain([f.end_us]);
    let steps = f.ran.values().map(|ran| Step {
        name: ran.is.what.to_string(),
        fault: false,
        began_us: ran.is.began_us,
        ended_us: Some(ran.at_us),
        until_us: None,
        observed: ran.is.code == Some(0),
        acts: vec![(ran.is.what.to_string(), ran.is.how.clone())],
        evidence: vec![ran.seq],
    });
    Drawing {
        to_us: f.end_us.max(1),
        t0_us: f.restore_began_us(),
        phases: f.stages.iter().zip(ends).map(|((s, at), end)| (s.to_string(), *at, end.max(*at))).collect(),
        steps: steps.collect(),
        ..Drawing::default()
    }
}
