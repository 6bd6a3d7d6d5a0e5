//! `gameday run` and `gameday rehearse` for drills on somebody's own stack.

use std::{fs, path::Path, sync::Arc, time::SystemTime};

use adapters::own::{play, secrets::Secrets};
use harness::{
    clock::Clock,
    drill::stop,
    journal::{Journal, digest},
    own::event::{FORMAT, RestoreBegan},
};

use super::{Loaded, live};
use crate::{
    exit::Failure,
    machine,
    run::{
        folder::{Folder, disk_failed},
        runtime,
        signals::Signals,
    },
};

/// The file in a run's folder that says where its files lie; `gameday heal` needs them.
pub(super) const PLACES: &str = "files.json";

/// Where the files of a run lie.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Places {
    /// The folder of the drill's file.
    pub(super) dir: std::path::PathBuf,
    /// The folder of the stack's file.
    pub(super) stack_dir: std::path::PathBuf,
}

/// Refuses to touch a stack that the command line does not name.
pub(crate) fn allowed(loaded: &Loaded, named: Option<&str>) -> Result<(), Failure> {
    let stack = &loaded.drill.stack.name;
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
    let began = RestoreBegan {
        format: FORMAT,
        run: folder.run().to_owned(),
        started: folder.started().to_owned(),
        started_unix_us: u64::try_from(since.as_micros()).unwrap_or(u64::MAX),
        gameday: env!("CARGO_PKG_VERSION").into(),
        drill_sha256: digest(&loaded.bytes),
        stack_sha256: digest(&loaded.stack_bytes),
        drill: loaded.drill.restore.clone(),
        stack: loaded.drill.stack.clone(),
        overrides: loaded.overrides.clone(),
        machine: machine::words(),
        rehearsed,
    };
    let config = play::Config {
        drill: loaded.drill.clone(),
        dir: loaded.dir.clone(),
        stack_dir: loaded.stack_dir.clone(),
        run: folder.run().to_owned(),
        folder: folder.path().canonicalize().map_err(wrong)?,
        exe: std::env::current_exe().map_err(|e| {
            Failure::environment(format!("this program's own file is unknown: {e}"), "mount /proc")
        })?,
        secrets: secrets.clone(),
        show: live::show(shown),
    };
    let runtime = runtime().map_err(|e| {
        Failure::environment(format!("no thread can be started: {e}"), "see `gameday doctor`")
    })?;
    let played = runtime.block_on(async {
        let clock = Clock::real();
        let journal = Journal::create(&folder.journal(), clock, live::observer(shown)).map_err(wrong)?;
        folder.begin();
        let (stopper, stop) = stop();
        signals.arm(stopper, folder.path());
        let ended = play::play(config, began, &journal, clock, stop).await;
        signals.disarm();
        ended.map(drop).map_err(|e| {
            let what = format!("`{}` could not be written to its end: {e}", folder.journal().display());
            Failure::environment(what, "free the disk; `gameday heal` removes what is left of the run")
        })
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    played
}

/// What `heal` needs, and a folder that nobody else reads.
fn prepare(loaded: &Loaded, folder: &Folder) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700))?;
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes);
    write("stack.toml", &loaded.stack_bytes)?;
    write("run.json", format!("{}\n", serde_json::json!({ "run": folder.run() })).as_bytes())?;
    let places = Places { dir: loaded.dir.clone(), stack_dir: loaded.stack_dir.clone() };
    write(PLACES, serde_json::to_string(&places).map_err(std::io::Error::other)?.as_bytes())
}

/// The folder of a drill's run.
pub(crate) fn folder(out: &Path, loaded: &Loaded) -> Result<Folder, Failure> {
    Folder::create(out, &loaded.drill.restore.name, &loaded.bytes)
}
