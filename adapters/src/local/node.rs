//! One node: a process, its files, its ports, and the links in front of them.
//!
//! The ports are held for as long as the node lives, so they survive restarts. Processes are started under the run's
//! [`Gate`], so that none can be started once the teardown has begun. No lock is held while an act waits.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use harness::ports::Effect;
use harness::shortage;
use harness::topology::NodeId;
use tokio::time::sleep;

use super::command::tail;
use super::hidden::NODE;
use super::links::Links;
use super::port::Port;
use super::private;
use super::proc::{Proc, ProcError, Spawn};
use super::product::Product;
use crate::replica::{ReplicaClient, ReplicaConfig};

/// How long a node may take to load its files and answer.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long one that runs already may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long a node that was asked to stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);
/// One question or order at the replication port.
const CONTROL_LIMIT: Duration = Duration::from_secs(2);

/// Closed by the teardown: nothing is started any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<bool>>);

impl Gate {
    /// Starts something, unless the gate is closed. It cannot close meanwhile.
    pub(crate) fn pass<T>(&self, start: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        let closed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *closed { Err("the stack is being torn down".into()) } else { start() }
    }

    /// Starts a process.
    pub(crate) fn spawn(&self, spec: &Spawn) -> Result<Proc, String> {
        self.pass(|| Proc::spawn(spec).map_err(|e| e.to_string()))
    }

    /// From now on nothing starts.
    pub(crate) fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

/// What a node's processes have in common.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    /// The run's id.
    pub(super) run: String,
    /// The program that becomes the node.
    pub(super) exe: PathBuf,
    /// Where its configuration is written.
    pub(super) config: PathBuf,
    /// Its log.
    pub(super) log: PathBuf,
}

#[derive(Debug, Default)]
struct Slot {
    proc: Option<Arc<Proc>>,
    starts: u32,
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) product: Product,
    pub(super) port: Port,
    pub(super) links: Links,
    replication: Port,
    /// Its part in replication, if it has one; from the launch on.
    part: OnceLock<ReplicaConfig>,
    setup: Setup,
    gate: Gate,
    slot: Mutex<Slot>,
}

impl Node {
    /// A node that was not started yet, with its users' port and that of its followers.
    pub(super) fn new(id: NodeId, product: Product, ports: [Port; 2], setup: Setup, gate: Gate) -> Self {
        let [port, replication] = ports;
        let links = Links::new(gate.clone(), port.addr(), replication.addr());
        let (part, slot) = (OnceLock::new(), Mutex::default());
        Self { id, product, port, links, replication, part, setup, gate, slot }
    }

    /// From its first start on, the node takes part in replication.
    pub(super) fn join(&self, mut part: ReplicaConfig) {
        part.port = self.replication.addr().port();
        // A second launch changes nothing.
        self.part.get_or_init(|| part);
    }

    /// Whoever orders the node to take writes, or none, asks here; `None` if it takes no part in replication.
    pub(super) fn control(&self) -> Option<ReplicaClient> {
        self.part.get().map(|_| ReplicaClient::new(self.replication.addr(), CONTROL_LIMIT))
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn proc(&self) -> Option<Arc<Proc>> {
        self.slot().proc.clone()
    }

    /// The process, if one runs.
    pub(super) fn running(&self) -> Option<Arc<Proc>> {
        self.proc().filter(|proc| proc.exit().is_none())
    }

    /// The process, and whether it was started by this call.
    fn ensure_process(&self) -> Result<(Arc<Proc>, bool), String> {
        let mut slot = self.slot();
        if let Some(proc) = slot.proc.as_ref().filter(|proc| proc.exit().is_none()) {
            return Ok((proc.clone(), false));
        }
        let proc = Arc::new(self.gate.pass(|| self.spawn(slot.starts))?);
        slot.proc = Some(proc.clone());
        slot.starts += 1;
        Ok((proc, true))
    }

    /// Starts a process, for the n-th time.
    fn spawn(&self, start: u32) -> Result<Proc, String> {
        let config = self.product.config(self.port.addr().port(), start, self.part.get().cloned());
        let written = serde_json::to_vec(&config)
            .map_err(std::io::Error::other)
            .and_then(|bytes| private::write(&self.setup.config, &bytes));
        let written = written.inspect_err(|e| _ = shortage::notice(e));
        written.map_err(|e| format!("{}: {e}", self.setup.config.display()))?;
        let spec = Spawn {
            program: self.setup.exe.clone(),
            args: vec![NODE.into(), self.setup.config.clone().into()],
            env: Vec::new(),
            dir: None,
            run: self.setup.run.clone(),
            log: self.setup.log.clone(),
        };
        Proc::spawn(&spec).map_err(|e| e.to_string())
    }

    /// Starts the process and waits until it answers, asked directly and not over the link.
    pub(super) async fn start(&self) -> Effect {
        let (proc, fresh) = match self.ensure_process() {
            Ok(started) => started,
            Err(why) => return Effect::failed(why),
        };
        let (pid, began) = (proc.pid(), Instant::now());
        let limit = if fresh { START_LIMIT } else { ANSWER_LIMIT };
        loop {
            if let Some(exit) = proc.exit() {
                let said = tail(&self.setup.log);
                return Effect::failed(format!("process {pid} ended with {exit}; its log: {}", said.trim()));
            }
            let silence = match self.product.status().await {
                Ok(state) => {
                    if let Err(why) = self.product.provide().await {
                        return Effect::failed(format!("process {pid} answers, and lacks something: {why}"));
                    }
                    let how = if fresh { "answers" } else { "already runs and answers" };
                    let took = began.elapsed().as_secs_f64();
                    return Effect::observed(format!("process {pid} {how} after {took:.2} s: {state}"))
                        .with("pid", pid)
                        .with("state", state)
                        .with("start_seconds", format!("{took:.3}"));
                }
                Err(why) => why,
            };
            if began.elapsed() > limit {
                return Effect::not_observed(format!(
                    "process {pid} runs and does not answer within {limit:?}: {silence}"
                ));
            }
            sleep(POLL).await;
        }
    }

    /// Waits until the node answers: who repairs a node that is just starting waits for it, as an operator would.
    pub(super) async fn ready(&self) -> Result<(), Effect> {
        let began = Instant::now();
        while let Err(why) = self.product.status().await {
            if began.elapsed() > START_LIMIT {
                return Err(Effect::failed(format!(
                    "{} does not answer within {START_LIMIT:?}: {why}",
                    self.id
                )));
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    pub(super) async fn kill(&self) -> Effect {
        match self.proc() {
            Some(proc) => gone(proc.kill().await),
            None => Effect::failed("no process was ever started"),
        }
    }

    /// A process that has ended already needs no ending: to bring it back is what is asked for.
    pub(super) async fn restart(&self) -> Effect {
        let runs = self.proc().is_some_and(|proc| proc.exit().is_none());
        let ended = if runs { self.kill().await } else { Effect::observed("it had ended") };
        if ended.outcome.observed() { self.start().await } else { ended }
    }

    pub(super) async fn stop(&self) -> Effect {
        match self.proc() {
            Some(proc) => gone(proc.stop(STOP_LIMIT).await),
            None => Effect::failed("no process was ever started"),
        }
    }

    pub(super) async fn pause(&self) -> Effect {
        match self.proc() {
            Some(proc) => said(proc.pause().await),
            None => Effect::failed("no process was ever started"),
        }
    }

    pub(super) async fn resume(&self) -> Effect {
        match self.proc() {
            Some(proc) => said(proc.resume().await),
            None => Effect::failed("no process was ever started"),
        }
    }

    /// Where the node is, and what runs there.
    pub(super) fn line(&self, effect: &Effect) -> String {
        let link = self.links.users().map_or_else(|why| why, |link| link.addr().to_string());
        let what = self.product.name();
        format!("{}: {what} at {}, reached at {link}; {}", self.id, self.port.addr(), effect.outcome.text())
    }

    /// What is seen of a fault that was issued to nothing.
    pub(super) async fn look(&self) -> Effect {
        let process = match self.running() {
            Some(proc) => format!("process {} still runs", proc.pid()),
            None => "no process runs".to_owned(),
        };
        let answer = self.product.status().await;
        let answer =
            answer.map_or_else(|why| format!("it does not answer: {why}"), |s| format!("it answers: {s}"));
        Effect::not_observed(format!("{process} and {answer}"))
    }

    /// Ends process and links. May be called at any time, and more than once; the gate has to be closed.
    pub(super) async fn end(&self) {
        let Slot { proc, .. } = std::mem::take(&mut *self.slot());
        if let Some(proc) = proc {
            // An error means that it has ended already, or that the sweep that follows has to find it.
            let _ = proc.kill().await;
        }
        self.links.end().await;
    }
}

fn said(seen: Result<super::Observed, ProcError>) -> Effect {
    match seen {
        Ok(seen) => Effect::observed(seen.to_string()),
        Err(e @ ProcError::NotObserved { .. }) => Effect::not_observed(e.to_string()),
        Err(e) => Effect::failed(e.to_string()),
    }
}

/// A process that had ended before was not ended by this act: a fault that finds nothing to do had no effect.
fn gone(seen: Result<super::Observed, ProcError>) -> Effect {
    match seen {
        Err(ProcError::Ended { pid, exit, .. }) => {
            Effect::not_observed(format!("process {pid} had ended before, with {exit}"))
        }
        seen => said(seen),
    }
}
