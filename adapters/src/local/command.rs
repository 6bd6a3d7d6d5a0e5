//! The user's own command: a process group of its own in the run's folder, ended when nobody waits for it any more. It
//! is told where the nodes are, who may enter them, and how to have one started, all of it in variables.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use harness::ports::{Effect, Host};
use harness::topology::{NodeId, Topology};

use super::node::Gate;
use super::orders::Orders;
use super::private;
use super::proc::{Exit, Proc, Spawn};

/// How much of what a command said goes into the journal.
const TAIL: u64 = 2 << 10;

/// The variable by which a command is told something of a node, say its address.
pub(crate) fn variable(node: &NodeId, what: &str) -> OsString {
    format!("GAMEDAY_{}_{what}", node.slug().replace('-', "_").to_uppercase()).into()
}

/// What a command is told in variables of its environment. Secrets among them never reach the journal.
#[derive(Default)]
pub(crate) struct Told {
    env: Vec<(OsString, OsString)>,
    secrets: Vec<String>,
}

impl Told {
    /// Anything that everybody may know.
    pub(crate) fn tell(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.env.push((name.into(), value.into()));
    }

    /// A password or a key.
    pub(crate) fn confide(&mut self, name: impl Into<OsString>, secret: &str) {
        self.tell(name, secret);
        self.secrets.push(secret.to_owned());
    }

    /// What was said, without what was confided.
    fn discreet(&self, said: &str) -> String {
        self.secrets.iter().filter(|s| !s.is_empty()).fold(said.to_owned(), |said, s| said.replace(s, "***"))
    }
}

/// The run that a command belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Errand<'a> {
    /// Who may start processes.
    pub(crate) gate: &'a Gate,
    /// The world that carries out the command's orders.
    pub(crate) host: &'a dyn Host,
    /// Its nodes.
    pub(crate) topology: &'a Topology,
    /// This program.
    pub(crate) exe: &'a Path,
    /// The run's id.
    pub(crate) run: &'a str,
    /// The run's folder.
    pub(crate) folder: &'a Path,
    /// Tells its log from those of others.
    pub(crate) n: u32,
}

/// Runs a command and waits for its end. Dropping this kills the command and what it started.
pub(crate) async fn run(errand: Errand<'_>, words: &[String], mut told: Told) -> Result<Effect, Effect> {
    let Errand { gate, host, topology, exe, run, folder, n } = errand;
    let (program, args) = words.split_first().ok_or_else(|| Effect::failed("no command is given"))?;
    let logs = folder.join("logs");
    let log = logs.join(format!("command-{n}.log"));
    // It may say what it was confided.
    private::folder(&logs)
        .and_then(|()| private::write(&log, b""))
        .map_err(|e| Effect::failed(format!("{}: {e}", log.display())))?;
    let orders = Orders::open().await.map_err(|e| Effect::failed(format!("no port for its orders: {e}")))?;
    let (name, value) = orders.variable();
    told.tell(name, value);
    told.secrets.push(orders.secret());
    told.tell("GAMEDAY", exe);
    told.tell("GAMEDAY_RUN_DIR", folder);
    let spec = Spawn {
        program: program.into(),
        args: args.iter().map(Into::into).collect(),
        env: told.env.clone(),
        dir: Some(folder.to_owned()),
        run: run.to_owned(),
        log: log.clone(),
    };
    let process = gate.spawn(&spec).map_err(Effect::failed)?;
    let effect = tokio::select! {
        effect = finish(process, &log, &told) => effect,
        () = orders.serve(host, topology) => Effect::failed("nobody carries out its orders any more"),
    };
    let ordered = orders.carried_out();
    Ok(if ordered.is_empty() { effect } else { effect.with("ordered", told.discreet(&ordered.join("; "))) })
}

async fn finish(mut command: Proc, log: &Path, told: &Told) -> Effect {
    // It is to find an end of input, not a pipe that stays open.
    command.cut_lifeline();
    let exit = command.wait_exit().await;
    let said = told.discreet(&tail(log));
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
