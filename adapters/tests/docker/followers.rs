//! A Milvus in each region: what is copied, what is lost, and who takes the writes.

use std::collections::BTreeSet;

use adapters::docker::images::Choices;
use harness::act::{Act, CutMode, Direction};
use harness::corpus::LOADED_KEYS;
use harness::plan::{Plan, StepKind};
use harness::topology::Role;

use crate::common::{acts, block_on, node};
use crate::regions::{launched, plan};
use crate::stand::Stand;

const ROLE: Role = Role::Vector;

fn vectors(more: &[(&str, &str)]) -> Plan {
    let set = [
        ("stack.roles", "[\"object\", \"vector\"]"),
        ("data.vectors", "{ count = 200, dim = 16, index = \"hnsw\" }"),
        ("load", "{ object = \"5/s\", vector = \"10/s\" }"),
        ("service.0.uses", "[\"vector\", \"object\"]"),
        ("service.0.probe", "{ search = { k = 5 }, get = {}, every = \"100ms\", timeout = \"1s\" }"),
    ];
    plan(&[&set, more].concat())
}

pub(crate) fn a_milvus_is_followed_taken_over_and_follows() {
    block_on(async {
        let plan = vectors(&[]);
        let stand = launched(plan.clone()).await;
        stand.filled(ROLE, 0..100).await;
        stand.holds("west", ROLE, 100).await;
        // The link is what it comes by: cut, it falls behind; mended, it catches up.
        let (from, to) = (Some("west".to_owned()), node("east", ROLE));
        let (mode, direction) = (CutMode::Blackhole, Direction::Both);
        stand.must(Act::Cut { from: from.clone(), to: to.clone(), mode, direction }).await;
        stand.filled(ROLE, 100..120).await;
        assert_eq!(stand.held("west", ROLE).await.unwrap().len(), 100);
        stand.must(Act::Mend { from, to }).await;
        stand.holds("west", ROLE, 120).await;
        let unfenced = stand.not(Act::Promote { node: node("west", ROLE) }).await;
        assert!(unfenced.contains("fence it first"), "{unfenced}");
        // What was not copied when the region is lost, is lost, to the row.
        stand.must(Act::Stall { node: node("west", ROLE) }).await;
        stand.filled(ROLE, 120..150).await;
        let (loss, healing) = acts(&plan, StepKind::Fault);
        for act in loss {
            stand.must(act).await;
        }
        for act in acts(&plan, StepKind::Recovery).0 {
            stand.must(act).await;
        }
        stand.holds("west", ROLE, 120).await;
        stand.filled(ROLE, LOADED_KEYS..LOADED_KEYS + 20).await;
        // The old primary throws away what it alone holds.
        for act in healing {
            stand.must(act).await;
        }
        stand.must(Act::Rejoin { node: node("east", ROLE) }).await;
        stand.holds("east", ROLE, 140).await;
        stand.filled(ROLE, LOADED_KEYS + 20..LOADED_KEYS + 30).await;
        // And back again, without a loss, since the source can be asked.
        stand.must(Act::Fence { node: node("west", ROLE) }).await;
        let promoted = stand.must(Act::Promote { node: node("east", ROLE) }).await;
        assert!(promoted.contains("it has every row of its source"), "{promoted}");
        stand.filled(ROLE, 300..301).await;
        let there: BTreeSet<u64> = stand.held("east", ROLE).await.unwrap().into_keys().collect();
        let expected = (0..120).chain([300]).chain(LOADED_KEYS..LOADED_KEYS + 30).collect();
        assert_eq!(there, expected);
        stand.tear_down().await;
    });
}

pub(crate) fn a_milvus_that_is_to_be_followed_synchronously_is_refused() {
    let plan = vectors(&[("stack.replication", "\"sync\"")]);
    let refused = Stand::try_of(plan, None, Choices::new()).err().unwrap();
    assert!(refused.to_string().contains("asynchronously only"), "{refused}");
}
