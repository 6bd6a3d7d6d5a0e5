//! Acts one by one: what they do, and that they leave nothing behind however they end.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use adapters::local::sweep::find;
use harness::act::{
    Act, Artifact, BackupKind, CutMode, Damage, Direction, EngineChoice, Outcome, RestoreScope,
};
use harness::contract;
use harness::ports::{Reading, Write};
use harness::topology::{NodeId, Role};
use tokio::time::{sleep, timeout};

use crate::common::{block_on, watchdogs};
use crate::stand::{Stand, plan};

fn vector() -> NodeId {
    NodeId::new("east", Role::Vector)
}

fn object() -> NodeId {
    NodeId::new("east", Role::Object)
}

fn damage(what: Artifact, how: Damage) -> Act {
    Act::Damage { node: vector(), what, how, fraction: 0.1, seed: 5 }
}

impl Stand {
    pub(crate) async fn must(&self, act: Act) -> String {
        let effect = self.host.act(&act).await;
        assert!(effect.outcome.observed(), "{act}: {:?}", effect.outcome);
        effect.outcome.text().to_owned()
    }

    async fn write(&self, role: Role, key: u64) {
        self.host.system(role).unwrap().write(Write { key, ver: 1, delete: false }).await.unwrap();
    }
}

pub(crate) fn the_contract_is_kept() {
    block_on(async {
        let stand = Stand::new(None);
        contract::all(stand.host.clone(), &stand.plan, &stand.corpus()).await;
        stand.is_clean();
        stand.tear_down().await;
    });
}

pub(crate) fn commands_run_in_the_runs_folder_and_die_with_their_call() {
    let run = |script: &str| Act::Command { run: ["sh", "-c", script].map(String::from).to_vec() };
    block_on(async {
        let stand = Stand::new(None);
        stand.host.launch().await.unwrap();
        let said = stand
            .must(run("pwd; echo $GAMEDAY_RUN; echo at $GAMEDAY_EAST_VECTOR_ADDR >&2; cat; exec sh -c 'echo $0' end"))
            .await;
        let folder = stand.folder().canonicalize().unwrap();
        for expected in [folder.to_str().unwrap(), &stand.run, "at 127.0.0.1:", "end"] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
        let failed = stand.host.act(&run("echo why; exit 3")).await.outcome;
        assert!(
            matches!(&failed, Outcome::Failed(w) if w.contains("exit code 3") && w.contains("why")),
            "{failed:?}"
        );
        let missing = stand.host.act(&Act::Command { run: vec!["./no-such-program".into()] }).await;
        assert!(matches!(missing.outcome, Outcome::Failed(_)), "{missing:?}");
        let wordy = stand.must(run("yes | head -c 1000000")).await;
        assert!(wordy.len() < 3000);
        let nodes = find(&stand.run).unwrap().len();
        let endless = run("sleep 1000 & echo > started; sleep 1000");
        let cut_short = async {
            while !stand.folder().join("started").exists() {
                sleep(Duration::from_millis(5)).await;
            }
            assert!(find(&stand.run).unwrap().len() > nodes);
        };
        tokio::select! {
            effect = stand.host.act(&endless) => panic!("{effect:?}"),
            () = cut_short => {}
        }
        until("the command is gone", || find(&stand.run).unwrap().len() == nodes).await;
        stand.tear_down().await;
    });
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

pub(crate) fn acts_dropped_half_way_leave_nothing_behind() {
    let (mode, direction) = (CutMode::Blackhole, Direction::Both);
    let acts = [
        Act::Rebuild { node: vector(), engine: EngineChoice::Auto },
        Act::Backup { node: vector(), kind: BackupKind::Full },
        damage(Artifact::Index, Damage::Swap),
        Act::Restore { node: vector(), scope: RestoreScope::Full, model: None },
        Act::Cut { from: None, to: vector(), mode, direction },
        Act::Mend { from: None, to: vector() },
        Act::Kill { node: vector() },
        Act::Start { node: vector() },
        Act::Pause { node: object() },
        Act::Teardown,
    ];
    block_on(async {
        for patience in [0, 3, 30] {
            let stand = Stand::new(None);
            stand.host.launch().await.unwrap();
            for key in 0..200 {
                stand.write(Role::Vector, key).await;
            }
            for act in &acts {
                let _ = timeout(Duration::from_millis(patience), stand.host.act(act)).await;
            }
            stand.tear_down().await;
        }
    });
}

pub(crate) fn launches_dropped_half_way_leave_nothing_behind() {
    block_on(async {
        for patience in [0, 1, 2, 4, 8, 12, 16, 24] {
            let stand = Stand::new(None);
            let _ = timeout(Duration::from_millis(patience), stand.host.launch()).await;
            stand.host.teardown().await.unwrap();
            // A watchdog that was not on guard yet heals once more, and leaves.
            until("the watchdog is gone", || watchdogs(&stand.run).is_empty()).await;
            stand.is_clean();
        }
    });
}

pub(crate) fn a_program_that_is_no_node_is_an_environment_error() {
    block_on(async {
        let stand = Stand::for_plan(plan("2m"), "/bin/true".into(), None).unwrap();
        let error = stand.host.launch().await.unwrap_err();
        assert!(error.what.contains("watchdog"), "{error}");
        stand.tear_down().await;
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        let this = std::env::current_exe().unwrap();
        let script = format!(
            "#!/bin/sh\n[ $1 = __watchdog ] && exec {} \"$@\"\necho no node today; exit 7\n",
            this.display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let stand = Stand::for_plan(plan("2m"), program, None).unwrap();
        let error = stand.host.launch().await.unwrap_err();
        assert!(error.what.contains("exit code 7") && error.what.contains("no node today"), "{error}");
        stand.tear_down().await;
    });
}

pub(crate) fn the_loss_of_the_watchdog_is_told() {
    block_on(async {
        let stand = Stand::new(None);
        stand.host.launch().await.unwrap();
        let mut told = stand.host.unsafe_to_continue();
        assert!(timeout(Duration::from_millis(100), &mut told).await.is_err(), "it is on guard");
        let pid = watchdogs(&stand.run)[0].to_string();
        assert!(std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
        let why = timeout(Duration::from_secs(5), &mut told).await.unwrap();
        drop(told);
        assert!(why.what.contains("watchdog"), "{why}");
        stand.tear_down().await;
    });
}

pub(crate) fn swapped_files_are_noticed_and_restored() {
    block_on(async {
        let stand = Stand::new(None);
        stand.host.launch().await.unwrap();
        for key in 0..300 {
            stand.write(Role::Vector, key).await;
        }
        stand.must(Act::Rebuild { node: vector(), engine: EngineChoice::Auto }).await;
        stand.must(Act::Backup { node: vector(), kind: BackupKind::Full }).await;
        for what in [Artifact::Segment, Artifact::Log, Artifact::Manifest] {
            stand.must(damage(what, Damage::Swap)).await;
            stand.must(Act::Kill { node: vector() }).await;
            let started = stand.must(Act::Start { node: vector() }).await;
            assert!(started.contains("degraded"), "{what}: {started}");
            stand.must(Act::Restore { node: vector(), scope: RestoreScope::Full, model: None }).await;
            let status = stand.must(Act::Start { node: vector() }).await;
            assert!(status.contains("already runs") && status.contains("healthy, 300 records"), "{status}");
        }
        let read = stand.host.system(Role::Vector).unwrap().read(7).await;
        assert_eq!(read, Ok(Some(Reading::Ver(1))));
        stand.tear_down().await;
    });
}

pub(crate) fn silent_faults_are_seen_to_do_nothing() {
    let (mode, direction) = (CutMode::Refuse, Direction::Both);
    let by = harness::time::Dur::from_millis(500);
    block_on(async {
        let stand = Stand::new(Some("silent-fault"));
        stand.host.launch().await.unwrap();
        stand.write(Role::Vector, 1).await;
        stand.must(Act::Rebuild { node: vector(), engine: EngineChoice::Auto }).await;
        for act in [
            Act::Kill { node: vector() },
            Act::Stop { node: vector() },
            Act::Pause { node: vector() },
            Act::Cut { from: None, to: vector(), mode, direction },
            Act::Delay { from: None, to: vector(), by },
            damage(Artifact::Index, Damage::Flip),
            damage(Artifact::Manifest, Damage::Delete),
        ] {
            let outcome = stand.host.act(&act).await.outcome;
            assert!(matches!(outcome, Outcome::NotObserved(_)), "{act}: {outcome:?}");
            assert_eq!(stand.host.system(Role::Vector).unwrap().read(1).await, Ok(Some(Reading::Ver(1))));
        }
        stand.tear_down().await;
    });
}

pub(crate) fn what_cannot_be_played_is_refused() {
    let this = || std::env::current_exe().unwrap();
    let refused = |flaw| Stand::for_plan(plan("2m"), this(), Some(flaw)).err().unwrap();
    assert!(refused("nonsense").remedy.contains("forgets-acked"));
    assert!(refused("duplicates-records").what.contains("duplicates-records"));
    assert!(Stand::for_plan(plan("2m"), "/no/such/program".into(), None).is_err());
}

fn damage_objects(what: Artifact, how: Damage, fraction: f64, seed: u64) -> Act {
    Act::Damage { node: object(), what, how, fraction, seed }
}

pub(crate) fn damaged_backups_are_seen_and_not_restored() {
    for how in [Damage::Flip, Damage::Truncate, Damage::Zero, Damage::Delete, Damage::Swap] {
        block_on(async {
            let stand = Stand::new(None);
            stand.host.launch().await.unwrap();
            let early = damage_objects(Artifact::Backup, how, 1.0, 1);
            assert!(!stand.host.act(&early).await.outcome.observed(), "there is no backup yet");
            for key in 0..200 {
                stand.write(Role::Vector, key).await;
            }
            stand.must(Act::Rebuild { node: vector(), engine: EngineChoice::Cpu }).await;
            stand.must(Act::Backup { node: vector(), kind: BackupKind::Full }).await;
            let restore = Act::Restore { node: vector(), scope: RestoreScope::Full, model: None };
            stand.must(restore.clone()).await;
            let effect = stand.host.act(&damage_objects(Artifact::Backup, how, 1.0, 5)).await;
            assert!(effect.outcome.observed(), "{how}: {effect:?}");
            let restored = stand.host.act(&restore).await.outcome;
            assert!(matches!(restored, Outcome::Failed(_)), "{how}: {restored:?}");
            stand.tear_down().await;
        });
    }
}

pub(crate) fn a_swapped_model_is_a_sound_object_of_another() {
    block_on(async {
        let stand = Stand::new(None);
        stand.host.launch().await.unwrap();
        let (swap, system) =
            (damage_objects(Artifact::Model, Damage::Swap, 1.0, 4), stand.host.system(Role::Object).unwrap());
        assert!(!stand.host.act(&swap).await.outcome.observed(), "there are no models yet");
        for key in 0..6 {
            stand.write(Role::Object, key).await;
        }
        let text = stand.must(swap).await;
        assert!(text.contains("model object 1"), "{text}");
        for key in 0..6 {
            let expected = if key == 1 { Reading::Corrupt } else { Reading::Ver(1) };
            assert_eq!(system.read(key).await.unwrap(), Some(expected), "{key}");
        }
        stand.tear_down().await;
        let stand = Stand::new(Some("silent-fault"));
        stand.host.launch().await.unwrap();
        for key in 0..3 {
            stand.write(Role::Object, key).await;
        }
        let nothing = stand.host.act(&damage_objects(Artifact::Model, Damage::Swap, 1.0, 4)).await.outcome;
        assert!(matches!(nothing, Outcome::NotObserved(_)), "{nothing:?}");
        stand.tear_down().await;
    });
}
