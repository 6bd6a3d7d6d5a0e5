//! The user's own command: a process group of its own in the run's folder, ended when nobody waits for it any more.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use harness::ports::Effect;
use harness::topology::NodeId;

use super::node::Gate;
use super::proc::{Exit, Proc, Spawn};

/// How much of what a command said goes into the journal.
const TAIL: u64 = 2 << 10;

/// The variable by which a command is told something of a node, say its address.
pub(crate) fn variable(node: &NodeId, what: &str) -> OsString {
    format!("GAMEDAY_{}_{what}", node.slug().replace('-', "_").to_uppercase()).into()
}

/// Runs a command and waits for its end; `n` tells its log from those of others. Dropping this kills the command and
/// what it started.
pub(crate) async fn run(
    gate: &Gate,
    (run, folder): (&str, &Path),
    n: u32,
    words: &[String],
    mut env: Vec<(OsString, OsString)>,
) -> Result<Effect, Effect> {
    let (program, args) = words.split_first().ok_or_else(|| Effect::failed("no command is given"))?;
    let logs = folder.join("logs");
    std::fs::create_dir_all(&logs).map_err(|e| Effect::failed(format!("{}: {e}", logs.display())))?;
    let log = logs.join(format!("command-{n}.log"));
    env.push(("GAMEDAY_RUN_DIR".into(), folder.into()));
    let spec = Spawn {
        program: program.into(),
        args: args.iter().map(Into::into).collect(),
        env,
        dir: Some(folder.to_owned()),
        run: run.to_owned(),
        log: log.clone(),
    };
    let process = gate.spawn(&spec).map_err(Effect::failed)?;
    Ok(finish(process, &log).await)
}

async fn finish(mut command: Proc, log: &Path) -> Effect {
    // It is to find an end of input, not a pipe that stays open.
    command.cut_lifeline();
    let exit = command.wait_exit().await;
    let said = tail(log);
    let text = match said.trim() {
        "" => format!("{exit}, and said nothing"),
        said => format!("{exit}; it said: {said}"),
    };
    if exit == Exit::Code(0) { Effect::observed(text) } else { Effect::failed(text) }
}

/// The end of a log, as text.
pub(super) fn tail(log: &Path) -> String {
    let read = || {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut end = Vec::new();
        file.take(TAIL).read_to_end(&mut end)?;
        std::io::Result::Ok(end)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}
