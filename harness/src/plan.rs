//! A scenario compiled: a timetable of acts, with every mistake found before anything is touched.
//!
//! [`Plan::compile`] is pure. It resolves node names, names every step, resolves objectives (a service's own, then
//! the scenario's, then the tier's) and refuses what could never be judged: a drill without objectives, an RPO
//! without load, a step that waits for itself.

mod check;
mod down;
mod needs;
mod nodes;
mod objectives;
mod setup;
mod stack;
mod timetable;
mod weight;

use serde::{Deserialize, Serialize};

use crate::{
    act::{Act, EngineChoice},
    corpus::Corpus,
    diagnose::Problem,
    ports::Routes,
    scenario::{Priority, Probe, Scenario},
    time::Dur,
    topology::{NodeId, Role, Topology},
};

pub use needs::Needs;
pub use nodes::NodeRefs;
pub use objectives::{Resolved, SETTLE_LIMIT};

/// A copy that follows another one may lag behind it by this much, and must agree with it this long after the load has
/// stopped.
pub const CONVERGE_LIMIT: Dur = Dur::from_secs(15);

/// Why something is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// The harness's own preparation.
    Setup,
    /// A fault.
    Fault,
    /// A recovery step.
    Recovery,
}

/// A scenario, ready to be played.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// As it was written.
    pub scenario: Scenario,
    /// The nodes.
    pub topology: Topology,
    /// Faults and recovery steps, in the scenario's order, faults first.
    pub cues: Vec<Cue>,
    /// Services with their objectives.
    pub services: Vec<ServicePlan>,
    /// The objectives of the drill as a whole.
    pub objectives: Resolved,
}

/// One step of the timetable.
#[derive(Clone, PartialEq, Debug)]
pub struct Cue {
    /// Unique: the scenario's name for it, or one made from its kind and number.
    pub name: String,
    /// Fault or recovery.
    pub kind: StepKind,
    /// When it is due.
    pub trigger: Trigger,
    /// Not before the step of this name has ended; what was bad before does not count as detection.
    pub gate: Option<String>,
    /// Urgency among recovery steps.
    pub priority: Priority,
    /// What it does.
    pub acts: Vec<Act>,
    /// What undoes it.
    pub undo: Vec<Act>,
    /// After this long the undo is played: the fault is lifted.
    pub hold: Option<Dur>,
    /// The step is given up after this long.
    pub limit: Dur,
}

/// When a step is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// So long after the start of the storm.
    At(Dur),
    /// Once a service that uses one of these roles is detected as down.
    Detected(Vec<Role>),
    /// Once the step of this name has ended.
    After(String),
}

/// One service with its objectives resolved.
#[derive(Clone, PartialEq, Debug)]
pub struct ServicePlan {
    /// Its name.
    pub name: String,
    /// How much the business cares.
    pub priority: Priority,
    /// The roles that it needs.
    pub uses: Vec<Role>,
    /// The question asked on its behalf.
    pub probe: Probe,
    /// What must hold for it.
    pub objectives: Resolved,
}

impl Plan {
    /// The first step that asks for this engine to build an index.
    pub fn asks_for(&self, wanted: EngineChoice) -> Option<&str> {
        let asks = |act: &Act| matches!(act, Act::Rebuild { engine, .. } if *engine == wanted);
        self.cues.iter().find(|cue| cue.acts.iter().any(asks)).map(|cue| cue.name.as_str())
    }

    /// Compiles a scenario.
    ///
    /// # Errors
    /// Every mistake of the scenario, each with the path of the value that is wrong.
    pub fn compile(scenario: &Scenario) -> Result<Plan, Vec<Problem>> {
        let mut problems = Vec::new();
        check::scenario(scenario, &mut problems);
        stack::check(scenario, &mut problems);
        let stack = &scenario.stack;
        let topology = Topology::new(&stack.regions, &stack.roles, stack.workers);
        let cues = compile_cues(scenario, &topology, &mut problems);
        timetable::order(scenario, &cues, &mut problems);
        if problems.is_empty() {
            down::check(scenario, &cues, &mut problems);
        }
        let objectives = objectives::resolve(None, &scenario.objectives);
        let services = scenario
            .service
            .iter()
            .map(|s| ServicePlan {
                name: s.name.clone(),
                priority: s.priority,
                uses: s.uses.clone(),
                probe: s.probe.clone(),
                objectives: objectives::resolve(Some(&s.objectives), &scenario.objectives),
            })
            .collect();
        if problems.is_empty() {
            Ok(Plan { scenario: scenario.clone(), topology, cues, services, objectives })
        } else {
            problems.sort_by(|a, b| a.path.cmp(&b.path));
            problems.dedup();
            Err(problems)
        }
    }

    /// The most neighbours that a query of the frozen set or a probe asks for.
    pub fn most_neighbours(&self) -> usize {
        let probes = self.services.iter().filter_map(|s| s.probe.search.as_ref()).map(|s| s.k as usize);
        probes.max().unwrap_or(0).max(self.scenario.data.vectors.k as usize)
    }

    /// The stores whose every record is accounted for, with the number of records that they are filled with. The
    /// store of the workers is that of their job's checkpoints.
    pub fn stores(&self) -> Vec<(Role, u64)> {
        let corpus = Corpus::of(&self.scenario);
        let stores = self.roles().into_iter().map(|r| (r, corpus.count(r)));
        stores.filter(|(r, n)| *n > 0 || self.scenario.load.of(*r).is_some()).collect()
    }

    /// Which region's copies of the stores users read, by the routes at that moment, in launch order: every region to
    /// which a service that uses the store is sent. A store that no service uses, and the job of the workers, which
    /// has one home, are read at the router's home.
    pub fn copies(&self, routes: &Routes) -> Vec<(Role, String)> {
        let stores = self.stores();
        let users = |role: Role| {
            self.services
                .iter()
                .filter(move |s| s.uses.contains(&role))
                .filter_map(|s| routes.services.get(&s.name))
        };
        let read = |role: Role, region: &String| match role != Role::Gpu && users(role).next().is_some() {
            true => users(role).any(|r| r == region),
            false => routes.homes.get(&role) == Some(region),
        };
        let mut copies: Vec<(Role, String)> = Vec::new();
        for node in &self.topology.nodes {
            let copy = (node.role, node.region.clone());
            let stored = stores.iter().any(|(role, _)| *role == node.role);
            if stored && read(node.role, &node.region) && !copies.contains(&copy) {
                copies.push(copy);
            }
        }
        copies
    }

    /// The nodes that are restarted to prove that what these copies hold is stored, in launch order. Workers keep nothing;
    /// the store of their checkpoints is the object store beside them.
    pub fn restarted(&self, copies: &[(Role, String)]) -> Vec<NodeId> {
        let keeps = |copy: &(Role, String), n: &NodeId| {
            let role = if copy.0 == Role::Gpu { Role::Object } else { copy.0 };
            n.region == copy.1 && n.role == role
        };
        self.topology.nodes.iter().filter(|n| copies.iter().any(|c| keeps(c, n))).cloned().collect()
    }

    /// The shortest RTO of the services that use a role.
    pub fn rto_of(&self, role: Role) -> Option<Dur> {
        self.services.iter().filter(|s| s.uses.contains(&role)).filter_map(|s| s.objectives.rto).min()
    }

    /// The strictest RPO of anybody who uses a role.
    pub fn rpo_of(&self, role: Role) -> Option<Dur> {
        let users = self.services.iter().filter(|s| s.uses.contains(&role));
        users.filter_map(|s| s.objectives.rpo).chain(self.objectives.rpo).min()
    }

    /// The stores whose writes are judged as questions: those with load that a service with an RTO uses.
    pub fn judged_writes(&self) -> Vec<Role> {
        let stores = self.stores().into_iter().map(|(role, _)| role);
        let load = &self.scenario.load;
        stores.filter(|r| load.of(*r).is_some() && self.rto_of(*r).is_some()).collect()
    }

    /// The longest that recovery is waited for after the last fault, in microseconds: until every RTO has surely been
    /// missed, and a stable window that began in time has been seen to its end.
    pub fn patience_us(&self) -> u64 {
        let services = self
            .services
            .iter()
            .map(|s| s.objectives.rto_us() + s.objectives.stable_for.us() + s.probe.timeout.us());
        let stable_us = |role| self.writes_stable_for(role).map_or(0, Dur::us);
        let rto_us = |role| self.rto_of(role).map_or(0, Dur::us);
        let writes = self.judged_writes();
        let writes = writes.into_iter().map(|r| rto_us(r) + stable_us(r) + self.write_timeout(r).us());
        services.chain(writes).max().unwrap_or(0)
    }

    /// How long answers may be waited for once load and probes have stopped, in microseconds.
    pub fn drain_us(&self) -> u64 {
        let probes = self.services.iter().map(|s| s.probe.timeout.us() + s.probe.every.us());
        let writes = self.stores().into_iter().map(|(role, _)| {
            let period = self.scenario.load.of(role).map_or(0, |r| r.period().as_micros());
            self.write_timeout(role).us() + u64::try_from(period).unwrap_or(u64::MAX)
        });
        probes.chain(writes).max().unwrap_or(0)
    }

    /// How long writes to a store must stay good: as long as the most patient of the services that use it asks for.
    pub fn writes_stable_for(&self, role: Role) -> Option<Dur> {
        let users = self.services.iter().filter(|s| s.uses.contains(&role) && s.objectives.rto.is_some());
        users.map(|s| s.objectives.stable_for).max()
    }

    /// A write without an answer after this long is of unknown outcome, and bad. Shorter than the RTO of whoever uses the
    /// store: what may wait for longer would never be seen to be gone.
    pub fn write_timeout(&self, role: Role) -> Dur {
        let half = self.rto_of(role).map(|rto| Dur::from_millis((rto.us() / 2000).max(1)));
        half.map_or(WRITE_LIMIT, |half| half.min(WRITE_LIMIT))
    }

    /// The roles present, each once, in launch order.
    pub fn roles(&self) -> Vec<Role> {
        let mut roles: Vec<Role> = self.topology.nodes.iter().map(|n| n.role).collect();
        roles.dedup();
        roles
    }

    /// The longest that the storm can last: until every step with a fixed time has struck, and then until every
    /// RTO limit has passed and a stable window after it could have been seen.
    pub fn storm_limit(&self) -> Dur {
        let fixed = |cue: &Cue| match cue.trigger {
            Trigger::At(at) => at.us() + cue.hold.map_or(0, Dur::us),
            _ => 0,
        };
        let last_us = self.cues.iter().map(fixed).max().unwrap_or(0);
        let patience_us = self.patience_us();
        // One second more, so that a limit that is just met is seen to be met.
        Dur::from_millis((last_us + patience_us) / 1000 + 1000)
    }
}

fn compile_cues(scenario: &Scenario, topology: &Topology, problems: &mut Vec<Problem>) -> Vec<Cue> {
    let mut cues = Vec::new();
    for (i, step) in scenario.fault.iter().enumerate() {
        let path = format!("fault.{i}");
        let mut nodes = NodeRefs::new(topology, scenario, format!("{path}.inject"), problems);
        let seed = scenario.seed.wrapping_add(i as u64);
        let Some(script) = step.inject.script(&mut nodes, seed) else { continue };
        let name = step.name.clone().unwrap_or_else(|| format!("fault-{i}-{}", step.inject.word()));
        let Some(trigger) = timetable::fault_trigger(&path, step, problems) else { continue };
        cues.push(Cue {
            name,
            kind: StepKind::Fault,
            trigger,
            gate: None,
            priority: Priority::Critical,
            acts: script.inject,
            undo: script.undo,
            hold: step.hold,
            limit: FAULT_LIMIT,
        });
    }
    for (i, step) in scenario.recover.iter().enumerate() {
        let path = format!("recover.{i}");
        let mut nodes = NodeRefs::new(topology, scenario, format!("{path}.act"), problems);
        let Some(acts) = step.act.acts(&mut nodes) else { continue };
        let name = step.name.clone().unwrap_or_else(|| format!("recover-{i}-{}", step.act.word()));
        let mut uses: Vec<Role> = acts.iter().filter_map(Act::node).map(|n| n.role).collect();
        uses.sort_unstable();
        uses.dedup();
        if uses.is_empty() {
            uses.clone_from(&scenario.stack.roles);
        }
        let Some(trigger) = timetable::recover_trigger(&path, step, uses, problems) else { continue };
        cues.push(Cue {
            name,
            kind: StepKind::Recovery,
            trigger,
            gate: step.after.clone().filter(|_| step.when.is_some()),
            priority: step.priority,
            acts,
            undo: Vec::new(),
            hold: None,
            limit: step.limit,
        });
    }
    cues
}

/// A write waits no longer than this for its answer.
const WRITE_LIMIT: Dur = Dur::from_secs(2);

/// A fault must strike within this long, or it did not take effect.
pub const FAULT_LIMIT: Dur = Dur::from_secs(60);
