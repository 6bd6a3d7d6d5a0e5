//! A drill in real time, against whatever host it is given.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use harness::{
    clock::Clock,
    drill::{drill, stop},
    journal::{Began, FORMAT, Journal, Observer, Onlooker},
    ports::{EnvironmentError, Host, WorldCard},
    urgency,
};
use tokio::runtime::Runtime;

use super::{
    folder::{Folder, disk_failed},
    select::Drill,
    signals::Signals,
};
use crate::{exit::Failure, machine, say};

/// What the harness's own tasks may still take once the drill has ended.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// What the journal of a drill in real time begins with.
pub(super) fn began(drill: &Drill, folder: &Folder, world: WorldCard, flaw: Option<String>) -> Began {
    Began {
        format: FORMAT,
        run: folder.run().to_owned(),
        started: folder.started().to_owned(),
        gameday: env!("CARGO_PKG_VERSION").into(),
        world: world.name,
        counts_as: world.counts_as,
        scenario_sha256: drill.sha256(),
        scenario: drill.loaded.scenario.clone(),
        overrides: drill.overrides.clone(),
        flaw,
        machine: machine::words(),
    }
}

/// Plays a drill to its end; a signal ends it early. `host` is called once the journal is open.
pub(super) fn play(
    drill: &Drill,
    folder: &Folder,
    began: Began,
    host: impl FnOnce() -> Result<Arc<dyn Host>, EnvironmentError>,
    (observer, onlooker): (Option<Observer>, Option<Onlooker>),
    signals: &Signals,
) -> Result<(), Failure> {
    let runtime = runtime().map_err(|e| {
        Failure::environment(format!("no thread can be started: {e}"), "see `gameday doctor`")
    })?;
    let path = folder.journal();
    let played = runtime.block_on(async {
        let clock = Clock::real();
        let journal = Journal::create(&path, clock, observer).map_err(|e| disk_failed(folder.path(), &e))?;
        let host = host().inspect_err(|_| {
            // Nothing began: an empty journal would look like a destroyed one.
            drop(fs::remove_file(&path));
        })?;
        folder.begin();
        journal.show_progress(onlooker);
        let (stopper, stop) = stop();
        signals.arm(stopper, folder.path());
        let ended = self::drill(&drill.loaded.plan, began, host, &journal, clock, stop).await;
        signals.disarm();
        ended.map(drop).map_err(|e| journal_failed(folder, &e))
    });
    runtime.shutdown_timeout(SHUTDOWN_LIMIT);
    played
}

/// The runtime of one drill. Its workers send the probes and read the answers, so they are urgent; its other threads wait
/// for files or compute, and are not. Two workers more than cores: one that waits for the disk, before a fault, must
/// not keep a probe waiting.
pub(crate) fn runtime() -> io::Result<Runtime> {
    const WORKER: &str = "gameday-worker";
    let workers = machine::cores().max(2) + 2;
    let named = AtomicUsize::new(0);
    // The workers are the first to be named.
    let name = move || match named.fetch_add(1, Ordering::Relaxed) {
        n if n < workers => WORKER.to_owned(),
        _ => "gameday-helper".to_owned(),
    };
    let started = || {
        if thread::current().name() == Some(WORKER) {
            urgency::raise();
        }
    };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name_fn(name)
        .on_thread_start(started)
        .enable_all()
        .build()
}

fn journal_failed(folder: &Folder, e: &io::Error) -> Failure {
    Failure::environment(
        format!(
            "`{}` could not be written to its end: {} ({e}); the stack was torn down",
            folder.journal().display(),
            e.kind()
        ),
        format!(
            "free the disk, or choose another folder with --out, and play the drill again; \
             `{} heal {}` makes sure that nothing is left",
            say::program(),
            folder.path().display()
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use harness::{
        journal::{EventKind, Phase},
        ports::CountsAs,
        scenario::WorldName,
        sim::SimHost,
    };

    use super::{
        super::{select, signals::tests::ctrl_c},
        *,
    };
    use crate::{exit::Exit, judged::judge};

    /// The simulated host in real time: as patient as a real one, and without processes.
    fn play_until(out: &Path, phase: Phase) -> (Folder, Result<(), Failure>) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/good.toml");
        let quick = [("objectives.stable_for".to_owned(), "1s".to_owned())];
        let (drills, _) = select::drills(&[file], &quick, WorldName::Local).unwrap().unwrap();
        let folder = Folder::create(out, drills[0].name(), &drills[0].input.bytes).unwrap();
        let signals = Signals::default();
        let heard = signals.clone();
        let observer: Observer = Box::new(move |event| {
            if matches!(event.kind, EventKind::Entered(p) if p == phase) {
                ctrl_c(&heard);
            }
        });
        let card = WorldCard { name: WorldName::Local, counts_as: CountsAs::Rehearsal };
        let host = || Ok(Arc::new(SimHost::new(&drills[0].loaded.plan, None)) as Arc<dyn Host>);
        let began = began(&drills[0], &folder, card, None);
        let played = play(&drills[0], &folder, began, host, (Some(observer), None), &signals);
        (folder, played)
    }

    #[test]
    fn ctrl_c_undoes_reports_and_is_never_a_pass() {
        for phase in [Phase::Launch, Phase::Settle, Phase::Storm] {
            let out = tempfile::tempdir().unwrap();
            let (folder, played) = play_until(out.path(), phase);
            played.unwrap();
            let judged = judge(&folder.journal()).unwrap();
            assert_eq!(judged.exit, Exit::Unknown, "{phase}");
            let headline = reports::headline(&judged.report);
            assert!(headline.starts_with("UNKNOWN: the drill was given up: Ctrl-C"), "{phase}: {headline}");
            let said: Vec<&str> = judged.report.timeline.iter().map(|m| m.what.as_str()).collect();
            assert!(said.contains(&"undo") && said.contains(&"teardown"), "{phase}: {said:?}");
        }
    }

    #[test]
    fn who_sends_is_urgent_and_who_computes_is_not() {
        // As urgent as whoever runs the tests.
        let usual = urgency::own();
        let runtime = runtime().unwrap();
        let sends = runtime.block_on(async { tokio::spawn(async { urgency::own() }).await.unwrap() });
        assert_eq!(sends, urgency::allowed());
        let helpers = runtime.block_on(async {
            let helpers: Vec<_> = (0..8).map(|_| tokio::task::spawn_blocking(urgency::own)).collect();
            let mut found = Vec::new();
            for helper in helpers {
                found.push(helper.await.unwrap());
            }
            found
        });
        assert_eq!(helpers, [usual; 8]);
    }

    #[test]
    fn a_host_that_cannot_be_made_leaves_no_journal() {
        let out = tempfile::tempdir().unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/good.toml");
        let (drills, _) = select::drills(&[file], &[], WorldName::Local).unwrap().unwrap();
        let folder = Folder::create(out.path(), drills[0].name(), &drills[0].input.bytes).unwrap();
        let card = WorldCard { name: WorldName::Local, counts_as: CountsAs::Rehearsal };
        let began = began(&drills[0], &folder, card, None);
        let none = || Err(EnvironmentError { what: "no port".into(), remedy: "free one".into() });
        let failure = play(&drills[0], &folder, began, none, (None, None), &Signals::default()).unwrap_err();
        assert_eq!(failure.exit, Exit::Environment);
        assert!(!folder.journal().exists());
    }
}
