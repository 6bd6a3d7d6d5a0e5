//! Faults that only containers suffer, and the user's own commands.

use std::time::Duration;

use adapters::docker::images::Choices;
use harness::act::{Act, Artifact, Damage, Outcome};
use harness::diagnose::load;
use harness::plan::Plan;
use harness::ports::PortError;
use harness::topology::{NodeId, Role};

use crate::common::block_on;
use crate::stand::{Stand, docker, object};

fn feature() -> NodeId {
    NodeId::new("east", Role::Feature)
}

fn stores() -> Plan {
    load(include_bytes!("../../../scenarios/feature_store_compromise.toml"), &[]).unwrap().plan
}

async fn filled(stand: &Stand, role: Role, keys: u64) {
    let system = stand.host.system(role).unwrap();
    for key in 0..keys {
        system.write(harness::ports::Write { key, ver: key + 1, delete: false }).await.unwrap();
    }
}

pub(crate) fn a_node_is_limited_isolated_and_set_free() {
    block_on(async {
        let stand = Stand::new();
        stand.host.launch().await.unwrap();
        filled(&stand, Role::Object, 3).await;
        stand.must(Act::Limit { node: object(), cpu: Some(0.1), memory_mb: Some(512) }).await;
        let name = format!("gameday-{}-east-object", stand.run);
        let format = "{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}}";
        assert_eq!(docker(&["inspect", "-f", format, &name]), "100000000 536870912");
        stand.must(Act::Unlimit { node: object() }).await;
        assert_eq!(docker(&["inspect", "-f", format, &name]), "2000000000 1073741824");
        stand.must(Act::Isolate { node: object() }).await;
        assert!(stand.host.system(Role::Object).unwrap().read(1).await.is_err());
        let again = stand.host.act(&Act::Isolate { node: object() }).await.outcome;
        assert!(matches!(again, Outcome::NotObserved(_)), "{again:?}");
        stand.must(Act::Attach { node: object() }).await;
        assert!(stand.host.system(Role::Object).unwrap().read(1).await.unwrap().is_some());
        let run = ["sh", "-c", "echo at $GAMEDAY_EAST_OBJECT_ADDR in $GAMEDAY_EAST_OBJECT_CONTAINER"];
        let said = stand.must(Act::Command { run: run.map(str::to_owned).to_vec() }).await;
        assert!(said.contains(&name) && said.contains("127.0.0.1:"), "{said}");
        let failed = stand.host.act(&Act::Command { run: vec!["false".into()] }).await.outcome;
        assert!(matches!(failed, Outcome::Failed(_)), "{failed:?}");
        stand.tear_down().await;
    });
}

pub(crate) fn drives_rot_past_the_doors() {
    block_on(async {
        let stand = Stand::of(stores(), None, Choices::new());
        stand.host.launch().await.unwrap();
        filled(&stand, Role::Feature, 400).await;
        filled(&stand, Role::Object, 20).await;
        let rot = |node, what| Act::Damage { node, what, how: Damage::Flip, fraction: 0.2, seed: 5 };
        let pages = stand.must(rot(feature(), Artifact::Heap)).await;
        assert!(pages.contains("pages of base/"), "{pages}");
        stand.must(rot(feature(), Artifact::Index)).await;
        let files = stand.must(rot(object(), Artifact::Drive)).await;
        assert!(files.contains("4 of 20 files"), "{files}");
        // What memory hid shows after a restart.
        stand.must(Act::Restart { node: object() }).await;
        let system = stand.host.system(Role::Object).unwrap();
        let mut bad = 0;
        for key in 0..20 {
            let good = Ok(Some(harness::ports::Reading::Ver(key + 1)));
            bad += u32::from(system.read(key).await != good);
        }
        assert_eq!(bad, 4, "{files}");
        stand.tear_down().await;
    });
}

/// A plan that fills the disk of a node, so that the node has one that can be filled.
fn with_full_disk(role: &str) -> Plan {
    let text = format!(
        "name = \"full\"\nworlds = [\"docker\"]\n[stack]\nregions = [\"east\"]\nroles = [\"object\", \"feature\"]\n\
         pattern = \"single\"\n[load]\nobject = \"1/s\"\nfeature = \"1/s\"\n[[service]]\nname = \"s\"\n\
         uses = [\"object\", \"feature\"]\nprobe = {{ get = {{}}, lookup = {{}} }}\n[[fault]]\nat = \"1s\"\n\
         inject = {{ fill = {{ node = \"east/{role}\" }} }}\n[objectives]\nrpo = \"0s\"\n"
    );
    load(text.as_bytes(), &[]).unwrap().plan
}

/// Writes these keys; the acknowledged ones, and how the others ended.
async fn written(stand: &Stand, role: Role, keys: std::ops::Range<u64>) -> (Vec<u64>, Vec<(u64, PortError)>) {
    let system = stand.host.system(role).unwrap();
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    for key in keys {
        let write = system.write(harness::ports::Write { key, ver: key + 1, delete: false });
        match tokio::time::timeout(Duration::from_secs(10), write).await.unwrap() {
            Ok(()) => acknowledged.push(key),
            Err(e) => refused.push((key, e)),
        }
    }
    (acknowledged, refused)
}

async fn all_read(stand: &Stand, role: Role, keys: &[u64]) {
    let system = stand.host.system(role).unwrap();
    for key in keys {
        assert_eq!(system.read(*key).await, Ok(Some(harness::ports::Reading::Ver(key + 1))), "{key}");
    }
}

pub(crate) fn a_full_object_store_refuses_and_goes_on() {
    block_on(async {
        let stand = Stand::of(with_full_disk("object"), None, Choices::new());
        stand.host.launch().await.unwrap();
        let early = stand.host.act(&Act::Fill { node: feature() }).await.outcome;
        assert!(early.text().contains("as large as that of the machine"), "{early:?}");
        let (before, refused) = written(&stand, Role::Object, 0..20).await;
        assert_eq!((before.len(), refused), (20, vec![]));
        println!("{}", stand.must(Act::Fill { node: object() }).await);
        all_read(&stand, Role::Object, &before).await;
        let (during, refused) = written(&stand, Role::Object, 20..60).await;
        println!("{} acknowledged; {} refused, such as {:?}", during.len(), refused.len(), refused.last());
        assert!(refused.iter().any(|(_, e)| matches!(e, PortError::Definite(_))), "{refused:?}");
        // A restart finds all of it, and the disk as full as it was.
        stand.must(Act::Kill { node: object() }).await;
        println!("{}", stand.must(Act::Free { node: object() }).await);
        stand.must(Act::Start { node: object() }).await;
        all_read(&stand, Role::Object, &[before, during].concat()).await;
        // What was refused for good was never stored.
        let system = stand.host.system(Role::Object).unwrap();
        for (key, _) in refused.iter().filter(|(_, e)| matches!(e, PortError::Definite(_))) {
            assert_eq!(system.read(*key).await, Ok(None), "{key}");
        }
        let (after, refused) = written(&stand, Role::Object, 60..80).await;
        assert_eq!((after.len(), refused), (20, vec![]));
        // A wiped disk is an empty one of the same size.
        stand.must(Act::Kill { node: object() }).await;
        stand.must(Act::Wipe { node: object() }).await;
        stand.must(Act::Start { node: object() }).await;
        assert_eq!(stand.host.system(Role::Object).unwrap().read(1).await, Ok(None));
        println!("{}", stand.must(Act::Fill { node: object() }).await);
        stand.tear_down().await;
    });
}

pub(crate) fn a_full_feature_store_loses_nothing() {
    block_on(async {
        let stand = Stand::of(with_full_disk("feature"), None, Choices::new());
        stand.host.launch().await.unwrap();
        let (before, refused) = written(&stand, Role::Feature, 0..200).await;
        assert_eq!((before.len(), refused), (200, vec![]));
        println!("{}", stand.must(Act::Fill { node: feature() }).await);
        all_read(&stand, Role::Feature, &before).await;
        let (during, refused) = written(&stand, Role::Feature, 200..500).await;
        println!("{} acknowledged; {} refused, such as {:?}", during.len(), refused.len(), refused.first());
        assert!(!refused.is_empty(), "300 rows fit into what the server had set aside");
        println!("{}", stand.must(Act::Free { node: feature() }).await);
        println!("{}", stand.must(Act::Start { node: feature() }).await);
        all_read(&stand, Role::Feature, &[before, during].concat()).await;
        let system = stand.host.system(Role::Feature).unwrap();
        for (key, _) in refused.iter().filter(|(_, e)| matches!(e, PortError::Definite(_))) {
            assert_eq!(system.read(*key).await, Ok(None), "{key}");
        }
        let (after, refused) = written(&stand, Role::Feature, 5000..5100).await;
        assert_eq!((after.len(), refused), (100, vec![]));
        stand.tear_down().await;
    });
}

pub(crate) fn what_needs_containers_is_refused_elsewhere() {
    let text = include_str!("drill.toml");
    let limit = "inject = { limit = { node = \"east/object\", cpu = 0.1 } }";
    let limited = text.replace("inject = { kill = { node = \"east/object\" } }", limit);
    assert!(load(limited.as_bytes(), &[]).is_err(), "no world is named");
    let named = limited.replace("seed = 17", "seed = 17\nworlds = [\"docker\"]");
    assert!(load(named.as_bytes(), &[]).is_ok());
}
