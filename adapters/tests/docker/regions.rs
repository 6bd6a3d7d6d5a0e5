//! Two regions: replication, loss, failover, fences, and the links between them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use adapters::docker::images::Choices;
use harness::act::{Act, CutMode, Direction};
use harness::corpus::LOADED_KEYS;
use harness::diagnose::load;
use harness::plan::{Plan, StepKind};
use harness::ports::{Page, PortError, Reading};
use harness::topology::Role;
use tokio::time::{Instant, sleep, timeout};

use crate::common::{acts, block_on, node, put};
use crate::stand::{Stand, docker};

const REGION: &[u8] = include_bytes!("region.toml");
const STORES: [Role; 2] = [Role::Object, Role::Feature];
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) fn plan(set: &[(&str, &str)]) -> Plan {
    let set: Vec<_> = set.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect();
    load(REGION, &set).unwrap().plan
}

pub(crate) async fn launched(plan: Plan) -> Stand {
    let stand = Stand::of(plan, None, Choices::new());
    stand.host.launch().await.unwrap();
    stand
}

impl Stand {
    /// Writes records until one is not acknowledged; those that were.
    pub(crate) async fn fill(&self, role: Role, keys: std::ops::Range<u64>) -> BTreeSet<u64> {
        let (system, mut acked) = (self.host.system(role).unwrap(), BTreeSet::new());
        for key in keys {
            if put(system.as_ref(), key, Duration::from_secs(5)).await.is_err() {
                break;
            }
            acked.insert(key);
        }
        acked
    }

    pub(crate) async fn filled(&self, role: Role, keys: std::ops::Range<u64>) {
        assert_eq!(self.fill(role, keys.clone()).await, keys.collect(), "{role}");
    }

    /// What a region holds; nothing if it does not answer.
    pub(crate) async fn held(&self, region: &str, role: Role) -> Option<BTreeMap<u64, Reading>> {
        let system = self.host.system_in(region, role).unwrap();
        let (mut all, mut after) = (BTreeMap::new(), None);
        loop {
            let page = timeout(Duration::from_secs(5), system.survivors(after, 1000)).await;
            let Ok(Ok(Page { items, next })) = page else { return None };
            all.extend(items);
            match next {
                Some(next) => after = Some(next),
                None => return Some(all),
            }
        }
    }

    /// Waits until a region holds exactly so many records, each as it was written.
    pub(crate) async fn holds(&self, region: &str, role: Role, count: usize) {
        let (began, mut seen) = (Instant::now(), None);
        while seen != Some(count) {
            assert!(began.elapsed() < PATIENCE, "{region} holds {seen:?} records of {role}, not {count}");
            sleep(Duration::from_millis(50)).await;
            if let Some(all) = self.held(region, role).await {
                assert!(
                    all.iter().all(|(key, reading)| *reading == Reading::Ver(key + 1)),
                    "{role}: {all:?}"
                );
                seen = Some(all.len());
            }
        }
    }

    pub(crate) async fn not(&self, act: Act) -> String {
        let outcome = self.host.act(&act).await.outcome;
        assert!(!outcome.observed(), "{act}: {outcome:?}");
        outcome.text().to_owned()
    }

    async fn takes_no_write(&self, region: &str, role: Role) {
        let system = self.host.system_in(region, role).unwrap();
        let refused = put(system.as_ref(), 1, Duration::from_secs(5)).await;
        assert!(matches!(refused, Err(PortError::Definite(_))), "{region}/{role}: {refused:?}");
    }
}

pub(crate) fn a_region_is_lost_fails_over_and_comes_back() {
    block_on(async {
        let plan = plan(&[]);
        let stand = launched(plan.clone()).await;
        for role in STORES {
            stand.filled(role, 0..100).await;
            stand.holds("west", role, 100).await;
            stand.takes_no_write("west", role).await;
        }
        let unfenced = stand.not(Act::Promote { node: node("west", Role::Feature) }).await;
        assert!(unfenced.contains("still takes writes"), "{unfenced}");
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
            stand.holds("west", role, 100).await;
            stand.filled(role, LOADED_KEYS..LOADED_KEYS + 20).await;
        }
        for act in healing {
            stand.must(act).await;
        }
        for role in STORES {
            let east = stand.host.system_in("east", role).unwrap();
            let fenced = put(east.as_ref(), 1, Duration::from_secs(5)).await;
            assert!(fenced.is_err(), "{role}: a fenced node takes a write");
            stand.must(Act::Rejoin { node: node("east", role) }).await;
            stand.holds("east", role, 120).await;
            stand.takes_no_write("east", role).await;
            stand.filled(role, LOADED_KEYS + 20..LOADED_KEYS + 30).await;
        }
        // And back again, without a loss: the old primary says how far it went.
        for role in STORES {
            let fenced = stand.must(Act::Fence { node: node("west", role) }).await;
            assert!(fenced.contains("itself"), "{fenced}");
            stand.takes_no_write("west", role).await;
            let promoted = stand.must(Act::Promote { node: node("east", role) }).await;
            assert!(promoted.contains("of its source"), "{promoted}");
            stand.holds("east", role, 130).await;
            stand.filled(role, 300..301).await;
        }
        stand.tear_down().await;
    });
}

/// Asynchronous: what a frozen receiver did not get is lost, and nothing else. Synchronous: it is not acknowledged.
pub(crate) fn a_frozen_receiver_loses_to_the_row() {
    for (replication, lost) in [("\"async\"", 40), ("\"sync\"", 0)] {
        block_on(async {
            let roles = ("stack.roles", "[\"object\", \"feature\"]");
            let services = ("service.0.uses", "[\"feature\", \"object\"]");
            let probe = ("service.0.probe", "{ lookup = {}, get = {}, every = \"100ms\", timeout = \"1s\" }");
            let plan = plan(&[("stack.replication", replication), roles, services, probe, ("load", LOAD)]);
            let stand = launched(plan).await;
            let role = Role::Feature;
            let mut acked = stand.fill(role, 0..50).await;
            stand.holds("west", role, 50).await;
            stand.must(Act::Stall { node: node("west", role) }).await;
            acked.extend(stand.fill(role, 100..140).await);
            assert_eq!(acked.len(), 50 + lost, "{replication}");
            stand.must(Act::Kill { node: node("east", role) }).await;
            stand.must(Act::Fence { node: node("east", role) }).await;
            let promoted = stand.must(Act::Promote { node: node("west", role) }).await;
            assert!(promoted.contains("receiver was frozen"), "{promoted}");
            stand.filled(role, 200..205).await;
            let there: BTreeSet<u64> = stand.held("west", role).await.unwrap().into_keys().collect();
            let missing: Vec<u64> = acked.difference(&there).copied().collect();
            let expected: Vec<u64> = if lost == 0 { Vec::new() } else { (100..140).collect() };
            assert_eq!(missing, expected, "{replication}");
            stand.tear_down().await;
        });
    }
}

const LOAD: &str = "{ object = \"5/s\", feature = \"10/s\" }";

/// A cut link between regions is felt by the standby alone, and what waited arrives when it is mended.
pub(crate) fn a_link_between_regions_is_cut_slowed_and_mended() {
    block_on(async {
        let stand = launched(plan(&[])).await;
        let west = || Some("west".to_owned());
        for (role, mode) in [(Role::Feature, CutMode::Blackhole), (Role::Object, CutMode::Refuse)] {
            let to = || node("east", role);
            stand.filled(role, 0..20).await;
            stand.holds("west", role, 20).await;
            stand.must(Act::Delay { from: west(), to: to(), by: "200ms".parse().unwrap() }).await;
            stand.must(Act::Cut { from: west(), to: to(), mode, direction: Direction::Both }).await;
            stand.filled(role, 20..40).await;
            assert_eq!(stand.held("west", role).await.unwrap().len(), 20, "{role}");
            stand.must(Act::Mend { from: west(), to: to() }).await;
            stand.holds("west", role, 40).await;
        }
        stand.not(Act::Mend { from: west(), to: node("east", Role::Gpu) }).await;
        // A node is in its region's network and in no other; a link is in both.
        let format = "{{.Name}} {{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}";
        let ids = docker(&["ps", "-q", "--filter", &format!("label=gameday.run={}", stand.run)]);
        let ids: Vec<&str> = ids.lines().collect();
        let said = docker(&[["inspect", "-f", format].as_slice(), &ids].concat());
        for line in said.lines() {
            let networks = line.split_whitespace().count() - 1;
            assert_eq!(networks, if line.contains("-link-") { 2 } else { 1 }, "{line}");
        }
        stand.tear_down().await;
    });
}
