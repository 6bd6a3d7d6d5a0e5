//! The world itself: its contract, its limits, and what it refuses.

use std::time::Duration;

use adapters::docker::images::Choices;
use harness::act::{Act, Artifact, CutMode, Damage, Direction, Outcome};
use harness::contract;
use harness::diagnose::load;
use harness::ports::{Reading, Write};
use harness::topology::Role;
use tokio::time::timeout;

use crate::common::block_on;
use crate::stand::{Stand, docker, object};

pub(crate) fn the_contract_is_kept_by_an_object_store() {
    block_on(async {
        let stand = Stand::new();
        contract::stores(stand.host.clone(), &stand.plan, &stand.corpus(), &[Role::Object]).await;
        stand.is_clean().await;
        let log = std::fs::read_to_string(stand.folder().join("logs/east-object.log")).unwrap();
        assert!(log.contains("MinIO"), "{log}");
        stand.tear_down().await;
    });
}

pub(crate) fn the_contract_is_kept_by_a_feature_store() {
    block_on(async {
        let plan =
            load(include_bytes!("../../../scenarios/feature_store_compromise.toml"), &[]).unwrap().plan;
        let stand = Stand::of(plan, None, Choices::new());
        contract::stores(stand.host.clone(), &stand.plan, &stand.corpus(), &[Role::Feature]).await;
        stand.tear_down().await;
    });
}

async fn write(stand: &Stand, key: u64) {
    let system = stand.host.system(Role::Object).unwrap();
    system.write(Write { key, ver: 1, delete: false }).await.unwrap();
}

async fn read(stand: &Stand, key: u64) -> Option<Reading> {
    let read = stand.host.system(Role::Object).unwrap();
    timeout(Duration::from_secs(10), read.read(key)).await.unwrap().unwrap()
}

pub(crate) fn a_wiped_node_starts_empty() {
    block_on(async {
        let stand = Stand::new();
        stand.host.launch().await.unwrap();
        write(&stand, 1).await;
        let early = stand.host.act(&Act::Wipe { node: object() }).await.outcome;
        assert!(matches!(early, Outcome::Failed(_)), "it runs on this disk: {early:?}");
        stand.must(Act::Kill { node: object() }).await;
        stand.must(Act::Wipe { node: object() }).await;
        stand.must(Act::Start { node: object() }).await;
        assert_eq!(read(&stand, 1).await, None);
        write(&stand, 2).await;
        stand.tear_down().await;
    });
}

/// Who repairs it is faster than who looks whether the fault took effect.
pub(crate) fn a_kill_is_seen_though_the_node_is_restarted_at_once() {
    block_on(async {
        let stand = Stand::new();
        stand.host.launch().await.unwrap();
        write(&stand, 1).await;
        for _ in 0..5 {
            let repair = async {
                let system = stand.host.system(Role::Object).unwrap();
                while system.read(1).await.is_ok() {}
                stand.must(Act::Restart { node: object() }).await
            };
            tokio::join!(stand.must(Act::Kill { node: object() }), repair);
            assert_eq!(read(&stand, 1).await, Some(Reading::Ver(1)));
        }
        stand.tear_down().await;
    });
}

pub(crate) fn containers_are_limited_labelled_and_on_loopback() {
    block_on(async {
        let stand = Stand::new();
        stand.host.launch().await.unwrap();
        let label = format!("label=gameday.run={}", stand.run);
        let ids = docker(&["ps", "-q", "--filter", &label]);
        assert_eq!(ids.lines().count(), 1, "{ids}");
        let format = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} \
                      {{range .NetworkSettings.Ports}}{{range .}}{{.HostIp}}{{end}}{{end}}";
        let said = docker(&["inspect", "-f", format, &ids]);
        assert_eq!(said, "1073741824 1073741824 2000000000 127.0.0.1");
        for kind in ["network", "volume"] {
            let all = docker(&[kind, "ls", "-q", "--filter", &label]);
            assert_eq!(all.lines().count(), 1, "{kind}: {all}");
        }
        stand.tear_down().await;
    });
}

pub(crate) fn damaged_objects_are_served_as_good() {
    block_on(async {
        let stand = Stand::new();
        stand.host.launch().await.unwrap();
        let damage =
            |how, fraction| Act::Damage { node: object(), what: Artifact::Object, how, fraction, seed: 3 };
        let early = stand.host.act(&damage(Damage::Flip, 1.0)).await.outcome;
        assert!(matches!(early, Outcome::Failed(_)), "nothing is stored yet: {early:?}");
        for how in [Damage::Flip, Damage::Truncate, Damage::Zero, Damage::Swap] {
            write(&stand, 1).await;
            write(&stand, 2).await;
            stand.must(damage(how, 0.1)).await;
            let seen = [read(&stand, 1).await, read(&stand, 2).await];
            let corrupt = seen.iter().filter(|r| **r == Some(Reading::Corrupt)).count();
            assert_eq!(corrupt, 1, "{how}: {seen:?}");
        }
        stand.must(damage(Damage::Delete, 1.0)).await;
        assert_eq!([read(&stand, 1).await, read(&stand, 2).await], [None, None]);
        stand.tear_down().await;
    });
}

/// What other hands have ended no longer holds, whatever the drill has seen before.
pub(crate) fn a_fault_that_other_hands_end_no_longer_holds() {
    block_on(async {
        let stand = Stand::new();
        stand.host.launch().await.unwrap();
        write(&stand, 1).await;
        let name = format!("gameday-{}-east-object", stand.run);
        let network = docker(&[
            "network",
            "ls",
            "--filter",
            &format!("label=gameday.run={}", stand.run),
            "--format",
            "{{.Name}}",
        ]);
        for (act, hands) in [
            (Act::Kill { node: object() }, vec!["start", &name]),
            (Act::Stop { node: object() }, vec!["start", &name]),
            (Act::Pause { node: object() }, vec!["unpause", &name]),
            (Act::Isolate { node: object() }, vec!["network", "connect", &network, &name]),
        ] {
            stand.must(act.clone()).await;
            assert_eq!(stand.host.holds(&act).await, Some(true), "{act}");
            docker(&hands);
            assert_eq!(stand.host.holds(&act).await, Some(false), "{act}");
            stand.must(Act::Restart { node: object() }).await;
        }
        stand.tear_down().await;
    });
}

pub(crate) fn silent_faults_are_seen_to_do_nothing() {
    let (mode, direction) = (CutMode::Refuse, Direction::Both);
    block_on(async {
        let stand = Stand::with(Some("silent-fault"), Choices::new());
        stand.host.launch().await.unwrap();
        write(&stand, 1).await;
        for act in [
            Act::Kill { node: object() },
            Act::Pause { node: object() },
            Act::Wipe { node: object() },
            Act::Cut { from: None, to: object(), mode, direction },
        ] {
            let outcome = stand.host.act(&act).await.outcome;
            assert!(matches!(outcome, Outcome::NotObserved(_)), "{act}: {outcome:?}");
            assert_eq!(read(&stand, 1).await, Some(Reading::Ver(1)));
        }
        stand.tear_down().await;
    });
}

pub(crate) fn an_image_that_is_not_there_is_told_before_anything_is_made() {
    block_on(async {
        let images = Choices::from([(Role::Object, "gameday/no-such-image:1".to_owned())]);
        let stand = Stand::with(None, images);
        let error = stand.host.launch().await.unwrap_err();
        assert!(error.what.contains("no-such-image") && error.remedy.contains("docker pull"), "{error}");
        let label = format!("label=gameday.run={}", stand.run);
        assert_eq!(docker(&["network", "ls", "-q", "--filter", &label]), "");
        stand.tear_down().await;
    });
}

pub(crate) fn an_image_that_is_no_object_store_is_told_with_its_log() {
    block_on(async {
        let images = Choices::from([(Role::Object, "gameday/base:bookworm".to_owned())]);
        let stand = Stand::with(None, images);
        let error = stand.host.launch().await.unwrap_err();
        assert!(error.what.contains("server"), "{error}");
        stand.tear_down().await;
    });
}

pub(crate) fn left_overs_of_another_run_are_refused() {
    let run = crate::common::run_id("docker");
    let label = format!("gameday.run={run}");
    docker(&["network", "create", "--label", &label, &format!("gameday-{run}")]);
    block_on(async {
        let stand = Stand::new();
        let refused = stand.host.launch().await;
        docker(&["network", "rm", &format!("gameday-{run}")]);
        let error = refused.unwrap_err();
        assert!(error.what.contains(&run) && error.remedy.contains(&label), "{error}");
        stand.tear_down().await;
    });
}
