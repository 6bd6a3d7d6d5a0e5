//! What a reader gets: the conclusions of one drill and the facts behind them, as plain data.
//!
//! Every report format is a pure function of this. A report made from an old journal equals the one made by the run.

mod builds;
pub mod cited;
pub mod drawing;
mod played;
pub mod skipped;
mod timeline;
mod weight;

use std::{collections::BTreeMap, io::BufRead};

use serde::{Deserialize, Serialize};

use crate::{
    facts::{CopyFacts, Facts, ServiceFacts, StepFacts, StoreFacts},
    journal::JournalError,
    judge::{self, Finding, recall},
    ledger::Latency,
    plan::{Plan, ServicePlan, StepKind},
    ports::CountsAs,
    scenario::{Priority, WorldName},
    topology::Role,
    verdict::Verdict,
};

pub use builds::Build;
pub use played::Played;
pub use timeline::{Moment, MomentKind};

/// One drill, judged.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The worst of the findings.
    pub verdict: Verdict,
    /// The scenario's name.
    pub scenario: String,
    /// Its title, or its name.
    pub title: String,
    /// Where it ran.
    pub world: WorldName,
    /// What the verdict counts as.
    pub counts_as: CountsAs,
    /// All chance came from here.
    pub seed: u64,
    /// The run's name.
    pub run: String,
    /// The wall clock at the start.
    pub started: String,
    /// From start to end, in microseconds.
    pub took_us: u64,
    /// A defect planted on purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flaw: Option<String>,
    /// What was set on the command line.
    pub overrides: Vec<String>,
    /// The version of gameday that ran it.
    pub gameday: String,
    /// The machine, in words.
    pub machine: String,
    /// SHA-256 of the scenario file.
    pub scenario_sha256: String,
    /// What had to hold, for the drill and for each service.
    pub objectives: Vec<ObjectiveReport>,
    /// How long each service was unavailable.
    pub services: Vec<ServiceReport>,
    /// What became of every acknowledged record, for each store.
    pub ledger: Vec<StoreReport>,
    /// Recall before and after.
    pub quality: Option<QualityReport>,
    /// What a restore drill restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<crate::own::RestoreReport>,
    /// What a fault drill on somebody's own stack was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<crate::own::fault::FaultReport>,
    /// Indexes that recovery built, and by what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub builds: Vec<Build>,
    /// The conclusions.
    pub findings: Vec<Finding>,
    /// Why a pass would prove little.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proves_little: Vec<String>,
    /// Nodes that were still down, or frozen, when the storm ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub still_down: Vec<String>,
    /// What happened, in order.
    pub timeline: Vec<Moment>,
    /// Notes of the drill.
    pub notes: Vec<String>,
    /// Events in the journal.
    pub events: u64,
    /// What charts draw, and the lines that prove it; no part of `result.json`.
    #[serde(skip)]
    pub drawing: drawing::Drawing,
}

/// Objectives of one subject.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ObjectiveReport {
    /// A service's name.
    pub service: String,
    /// How much the business cares.
    pub priority: Priority,
    /// RTO limit, in microseconds.
    pub rto_us: Option<u64>,
    /// RPO limit, in microseconds.
    pub rpo_us: Option<u64>,
    /// Share of quality.
    pub quality: Option<f64>,
    /// 99 % of good answers within this, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_p99_us: Option<u64>,
    /// Share of good answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<f64>,
    /// How long a service must stay good, in microseconds.
    pub stable_for_us: u64,
}

/// One service. All spans are microseconds since t0.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ServiceReport {
    /// Its name.
    pub service: String,
    /// How much the business cares.
    pub priority: Priority,
    /// No probe failed.
    pub absorbed: bool,
    /// Until the first bad probe was due (t1).
    pub impact_us: Option<u64>,
    /// Until it was detected (t2).
    pub detected_us: Option<u64>,
    /// Until recovery started (t3).
    pub recovery_started_us: Option<u64>,
    /// Until the first good answer (t4).
    pub first_good_us: Option<u64>,
    /// Until the last bad probe before the stable window: the early end of the truth.
    pub rto_early_us: Option<u64>,
    /// Until the stable window (t5): RTO actual, the late end.
    pub rto_us: Option<u64>,
    /// Until data and quality were verified (t6).
    pub verified_us: Option<u64>,
    /// Recovery came with the end of the fault's own `for`.
    pub lifted: bool,
    /// Recovery was not started by detection.
    pub detection_bypassed: bool,
    /// Time between probes.
    pub probe_period_us: u64,
    /// Probes after t0.
    pub probes: u64,
    /// Bad ones among them.
    pub bad: u64,
    /// The share of good answers over the storm.
    pub availability: Option<f64>,
    /// 99 % of good answers over the storm came within this, from the time they were due.
    pub latency_p99_us: Option<u64>,
    /// Why the first bad one was bad.
    pub why: Option<String>,
    /// Records that were shown as they were before an acknowledged write, in all answers.
    #[serde(default)]
    pub older: u64,
    /// How late the harness was with a probe, at worst.
    pub harness_lag_us: u64,
    /// The longest span after t0 in which nothing was asked: what is shorter may have gone unseen.
    #[serde(default)]
    pub resolution_us: u64,
    /// The same outage on each fault's own clock: until t5, by the fault's name.
    pub per_fault_us: BTreeMap<String, u64>,
}

/// One store.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StoreReport {
    /// Which.
    pub store: Role,
    /// Whose copy: that of a region to which users were routed. Empty if it was never read back.
    #[serde(default)]
    pub region: String,
    /// For how long after the first fault it took no writes, until it did for good, in microseconds; 0 if none failed, absent
    /// if it never did again or if no service with an RTO uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_writes_us: Option<u64>,
    /// Writes of the load that were acknowledged.
    pub writes_ok: u64,
    /// Writes that surely did not happen.
    pub writes_failed: u64,
    /// Writes of unknown outcome.
    pub writes_unknown: u64,
    /// How long acknowledged writes took, from the time they were due.
    pub latency: Option<Latency>,
    /// Whether everything was read back before any undo.
    pub read_back: bool,
    /// Records whose last state was acknowledged.
    pub acked: u64,
    /// Of these, read back as they should be.
    pub intact: u64,
    /// Of these, gone or older.
    pub lost: u64,
    /// Of these, damaged.
    pub corrupt: u64,
    /// Writes of unknown outcome that turned out to have happened.
    pub recovered: u64,
    /// Records that were refused, or that nobody wrote.
    pub unexpected: u64,
    /// Records stored twice.
    pub duplicate: u64,
    /// RPO actual, in microseconds.
    pub rpo_us: Option<u64>,
    /// Newer records survived while older ones were lost: the span understates the harm.
    pub scattered_loss: bool,
    /// Records that read differently after the undo, by count: lost then, or found again.
    pub diverged_after_undo: Option<u64>,
}

/// Recall.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct QualityReport {
    /// Neighbours of each query.
    pub k: u32,
    /// Queries.
    pub queries: usize,
    /// Recall before, twice.
    pub before: [f64; 2],
    /// Recall after, against everything acknowledged.
    pub after: Option<f64>,
    /// Recall after, against what is stored.
    pub after_stored: Option<f64>,
    /// End to end: ratio, and its lower 95 % bound.
    pub ratio: Option<(f64, f64)>,
    /// Index only: ratio, and its lower 95 % bound.
    pub ratio_stored: Option<(f64, f64)>,
}

impl Report {
    /// SHA-256 of the file of the stack that gameday did not launch.
    pub fn stack_sha256(&self) -> Option<&String> {
        let fault = self.fault.as_ref().map(|f| &f.stack_sha256);
        fault.or(self.restore.as_ref().map(|r| &r.stack_sha256))
    }

    /// The name of a store's copy: the store's, and the region's where users of several regions read it.
    pub fn name_of(&self, store: &StoreReport) -> String {
        match self.ledger.iter().filter(|s| s.store == store.store).count() {
            0 | 1 => store.store.word().to_owned(),
            _ => format!("{} in {}", store.store, store.region),
        }
    }

    /// Reads a journal and judges it.
    ///
    /// # Errors
    /// If the journal cannot be read, was altered, or holds no drill.
    pub fn read(journal: impl BufRead) -> Result<Report, JournalError> {
        Ok(Played::read(journal)?.report())
    }

    /// Judges facts.
    pub fn of(facts: &Facts) -> Report {
        let findings = judge::findings(facts);
        let (began, scenario) = (&facts.began, &facts.began.scenario);
        let services = facts.plan.services.iter().zip(&facts.services);
        Report {
            verdict: Verdict::worst(findings.iter().map(|f| f.verdict)),
            scenario: scenario.name.clone(),
            title: scenario.title.clone().unwrap_or_else(|| scenario.name.clone()),
            world: began.world,
            counts_as: began.counts_as,
            seed: scenario.seed,
            run: began.run.clone(),
            started: began.started.clone(),
            took_us: facts.end_us,
            flaw: began.flaw.clone(),
            overrides: began.overrides.clone(),
            gameday: began.gameday.clone(),
            machine: began.machine.clone(),
            scenario_sha256: began.scenario_sha256.clone(),
            objectives: objectives(&facts.plan),
            services: services.map(|(plan, s)| service(facts, plan, s)).collect(),
            ledger: facts.stores.iter().flat_map(|s| stores(facts, s)).collect(),
            quality: quality(facts),
            restore: None,
            fault: None,
            builds: builds::builds(facts),
            findings,
            proves_little: weight::proves_little(facts),
            still_down: weight::still_down(facts),
            timeline: timeline::timeline(facts),
            notes: facts.notes.iter().cloned().chain(uncompared(facts)).collect(),
            events: facts.events,
            drawing: drawing::drawing(facts),
        }
    }
}

/// What was not looked at, in a world where it cannot be.
fn uncompared(facts: &Facts) -> Option<String> {
    let why = "nothing but records was compared: sim has no roles, views, buckets or kinds of index";
    (!facts.has_inventory()).then(|| why.to_owned())
}

/// What has to hold for each service, before anything was measured.
pub fn objectives(plan: &Plan) -> Vec<ObjectiveReport> {
    plan.services.iter().map(objective).collect()
}

fn objective(plan: &ServicePlan) -> ObjectiveReport {
    let o = &plan.objectives;
    ObjectiveReport {
        service: plan.name.clone(),
        priority: plan.priority,
        rto_us: o.rto.map(|d| d.us()),
        rpo_us: o.rpo.map(|d| d.us()),
        quality: o.quality,
        latency_p99_us: o.latency_p99.map(|d| d.us()),
        availability: o.availability,
        stable_for_us: o.stable_for.us(),
    }
}

fn service(facts: &Facts, plan: &ServicePlan, s: &ServiceFacts) -> ServiceReport {
    let t0_us = facts.t0_us().unwrap_or(0);
    let since = |at: u64| at.saturating_sub(t0_us);
    let outage = s.outage.as_ref();
    let window = outage.and_then(|o| o.recovered);
    let hurt = outage.is_some_and(|o| o.bad > 0);
    let per_fault = window.map(|w| {
        let clock = |f: &StepFacts| {
            (f.name.clone(), w.late_us.saturating_sub(f.acts.first().map_or(f.began_us, |a| a.began_us)))
        };
        facts.faults().map(clock).collect()
    });
    let had = judge::had(facts, s);
    let bypassed = |c: &crate::plan::Cue| {
        c.kind == StepKind::Recovery && matches!(c.trigger, crate::plan::Trigger::At(_))
    };
    ServiceReport {
        service: s.name.clone(),
        priority: plan.priority,
        absorbed: outage.is_some_and(|o| o.bad == 0 && o.asked > 0),
        impact_us: outage.and_then(|o| o.t1_us).map(since),
        detected_us: s.detected_us.map(since),
        recovery_started_us: facts.t3_us().filter(|_| hurt).map(since),
        first_good_us: outage.and_then(|o| o.t4_us).map(since),
        rto_early_us: window.map(|w| since(w.early_us)),
        rto_us: window.map(|w| since(w.late_us)),
        verified_us: facts.t6_us().filter(|_| window.is_some()).map(since),
        lifted: window.is_some_and(|w| facts.faults().filter_map(|f| f.lifted_us).any(|at| at <= w.late_us)),
        detection_bypassed: facts.plan.cues.iter().any(bypassed),
        probe_period_us: plan.probe.every.us(),
        probes: outage.map_or(0, |o| o.asked),
        bad: outage.map_or(0, |o| o.bad),
        availability: had.and_then(|h| h.availability()),
        latency_p99_us: had.and_then(|h| h.p99_us),
        why: s.why.clone(),
        older: s.older,
        harness_lag_us: outage.map_or(0, |o| o.lag_us),
        resolution_us: outage.map_or(0, |o| o.resolution_us),
        per_fault_us: per_fault.unwrap_or_default(),
    }
}

/// One for each copy that users were routed to.
fn stores(facts: &Facts, s: &StoreFacts) -> Vec<StoreReport> {
    let none = CopyFacts::default();
    let unread = s.copies.is_empty().then_some(&none);
    s.copies.iter().chain(unread).map(|copy| store(facts, s, copy)).collect()
}

fn store(facts: &Facts, s: &StoreFacts, copy: &CopyFacts) -> StoreReport {
    let [writes_ok, writes_failed, writes_unknown] = s.ledger.outcomes();
    let none = crate::ledger::Account::default();
    let first = copy.users.account.as_ref();
    let account = first.unwrap_or(&none);
    let diverged = first.zip(copy.undone.account.as_ref());
    let diverged = diverged.map(|(a, b)| a.harm().symmetric_difference(&b.harm()).count() as u64);
    let writes = s.outage.as_ref();
    let since = |at: u64| at.saturating_sub(facts.t0_us().unwrap_or(0));
    StoreReport {
        store: s.store,
        region: copy.region.clone(),
        no_writes_us: writes.and_then(|o| match o.bad {
            0 if o.asked > 0 => Some(0),
            _ => o.recovered.map(|w| since(w.late_us)),
        }),
        writes_ok,
        writes_failed,
        writes_unknown,
        latency: s.ledger.latency(),
        read_back: first.is_some(),
        acked: account.acked,
        intact: account.intact,
        lost: account.lost.len() as u64,
        corrupt: account.corrupt.len() as u64,
        recovered: account.recovered.len() as u64,
        unexpected: account.unexpected.len() as u64,
        duplicate: account.duplicate.len() as u64,
        rpo_us: first.zip(facts.last_t0_us()).map(|(a, t0)| judge::rpo_actual_us(a, t0)),
        scattered_loss: account.scattered,
        diverged_after_undo: diverged,
    }
}

fn quality(facts: &Facts) -> Option<QualityReport> {
    let (first, second) = (&facts.quality.get(&1)?.1, &facts.quality.get(&2)?.1);
    let after = facts.quality.get(&3).map(|(_, q)| q);
    let ratios = judge::quality_ratios(facts);
    Some(QualityReport {
        k: first.k,
        queries: first.hits.len(),
        before: [recall(&first.hits, first.k), recall(&second.hits, second.k)],
        after: after.map(|q| recall(&q.hits, q.k)),
        after_stored: after.map(|q| recall(&q.hits_stored, q.k)),
        ratio: ratios.map(|r| (r.0.point, r.0.lower)),
        ratio_stored: ratios.map(|r| (r.1.point, r.1.lower)),
    })
}
