//! Random scenarios over the whole vocabulary: every pattern, every role, every fault, every recovery step.

use harness::{
    act::{Artifact, CutMode, Damage, Direction, EngineChoice, LossKind, RestoreScope},
    plan::Plan,
    scenario::{Fault, FaultStep, Pattern, Priority, RecoverStep, Remedy, Replication, Scenario, When},
    time::Dur,
};
use proptest::{prelude::*, sample::select};

const BASE: &str = r#"
name = "random"
[stack]
regions = ["east"]
roles = ["vector", "object", "feature", "gpu"]
[data]
vectors = { count = 200, dim = 4, queries = 200 }
objects = { count = 20, size = 64 }
features = { entities = 30 }
[backup]
full = ["vector", "feature"]
incremental = ["vector"]
every = "500ms"
[load]
vector = "40/s"
object = "10/s"
feature = "20/s"
gpu = "10/s"
[[service]]
name = "rag"
priority = "critical"
uses = ["vector", "object"]
probe = { search = {}, get = {}, every = "50ms", timeout = "300ms" }
[[service]]
name = "recommendation"
uses = ["feature", "gpu"]
probe = { lookup = {}, infer = {}, every = "50ms", timeout = "300ms" }
[[fault]]
at = "1s"
inject = { kill = { node = "east/vector" } }
[objectives]
rto = "4s"
rpo = "0s"
quality = 0.98
stable_for = "500ms"
"#;

/// A small drill of the vector store alone, in one region.
const SMALL: &str = r#"
name = "small"
[stack]
regions = ["east"]
roles = ["vector", "object"]
[data]
vectors = { count = 200, dim = 4, queries = 200 }
objects = { count = 20, size = 64 }
[backup]
full = ["vector"]
[load]
vector = "40/s"
object = "10/s"
[[service]]
name = "rag"
uses = ["vector", "object"]
probe = { search = {}, get = {}, every = "50ms", timeout = "300ms" }
[[fault]]
at = "1s"
inject = { kill = { node = "east/vector" } }
[objectives]
rto = "4s"
rpo = "0s"
quality = 0.98
stable_for = "500ms"
"#;

pub(super) fn small() -> Scenario {
    harness::diagnose::load(SMALL.as_bytes(), &[]).expect("the small drill is valid").scenario
}

fn base(pattern: Pattern, sync: bool) -> Scenario {
    let mut base = harness::diagnose::load(BASE.as_bytes(), &[]).expect("the base is valid").scenario;
    base.stack.pattern = pattern;
    if pattern != Pattern::Single {
        base.stack.regions.push("west".into());
    }
    if pattern == Pattern::HotStandby && sync {
        base.stack.replication = Some(Replication::Sync);
    }
    base
}

fn pattern() -> impl Strategy<Value = Pattern> {
    use Pattern::{ActiveActive, ColdStandby, HotStandby, Single, WarmStandby};
    select(vec![Single, HotStandby, HotStandby, ActiveActive, WarmStandby, ColdStandby])
}

fn region(pattern: Pattern) -> impl Strategy<Value = &'static str> {
    select(if pattern == Pattern::Single { vec!["east"] } else { vec!["east", "east", "west"] })
}

fn of(pattern: Pattern, roles: &[&'static str]) -> impl Strategy<Value = String> {
    (region(pattern), select(roles.to_vec())).prop_map(|(region, role)| format!("{region}/{role}"))
}

fn node(pattern: Pattern) -> impl Strategy<Value = String> {
    of(pattern, &["vector", "object", "feature", "gpu", "gpu/1"])
}

fn damage(pattern: Pattern) -> impl Strategy<Value = Fault> {
    use Artifact::{Backup, Definitions, Index, Log, Manifest, Model, Object, Segment, Values};
    use Damage::{Delete, Flip, Forge, Shift, Swap, Zero};
    let files = [(Index, Flip), (Segment, Zero), (Log, Flip), (Manifest, Delete)].map(|f| ("vector", f));
    let objects = [(Object, Zero), (Object, Delete), (Backup, Flip), (Backup, Delete), (Model, Swap)];
    let features = [(Values, Shift), (Values, Forge), (Values, Swap), (Values, Delete), (Definitions, Shift)];
    let objects = objects.map(|f| ("object", f)).into_iter();
    let all = files.into_iter().chain(objects).chain(features.map(|f| ("feature", f)));
    (region(pattern), select(all.collect::<Vec<_>>()), select(vec![0.01, 0.3, 1.0])).prop_map(
        |(region, (role, (what, how)), fraction)| Fault::Corrupt {
            node: format!("{region}/{role}"),
            what,
            how,
            fraction,
        },
    )
}

fn processes(pattern: Pattern) -> impl Strategy<Value = Fault> {
    prop_oneof![
        node(pattern).prop_map(|node| Fault::Kill { node }),
        node(pattern).prop_map(|node| Fault::Stop { node }),
        node(pattern).prop_map(|node| Fault::Pause { node }),
        node(pattern).prop_map(|node| Fault::Restart { node }),
        (region(pattern), select(vec![LossKind::Kill, LossKind::Partition]))
            .prop_map(|(region, how)| Fault::Region { region: region.into(), how }),
    ]
}

fn links(pattern: Pattern) -> impl Strategy<Value = Fault> {
    let modes = select(vec![CutMode::Refuse, CutMode::Blackhole]);
    let directions = select(vec![Direction::Both, Direction::ToNode, Direction::FromNode]);
    prop_oneof![
        (node(pattern), modes, directions).prop_map(|(to, mode, direction)| Fault::Cut {
            to,
            mode,
            direction
        }),
        (node(pattern), 1u64..500).prop_map(|(to, ms)| Fault::Delay { to, by: Dur::from_millis(ms) }),
    ]
}

/// Faults of processes, links and data, which hit any stack.
fn anywhere(pattern: Pattern) -> impl Strategy<Value = Fault> {
    prop_oneof![
        5 => processes(pattern),
        2 => links(pattern),
        3 => damage(pattern),
        1 => of(pattern, &["vector", "object", "feature"]).prop_map(|node| Fault::Wipe { node }),
        1 => of(pattern, &["feature"]).prop_map(|node| Fault::Intrude { node }),
        1 => of(pattern, &["gpu", "gpu/0"]).prop_map(|node| Fault::Miscompute { node }),
    ]
}

/// Faults between regions, where there are two.
fn between(pattern: Pattern) -> BoxedStrategy<Fault> {
    let split = Just(Fault::Split { regions: ["east".into(), "west".into()] });
    let stall = select(vec!["west/vector", "west/object", "west/feature"]);
    let stall = stall.prop_map(|node| Fault::Stall { node: node.into() });
    match pattern {
        Pattern::Single => anywhere(pattern).boxed(),
        Pattern::HotStandby | Pattern::ActiveActive => prop_oneof![split, stall].boxed(),
        Pattern::WarmStandby | Pattern::ColdStandby => split.boxed(),
    }
}

fn fault(pattern: Pattern) -> impl Strategy<Value = Fault> {
    prop_oneof![5 => anywhere(pattern), 1 => between(pattern)]
}

prop_compose! {
    fn fault_step(i: usize, pattern: Pattern)(
        inject in fault(pattern),
        at in 0u64..3000,
        hold in prop::option::of(100u64..3000),
        after: bool,
    ) -> FaultStep {
        let follows = (after && i > 0).then(|| format!("f{}", i - 1));
        let at = follows.is_none().then_some(Dur::from_millis(at));
        FaultStep { name: Some(format!("f{i}")), at, after: follows, hold: hold.map(Dur::from_millis), inject }
    }
}

fn remedy(pattern: Pattern) -> impl Strategy<Value = Remedy> {
    let scopes = select(vec![RestoreScope::Full, RestoreScope::Minimal]);
    let priorities = prop::option::of(Just(Priority::Critical));
    let region = || region(pattern).prop_map(str::to_owned);
    let store = || of(pattern, &["vector", "object", "feature", "gpu/1"]);
    prop_oneof![
        2 => node(pattern).prop_map(|node| Remedy::Restart { node }),
        2 => (of(pattern, &["vector", "feature"]), scopes, prop::option::of(1u32..3)).prop_map(
            |(node, scope, model)| Remedy::Restore {
                model: model.filter(|_| node.ends_with("feature")),
                node,
                scope,
            }
        ),
        1 => of(pattern, &["vector"])
            .prop_map(|node| Remedy::Rebuild { node, engine: EngineChoice::Auto }),
        4 => (region(), priorities, any::<bool>())
            .prop_map(|(to, priority, fence)| Remedy::Failover { to, priority, fence }),
        1 => store().prop_map(|node| Remedy::Promote { node }),
        1 => store().prop_map(|node| Remedy::Fence { node }),
        2 => store().prop_map(|node| Remedy::Rejoin { node }),
        1 => region().prop_map(|to| Remedy::Route { service: "rag".into(), to }),
        1 => of(pattern, &["feature"]).prop_map(|node| Remedy::Audit { node }),
        1 => Just(Remedy::None {}),
    ]
}

prop_compose! {
    fn recover_step(pattern: Pattern)(
        act in remedy(pattern),
        detected: bool,
        at in 0u64..5000,
        priority in 0..3,
        limit in 1u64..10,
    ) -> RecoverStep {
        use Priority::{BusinessCritical, Critical, Operational};
        let priority = [Critical, BusinessCritical, Operational][priority as usize];
        let (when, at) = if detected { (Some(When::Detected), None) } else { (None, Some(Dur::from_millis(at))) };
        RecoverStep { name: None, when, at, after: None, priority, limit: Dur::from_secs(limit), act }
    }
}

prop_compose! {
    fn scenario_of(pattern: Pattern)(
        fault in (1usize..4).prop_flat_map(move |n| (0..n).map(|i| fault_step(i, pattern)).collect::<Vec<_>>()),
        recover in prop::collection::vec(recover_step(pattern), 0..4),
        sync: bool,
        seed: u64,
    ) -> Scenario {
        Scenario { fault, recover, seed, ..base(pattern, sync) }
    }
}

/// A random drill.
pub(super) fn scenario() -> impl Strategy<Value = Scenario> {
    pattern().prop_flat_map(scenario_of).prop_filter("no step is sure to find its node down", finds_its_nodes)
}

/// What is sure to find its node down is refused when it is compiled, for a reason that has tests of its own.
fn finds_its_nodes(scenario: &Scenario) -> bool {
    let problems = Plan::compile(scenario).err().unwrap_or_default();
    problems.is_empty() || !problems.iter().all(|p| p.message.contains("does not run then"))
}

/// A random stack and some faults that all strike at once.
pub(super) fn faults() -> impl Strategy<Value = Scenario> {
    let strike = |(i, inject)| FaultStep {
        name: Some(format!("f{i}")),
        at: Some(Dur::from_secs(1)),
        after: None,
        hold: None,
        inject,
    };
    pattern().prop_flat_map(move |pattern| {
        prop::collection::vec(fault(pattern), 1..8).prop_map(move |faults| Scenario {
            fault: faults.into_iter().enumerate().map(strike).collect(),
            ..base(pattern, false)
        })
    })
}
