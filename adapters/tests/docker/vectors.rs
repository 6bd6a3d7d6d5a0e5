//! Milvus as role `vector`: its contract, the damage it hides, the repairs that are refused, and what a kill costs.

use std::time::Duration;

use adapters::docker::images::Choices;
use harness::act::{Act, Artifact, BackupKind, Damage, EngineChoice, RestoreScope};
use harness::contract;
use harness::corpus::LOADED_KEYS;
use harness::diagnose::load;
use harness::plan::Plan;
use harness::ports::{Reading, Write};
use harness::topology::{NodeId, Role};
use tokio::time::timeout;

use crate::common::block_on;
use crate::drills::{all_but_late_pass, play};
use crate::stand::Stand;
use harness::verdict::Verdict::Fail;

const SEEDED: u64 = 3000;

fn small() -> Plan {
    load(include_bytes!("vectors.toml"), &[]).unwrap().plan
}

/// A scenario of the folder, over fewer vectors than it ships with.
fn shipped(text: &[u8]) -> Plan {
    load(text, &[("data.vectors.count".to_owned(), SEEDED.to_string())]).unwrap().plan
}

fn vector() -> NodeId {
    NodeId::new("east", Role::Vector)
}

pub(crate) fn the_contract_is_kept_by_a_vector_store() {
    block_on(async {
        let stand = Stand::of(small(), None, Choices::new());
        contract::stores(stand.host.clone(), &stand.plan, &stand.corpus(), &[Role::Vector]).await;
        stand.tear_down().await;
    });
}

async fn seed(stand: &Stand) {
    let system = stand.host.system(Role::Vector).unwrap();
    let writes = (0..SEEDED).map(|key| system.write(Write { key, ver: 0, delete: false }));
    futures::future::try_join_all(writes).await.unwrap();
    stand.must(Act::Rebuild { node: vector(), engine: EngineChoice::Auto }).await;
}

async fn everything(stand: &Stand) -> Vec<(u64, Reading)> {
    let system = stand.host.system(Role::Vector).unwrap();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = timeout(Duration::from_secs(30), system.survivors(after, 700)).await.unwrap().unwrap();
        all.extend(page.items);
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

/// Nothing acknowledged is lost by a kill; without the log exactly the rows that were not flushed are.
pub(crate) fn a_kill_loses_nothing_and_a_lost_log_is_counted_to_the_row() {
    block_on(async {
        let stand = Stand::of(small(), None, Choices::new());
        stand.host.launch().await.unwrap();
        seed(&stand).await;
        let system = stand.host.system(Role::Vector).unwrap();
        let unflushed = 70;
        for n in 1..=unflushed {
            system.write(Write { key: LOADED_KEYS + n, ver: n, delete: false }).await.unwrap();
        }
        stand.must(Act::Kill { node: vector() }).await;
        println!("after a kill: {}", stand.must(Act::Start { node: vector() }).await);
        let all = everything(&stand).await;
        assert!(all.iter().map(|i| i.0).eq((0..SEEDED).chain(LOADED_KEYS + 1..=LOADED_KEYS + unflushed)));
        assert!(all.iter().all(|(key, r)| *r == Reading::Ver(key.saturating_sub(LOADED_KEYS))));
        let (what, how) = (Artifact::Log, Damage::Delete);
        stand.must(Act::Damage { node: vector(), what, how, fraction: 1.0, seed: 1 }).await;
        stand.must(Act::Kill { node: vector() }).await;
        println!("without its log: {}", stand.must(Act::Start { node: vector() }).await);
        let left = everything(&stand).await;
        assert!(
            left.iter().map(|i| i.0).eq(0..SEEDED),
            "{} rows lost of {unflushed}",
            all.len() - left.len()
        );
        stand.tear_down().await;
    });
}

/// Whoever is stopped and wiped comes back from its backup.
pub(crate) fn a_wiped_milvus_is_restored_row_by_row() {
    block_on(async {
        let stand = Stand::of(small(), None, Choices::new());
        stand.host.launch().await.unwrap();
        let restore = Act::Restore { node: vector(), scope: RestoreScope::Full, model: None };
        seed(&stand).await;
        let early = stand.host.act(&restore).await.outcome;
        assert!(early.text().contains("take a full backup"), "{early:?}");
        stand.must(Act::Backup { node: vector(), kind: BackupKind::Full }).await;
        let system = stand.host.system(Role::Vector).unwrap();
        let write = |key, ver, delete| system.write(Write { key, ver, delete });
        for (key, ver, delete) in [(1, 1, false), (LOADED_KEYS + 2, 2, false), (3, 3, true)] {
            write(key, ver, delete).await.unwrap();
        }
        stand.must(Act::Backup { node: vector(), kind: BackupKind::Incremental }).await;
        write(LOADED_KEYS + 4, 4, false).await.unwrap();
        stand.must(Act::Kill { node: vector() }).await;
        stand.must(Act::Wipe { node: vector() }).await;
        stand.must(Act::Start { node: vector() }).await;
        assert!(system.read(1).await.is_err(), "its metadata is gone, and with it the collection");
        println!("wiped: {}", stand.must(restore).await);
        let all = everything(&stand).await;
        assert_eq!(all.len() as u64, SEEDED, "one is new, one removed, one was never backed up");
        for (key, reading) in all {
            let wanted = if key == 1 { 1 } else { key.saturating_sub(LOADED_KEYS) };
            assert_eq!(reading, Reading::Ver(wanted), "{key}");
        }
        stand.tear_down().await;
    });
}

/// A backup ends, although new keys are written for as long as it takes.
pub(crate) fn a_backup_ends_while_keys_are_added() {
    block_on(async {
        let stand = Stand::of(small(), None, Choices::new());
        stand.host.launch().await.unwrap();
        seed(&stand).await;
        stand.must(Act::Backup { node: vector(), kind: BackupKind::Full }).await;
        let system = stand.host.system(Role::Vector).unwrap();
        let (done, over) = tokio::sync::oneshot::channel::<()>();
        let writer = tokio::spawn(async move {
            let (mut over, mut written) = (over, 0);
            while over.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
                written += 1;
                let write = Write { key: LOADED_KEYS + written, ver: written, delete: false };
                system.write(write).await.unwrap();
            }
            written
        });
        for _ in 0..3 {
            let backup = Act::Backup { node: vector(), kind: BackupKind::Incremental };
            let backup = tokio::time::timeout(Duration::from_secs(30), stand.host.act(&backup)).await;
            let backup = backup.expect("it ends");
            println!("{:?}", backup.outcome);
            assert!(backup.outcome.observed());
        }
        done.send(()).unwrap();
        let written = writer.await.unwrap();
        stand.must(Act::Backup { node: vector(), kind: BackupKind::Incremental }).await;
        stand.must(Act::Kill { node: vector() }).await;
        stand.must(Act::Wipe { node: vector() }).await;
        stand.must(Act::Start { node: vector() }).await;
        stand.must(Act::Restore { node: vector(), scope: RestoreScope::Full, model: None }).await;
        assert_eq!(everything(&stand).await.len() as u64, SEEDED + written, "{written} were added");
        stand.tear_down().await;
    });
}

/// A restore that begins while the server is being killed ends, and does not wait for what the server was.
pub(crate) fn a_restore_amid_a_restart_finds_the_old_metadata() {
    block_on(async {
        let stand = Stand::of(small(), None, Choices::new());
        stand.host.launch().await.unwrap();
        seed(&stand).await;
        stand.must(Act::Backup { node: vector(), kind: BackupKind::Full }).await;
        let (what, how) = (Artifact::Manifest, Damage::Swap);
        stand.must(Act::Damage { node: vector(), what, how, fraction: 1.0, seed: 1 }).await;
        let restart = async {
            stand.must(Act::Kill { node: vector() }).await;
            stand.host.act(&Act::Start { node: vector() }).await
        };
        let restore = Act::Restore { node: vector(), scope: RestoreScope::Full, model: None };
        let amid = tokio::time::timeout(Duration::from_secs(150), stand.host.act(&restore));
        let (_, amid) = tokio::join!(restart, amid);
        println!("{:?}", amid.expect("it ends").outcome);
        // Done before the kill came, it saw nothing to mend.
        println!("{}", stand.must(restore).await);
        assert_eq!(everything(&stand).await.len() as u64, SEEDED);
        stand.tear_down().await;
    });
}

/// Metadata, log and objects of one moment bring back all of it; those of two moments are refused, and nothing is
/// overwritten.
pub(crate) fn a_milvus_is_put_back_as_of_one_moment() {
    block_on(async {
        let stand = Stand::of(small(), None, Choices::new());
        stand.host.launch().await.unwrap();
        seed(&stand).await;
        let backup = stand.must(Act::Backup { node: vector(), kind: BackupKind::Full }).await;
        println!("{backup}");
        let system = stand.host.system(Role::Vector).unwrap();
        let write = |key, ver, delete| system.write(Write { key, ver, delete });
        for (key, ver, delete) in [(1, 1, false), (LOADED_KEYS + 2, 2, false), (3, 3, true)] {
            write(key, ver, delete).await.unwrap();
        }
        stand.must(Act::Backup { node: vector(), kind: BackupKind::Incremental }).await;
        write(LOADED_KEYS + 4, 4, false).await.unwrap();
        let moment = Act::Restore { node: vector(), scope: RestoreScope::Moment, model: None };
        // All of its own disk is lost.
        stand.must(Act::Kill { node: vector() }).await;
        stand.must(Act::Wipe { node: vector() }).await;
        stand.must(Act::Start { node: vector() }).await;
        assert!(system.read(1).await.is_err(), "its metadata is gone, and with it the collection");
        println!("wiped: {}", stand.must(moment.clone()).await);
        let all = everything(&stand).await;
        assert_eq!(all.len() as u64, SEEDED, "one is new, one removed, one was never backed up");
        for (key, reading) in &all {
            let wanted = if *key == 1 { 1 } else { key.saturating_sub(LOADED_KEYS) };
            assert_eq!(*reading, Reading::Ver(wanted), "{key}");
        }
        // It takes writes, and a kill loses nothing of them.
        write(LOADED_KEYS + 5, 5, false).await.unwrap();
        stand.must(Act::Kill { node: vector() }).await;
        stand.must(Act::Start { node: vector() }).await;
        assert_eq!(everything(&stand).await.len() as u64, SEEDED + 1);
        stand.tear_down().await;
    });
}

/// Metadata that is older than the objects is refused before anything is overwritten.
pub(crate) fn a_backup_of_two_moments_is_refused() {
    block_on(async {
        let stand = Stand::of(small(), None, Choices::new());
        stand.host.launch().await.unwrap();
        seed(&stand).await;
        stand.must(Act::Backup { node: vector(), kind: BackupKind::Full }).await;
        let (what, how) = (Artifact::Backup, Damage::Swap);
        println!("{}", stand.must(Act::Damage { node: vector(), what, how, fraction: 1.0, seed: 1 }).await);
        let before = everything(&stand).await;
        let moment = Act::Restore { node: vector(), scope: RestoreScope::Moment, model: None };
        let refused = stand.host.act(&moment).await.outcome;
        println!("{refused:?}");
        let said = refused.text();
        assert!(!refused.observed() && said.contains("are of different moments"), "{said}");
        assert!(said.contains("nothing was overwritten"), "{said}");
        assert_eq!(everything(&stand).await, before, "it serves as before");
        stand.tear_down().await;
    });
}

fn passes(text: &[u8]) {
    all_but_late_pass(&play(shipped(text), None));
}

pub(crate) fn a_loud_index_is_rebuilt() {
    passes(include_bytes!("../../../scenarios/docker/index_loud.toml"));
}

pub(crate) fn a_latent_index_is_rebuilt() {
    passes(include_bytes!("../../../scenarios/docker/index_latent.toml"));
}

pub(crate) fn a_silent_index_is_found_by_questions_with_known_answers() {
    passes(include_bytes!("../../../scenarios/docker/index_silent.toml"));
}

pub(crate) fn a_fatal_index_is_put_back() {
    passes(include_bytes!("../../../scenarios/docker/index_fatal.toml"));
}

pub(crate) fn a_trap_is_restored() {
    passes(include_bytes!("../../../scenarios/docker/index_trap.toml"));
}

pub(crate) fn a_sprung_trap_fails() {
    let report = play(shipped(include_bytes!("../../../scenarios/docker/negative/trap_sprung.toml")), None);
    let failed = report.findings.iter().find(|f| f.objective == "rto" && f.subject == "rag");
    assert!(failed.is_some_and(|f| f.verdict == Fail), "{:#?}", report.findings);
}

pub(crate) fn lost_metadata_is_restored() {
    passes(include_bytes!("../../../scenarios/docker/metadata_lost.toml"));
}

pub(crate) fn old_metadata_is_found_and_restored() {
    passes(include_bytes!("../../../scenarios/docker/metadata_old.toml"));
}

pub(crate) fn a_moment_is_put_back() {
    passes(include_bytes!("../../../scenarios/docker/metadata_moment.toml"));
}

pub(crate) fn mixed_moments_fail() {
    let report = play(shipped(include_bytes!("../../../scenarios/docker/negative/moments_mixed.toml")), None);
    let failed = report.findings.iter().find(|f| f.objective == "rto" && f.subject == "rag");
    assert!(failed.is_some_and(|f| f.verdict == Fail), "{:#?}", report.findings);
}

pub(crate) fn a_lost_log_fails() {
    let report = play(shipped(include_bytes!("../../../scenarios/docker/negative/log_lost.toml")), None);
    let rpo = report.findings.iter().find(|f| f.objective == "rpo" && f.subject == "vector");
    assert!(rpo.is_some_and(|f| f.verdict == Fail), "{:#?}", report.findings);
}

/// An image that is no Milvus is told with what it said.
pub(crate) fn an_image_that_is_no_milvus_is_told_with_its_log() {
    block_on(async {
        let other = Choices::from([(Role::Vector, "gameday/postgres:15".to_owned())]);
        let stand = Stand::of(small(), None, other);
        let refused = stand.host.launch().await.unwrap_err();
        assert!(refused.what.contains("this image has no milvus"), "{refused}");
        assert_eq!(refused.what.matches("this image has no milvus").count(), 1, "told once: {refused}");
        assert!(refused.remedy.contains("gameday/postgres:15 is Milvus 2.3"), "{refused}");
        stand.tear_down().await;
    });
}

pub(crate) fn a_vector_role_without_objects_is_refused() {
    let mut plan = small();
    plan.topology.nodes.retain(|node| node.role == Role::Vector);
    let folder = tempfile::tempdir().unwrap();
    let exe = std::env::current_exe().unwrap();
    let config = adapters::docker::DockerConfig {
        run: crate::common::run_id("docker"),
        folder: folder.path().to_owned(),
        exe,
        plan,
        flaw: None,
        images: Choices::new(),
    };
    let refused = adapters::docker::DockerHost::new(config).unwrap_err();
    assert!(refused.remedy.contains("add the role `object`"), "{refused}");
}
