//! `gameday run` and `gameday rehearse` for drills on somebody's own stack.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use adapters::local::sweep::session;
use adapters::own::{
    command::Show,
    config::Config,
    fault::heal::{PLACES, Places},
    play,
    secrets::Secrets,
};
use harness::{
    clock::Clock,
    drill::stop,
    journal::{Ending, Journal, digest},
    own::{
        event::{self, RestoreBegan},
        fault::{self, event::FaultBegan},
    },
};

use super::{AnyDrill, Loaded, live};
use crate::{
    exit::Failure,
    machine,
    run::{
        folder::{Folder, disk_failed},
        runtime,
        signals::Signals,
    },
};

/// Refuses to touch a stack that the command line does not name.
pub(crate) fn allowed(loaded: &Loaded, named: Option<&str>) -> Result<(), Failure> {
    let stack = &loaded.drill.stack().name;
    match named {
        Some(name) if name == stack => Ok(()),
        Some(name) => Err(Failure::usage(
            format!("`{}` is a drill on stack `{stack}`, and --stack says `{name}`", loaded.path.display()),
            "name the stack that is to be drilled",
        )),
        None => Err(Failure::usage(
            format!("`{}` is a drill on stack `{stack}`, which is not gameday's own", loaded.path.display()),
            format!("say that you mean it: --stack {stack}"),
        )),
    }
}

/// Plays a drill and leaves its journal in the run's folder.
pub(crate) fn play(
    loaded: &Loaded,
    folder: &Folder,
    (rehearsed, shown): (bool, bool),
    secrets: &Arc<Secrets>,
    signals: &Signals,
) -> Result<(), Failure> {
    let wrong = |e: std::io::Error| disk_failed(folder.path(), &e);
    prepare(loaded, folder).map_err(wrong)?;
    let now = SystemTime::now();
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let started_unix_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
    let exe = std::env::current_exe().map_err(|e| {
        Failure::environment(format!("this program's own file is unknown: {e}"), "mount /proc")
    })?;
    let absolute = folder.path().canonicalize().map_err(wrong)?;
    let runtime = runtime().map_err(|e| {
        Failure::environment(format!("no thread can be started: {e}"), "see `gameday doctor`")
    })?;
    let show = live::show(shown);
    let (stopper, stop) = stop();
    let begin = || {
        folder.begin();
        signals.arm(stopper, folder.path());
    };
    let ended = match &loaded.drill {
        AnyDrill::Restore(drill) => {
            let began = RestoreBegan {
                format: event::FORMAT,
                run: folder.run().to_owned(),
                started: folder.started().to_owned(),
                started_unix_us,
                gameday: env!("CARGO_PKG_VERSION").into(),
                drill_sha256: digest(&loaded.bytes),
                stack_sha256: digest(&loaded.stack_bytes),
                drill: drill.restore.clone(),
                stack: drill.stack.clone(),
                overrides: loaded.overrides.clone(),
                machine: machine::words(),
                rehearsed,
            };
            let config = config(loaded, drill.as_ref().clone(), folder, (absolute, exe), (secrets, show));
            runtime.block_on(async {
                let clock = Clock::real();
                let observer = live::observer(shown, live::restore);
                let journal = Journal::create(&folder.journal(), clock, observer).map_err(wrong)?;
                begin();
                Ok(play::play(config, began, &journal, clock, stop).await)
            })
        }
        AnyDrill::Fault(drill) => {
            let began = FaultBegan {
                format: fault::event::FORMAT,
                run: folder.run().to_owned(),
                started: folder.started().to_owned(),
                started_unix_us,
                gameday: env!("CARGO_PKG_VERSION").into(),
                drill_sha256: digest(&loaded.bytes),
                stack_sha256: digest(&loaded.stack_bytes),
                drill: drill.fault.clone(),
                stack: drill.stack.clone(),
                overrides: loaded.overrides.clone(),
                machine: machine::words(),
                rehearsed,
            };
            let config = config(loaded, drill.as_ref().clone(), folder, (absolute, exe), (secrets, show));
            runtime.block_on(async {
                let clock = Clock::real();
                let observer = live::observer(shown, live::fault());
                let journal = Journal::create(&folder.journal(), clock, observer).map_err(wrong)?;
                begin();
                Ok(adapters::own::fault::play(config, began, &journal, clock, stop).await)
            })
        }
    };
    signals.disarm();
    let played = ended.and_then(|ended: std::io::Result<Ending>| {
        ended.map(drop).map_err(|e| {
            let what = format!("`{}` could not be written to its end: {e}", folder.journal().display());
            Failure::environment(what, "free the disk; `gameday heal` removes what is left of the run")
        })
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    played
}

/// What a drill is played with.
fn config<D>(
    loaded: &Loaded,
    drill: D,
    folder: &Folder,
    (absolute, exe): (PathBuf, PathBuf),
    (secrets, show): (&Arc<Secrets>, Option<Show>),
) -> Config<D> {
    Config {
        drill,
        dir: loaded.dir.clone(),
        stack_dir: loaded.stack_dir.clone(),
        run: folder.run().to_owned(),
        folder: absolute,
        exe,
        secrets: secrets.clone(),
        show,
    }
}

/// What `heal` needs, and a folder that nobody else reads.
fn prepare(loaded: &Loaded, folder: &Folder) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700))?;
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes);
    write("stack.toml", &loaded.stack_bytes)?;
    write("run.json", format!("{}\n", serde_json::json!({ "run": folder.run() })).as_bytes())?;
    let (dir, stack_dir) = (loaded.dir.clone(), loaded.stack_dir.clone());
    let places = Places { dir, stack_dir, session: session() };
    write(PLACES, serde_json::to_string(&places).map_err(std::io::Error::other)?.as_bytes())
}

/// The folder of a drill's run.
pub(crate) fn folder(out: &Path, loaded: &Loaded) -> Result<Folder, Failure> {
    Folder::create(out, loaded.drill.name(), &loaded.bytes)
}
