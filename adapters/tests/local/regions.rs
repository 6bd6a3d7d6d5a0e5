//! Two regions: loss, failover, fences, and the links between them.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::act::{Act, CutMode, Direction, EngineChoice};
use harness::corpus::LOADED_KEYS;
use harness::plan::{Plan, StepKind};
use harness::ports::{Page, PortError, Reading};
use harness::topology::Role;
use harness::verdict::Verdict::Pass;
use tokio::time::{Instant, sleep, timeout};

use crate::common::{acts, block_on, node, put};
use crate::drills::play_until;
use crate::stand::{Stand, plan_of};

const REGIONS: &[u8] = include_bytes!("regions.toml");
const STORES: [Role; 2] = [Role::Object, Role::Vector];
const PATIENCE: Duration = Duration::from_secs(20);

fn plan(pattern: &str, more: &[(&str, &str)]) -> Plan {
    let pattern = [("stack.pattern", pattern)];
    let number = |value: &str| value.parse::<f64>().is_ok();
    let toml = |value: &str| if number(value) { value.to_owned() } else { format!("{value:?}") };
    let set = pattern.iter().chain(more).map(|(path, value)| ((*path).to_owned(), toml(value)));
    plan_of(REGIONS, &set.collect::<Vec<_>>())
}

async fn launched(plan: Plan) -> Stand {
    let stand = Stand::for_plan(plan, std::env::current_exe().unwrap(), None).unwrap();
    stand.host.launch().await.unwrap();
    stand
}

async fn until<T>(what: &str, mut done: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = done().await {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

impl Stand {
    async fn fill(&self, role: Role, keys: std::ops::Range<u64>) {
        let system = self.host.system(role).unwrap();
        for key in keys {
            put(system.as_ref(), key, PATIENCE).await.unwrap_or_else(|e| panic!("{role} {key}: {e}"));
        }
    }

    /// What a region holds; nothing if it does not answer.
    async fn held(&self, region: &str, role: Role) -> Option<BTreeMap<u64, Reading>> {
        let system = self.host.system_in(region, role).unwrap();
        let page = timeout(Duration::from_secs(2), system.survivors(None, 10_000)).await;
        let Ok(Ok(Page { items, next: None })) = page else { return None };
        Some(items.into_iter().collect())
    }

    /// Waits until a region holds so many records.
    async fn holds(&self, region: &str, role: Role, count: usize) {
        let what = format!("{region} does not hold {count} records of {role}");
        let held = async || self.held(region, role).await.filter(|all| all.len() == count);
        let all = until(&what, held).await;
        assert!(all.iter().all(|(key, reading)| *reading == Reading::Ver(key + 1)), "{role}: {all:?}");
    }

    async fn not(&self, act: Act) -> String {
        let outcome = self.host.act(&act).await.outcome;
        assert!(!outcome.observed(), "{act}: {outcome:?}");
        outcome.text().to_owned()
    }
}

pub(crate) fn a_region_is_lost_fails_over_and_comes_back() {
    block_on(async {
        let plan = plan("hot-standby", &[]);
        let stand = launched(plan.clone()).await;
        for role in STORES {
            stand.fill(role, 0..200).await;
        }
        for region in ["east", "west"] {
            stand.must(Act::Rebuild { node: node(region, Role::Vector), engine: EngineChoice::Auto }).await;
        }
        stand.holds("west", Role::Object, 200).await;
        let refused = put(stand.host.system_in("west", Role::Vector).unwrap().as_ref(), 1, PATIENCE).await;
        assert!(matches!(refused, Err(PortError::Definite(_))), "a standby takes a write: {refused:?}");
        let (loss, healing) = acts(&plan, StepKind::Fault);
        for act in loss {
            stand.must(act).await;
        }
        for role in STORES {
            stand.not(Act::Promote { node: node("east", role) }).await;
        }
        for act in acts(&plan, StepKind::Recovery).0 {
            let seen = stand.must(act.clone()).await;
            assert!(!matches!(act, Act::Fence { .. }) || seen.contains("at the network"), "{act}: {seen}");
        }
        for role in STORES {
            stand.holds("west", role, 200).await;
            stand.fill(role, LOADED_KEYS..LOADED_KEYS + 50).await;
            stand.holds("west", role, 250).await;
        }
        let (query, rag) = (stand.corpus().vector(7, 8), stand.host.system_for("rag", Role::Vector).unwrap());
        assert_eq!(rag.search(&query, 1).await, Ok(vec![7]));
        for act in healing {
            stand.must(act).await;
        }
        for role in STORES {
            let east = stand.host.system_in("east", role).unwrap();
            assert!(put(east.as_ref(), 1, PATIENCE).await.is_err(), "{role}: a fenced node takes a write");
            until("the old primary hears of the new one", async || {
                let seen = stand.must(Act::Fence { node: node("east", role) }).await;
                seen.contains("says that it takes no writes").then_some(())
            })
            .await;
            stand.must(Act::Rejoin { node: node("east", role) }).await;
            stand.holds("east", role, 250).await;
            stand.fill(role, LOADED_KEYS + 50..LOADED_KEYS + 60).await;
        }
        // And back again, without a loss: the old primary says how far it went.
        for role in STORES {
            let fenced = stand.must(Act::Fence { node: node("west", role) }).await;
            assert!(fenced.contains("confirms"), "{fenced}");
            let promoted = stand.must(Act::Promote { node: node("east", role) }).await;
            assert!(promoted.contains("every write of its source"), "{promoted}");
            stand.holds("east", role, 260).await;
            stand.fill(role, 300..301).await;
        }
        stand.tear_down().await;
    });
}

pub(crate) fn a_partitioned_primary_stays_fenced_when_the_network_heals() {
    block_on(async {
        let plan = plan("hot-standby", &[("fault.0.inject.region.how", "partition")]);
        let stand = launched(plan.clone()).await;
        for role in STORES {
            stand.fill(role, 0..100).await;
            stand.holds("west", role, 100).await;
        }
        let (loss, healing) = acts(&plan, StepKind::Fault);
        for act in loss {
            stand.must(act).await;
        }
        for act in acts(&plan, StepKind::Recovery).0 {
            stand.must(act).await;
        }
        for role in STORES {
            stand.fill(role, 100..150).await;
        }
        for act in healing {
            stand.must(act).await;
        }
        for role in STORES {
            let east = stand.host.system_in("east", role).unwrap();
            assert!(put(east.as_ref(), 500, PATIENCE).await.is_err(), "{role}: a fenced node takes a write");
            assert_eq!(stand.held("east", role).await, None, "{role}: a fenced node is reached");
            stand.must(Act::Rejoin { node: node("east", role) }).await;
            stand.holds("east", role, 150).await;
            stand.holds("west", role, 150).await;
        }
        stand.tear_down().await;
    });
}

pub(crate) fn a_standby_falls_behind_and_catches_up() {
    let (mode, direction) = (CutMode::Blackhole, Direction::Both);
    block_on(async {
        let stand = launched(plan("hot-standby", &[])).await;
        for role in STORES {
            stand.fill(role, 0..20).await;
            stand.holds("west", role, 20).await;
            let (from, east, west) = (Some("west".to_owned()), node("east", role), node("west", role));
            stand.must(Act::Cut { from: from.clone(), to: east.clone(), mode, direction }).await;
            stand.fill(role, 20..40).await;
            sleep(Duration::from_millis(500)).await;
            stand.holds("west", role, 20).await;
            stand.must(Act::Mend { from, to: east }).await;
            stand.holds("west", role, 40).await;
            stand.must(Act::Stall { node: west.clone() }).await;
            // What was asked for before it stalled may still arrive.
            sleep(Duration::from_millis(700)).await;
            stand.fill(role, 40..60).await;
            sleep(Duration::from_millis(700)).await;
            stand.holds("west", role, 40).await;
            stand.must(Act::Unstall { node: west }).await;
            stand.holds("west", role, 60).await;
        }
        stand.tear_down().await;
    });
}

pub(crate) fn users_of_two_active_regions_move_by_themselves() {
    block_on(async {
        let plan = plan("active-active", &[]);
        let stand = launched(plan.clone()).await;
        for role in STORES {
            stand.fill(role, 0..100).await;
            for region in ["east", "west"] {
                stand.holds(region, role, 100).await;
            }
        }
        let documents = stand.host.system_for("documents", Role::Object).unwrap();
        let began = Instant::now();
        for act in acts(&plan, StepKind::Fault).0 {
            stand.must(act).await;
        }
        until("users of the lost region are not moved", async || documents.read(7).await.ok()).await;
        assert!(began.elapsed() < Duration::from_secs(5), "moved after {:?}", began.elapsed());
        for role in STORES {
            stand.fill(role, 100..120).await;
            stand.holds("west", role, 120).await;
        }
        for act in acts(&plan, StepKind::Recovery).0 {
            stand.must(act).await;
        }
        stand.tear_down().await;
    });
}

pub(crate) fn a_wiped_node_starts_empty() {
    block_on(async {
        let stand = Stand::new(None);
        stand.host.launch().await.unwrap();
        for role in STORES {
            let wiped = || node("east", role);
            stand.fill(role, 0..20).await;
            assert!(stand.not(Act::Wipe { node: wiped() }).await.contains("kill it first"));
            stand.must(Act::Kill { node: wiped() }).await;
            stand.must(Act::Wipe { node: wiped() }).await;
            stand.not(Act::Wipe { node: wiped() }).await;
            stand.must(Act::Start { node: wiped() }).await;
            stand.holds("east", role, 0).await;
            stand.fill(role, 0..5).await;
            stand.holds("east", role, 5).await;
        }
        stand.tear_down().await;
    });
}

pub(crate) fn the_loss_of_a_region_passes_in_every_pattern() {
    for pattern in ["hot-standby", "active-active"] {
        play_until(&plan(pattern, &[]), None, |report| report.verdict == Pass);
    }
    for pattern in ["warm-standby", "cold-standby"] {
        // What the newest backup does not have is lost, and with it its part of the neighbours.
        let plan = plan(pattern, &[("objectives.quality", "0.9")]);
        play_until(&plan, None, |report| report.verdict == Pass);
    }
}

pub(crate) fn a_partition_passes() {
    let partition = plan("hot-standby", &[("fault.0.inject.region.how", "partition")]);
    play_until(&partition, None, |report| report.verdict == Pass);
}
