//! World `local`: every node of the stack is a process of this machine, and every fault is real.
//!
//! Invariants: the watchdog is on guard before anything else is started, and released only after everything was seen
//! to be gone; every process bears the run's mark; an act is answered only after its effect was observed; dropping
//! an act half-way leaves nothing that [`Host::teardown`] does not find.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use harness::act::{Act, Artifact, Damage};
use harness::corpus::Corpus;
use harness::plan::Plan;
use harness::ports::{Effect, EnvironmentError, Host, System};
use harness::topology::{NodeId, Role};
use tokio::sync::watch;

use super::artifact::{Order, Other};
use super::defect::Defect;
use super::environment;
use super::features::FeatureNode;
use super::hidden::{state_of, watchdog_args};
use super::link::Mode;
use super::node::{Gate, Node, Setup, cut};
use super::port::Port;
use super::proc::Spawn;
use super::product::{BACKUPS, BUCKET, COLLECTION, ObjectNode, Product, VectorNode, spec, words};
use super::sweep;
use super::watchdog::Watchdog;
use super::{command, heal};
use crate::backup;

/// How often the removal of the state is tried: a call that nobody waits for may still write into it.
const REMOVALS: u32 = 50;
const REMOVAL_PAUSE: Duration = Duration::from_millis(100);

/// What a local world is made of.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// The run's id: the mark of its processes.
    pub run: String,
    /// The run's folder, which exists.
    pub folder: PathBuf,
    /// The program that becomes nodes and watchdog: one that calls [`super::hidden_main`] first of all.
    pub exe: PathBuf,
    /// The drill.
    pub plan: Plan,
    /// A defect planted on purpose.
    pub flaw: Option<String>,
}

/// The local world.
#[derive(Debug)]
pub struct LocalHost {
    run: String,
    folder: PathBuf,
    exe: PathBuf,
    corpus: Arc<Corpus>,
    plan: Plan,
    nodes: Vec<Node>,
    silent: bool,
    gate: Gate,
    commands: AtomicU32,
    systems: OnceLock<Vec<(Role, Arc<dyn System>)>>,
    watchdog: Mutex<Option<Watchdog>>,
    /// Why it is no longer safe to go on.
    unsafe_since: watch::Sender<Option<String>>,
}

const SEE_LOGS: &str = "look at the nodes' logs in the run's folder";
const SEE_FOLDER: &str = "check that the run's folder exists and can be written";
const HEAL: &str = "run `gameday heal` on the run's folder";

impl LocalHost {
    /// Prepares a local world: reserves ports and writes the run's name into its folder. Starts nothing.
    ///
    /// # Errors
    /// If the folder or the ports cannot be had, or if there is no such flaw.
    #[expect(clippy::new_ret_no_self, reason = "callers want the door, not the room")]
    pub fn new(config: LocalConfig) -> Result<Arc<dyn Host>, EnvironmentError> {
        let defect = Defect::of(config.flaw.as_deref())?;
        let folder = config.folder.canonicalize();
        let folder =
            folder.map_err(|e| environment(format!("{}: {e}", config.folder.display()), SEE_FOLDER))?;
        let exe = config.exe.canonicalize();
        let exe = exe.map_err(|e| environment(format!("{}: {e}", config.exe.display()), SEE_FOLDER))?;
        let alive = sweep::find(&config.run).map_err(|e| environment(e, "give the run another id"))?;
        if !alive.is_empty() || state_of(&folder).exists() {
            let what = format!("run `{}` has left processes {alive:?} or state behind", config.run);
            return Err(environment(what, HEAL));
        }
        heal::name_run(&folder, &config.run).map_err(|e| environment(e, SEE_FOLDER))?;
        let gate = Gate::default();
        let mut nodes = Vec::new();
        for id in &config.plan.topology.nodes {
            let slug = id.slug();
            let setup = Setup {
                run: config.run.clone(),
                exe: exe.clone(),
                config: state_of(&folder).join(format!("{slug}.json")),
                log: logs(&folder).join(format!("{slug}.log")),
            };
            let port = Port::reserve().map_err(|e| environment(e, "free some ports of 127.0.0.1"))?;
            let product = Product::of(id.role, &port, state_of(&folder).join(&slug), &config.plan, &defect)?;
            nodes.push(Node::new(id.clone(), product, port, setup, gate.clone()));
        }
        Ok(Arc::new(LocalHost {
            run: config.run,
            folder,
            exe,
            corpus: Arc::new(Corpus::of(&config.plan.scenario)),
            plan: config.plan,
            nodes,
            silent: defect.silent,
            gate,
            commands: AtomicU32::new(0),
            systems: OnceLock::new(),
            watchdog: Mutex::default(),
            unsafe_since: watch::Sender::new(None),
        }))
    }

    fn watchdog(&self) -> MutexGuard<'_, Option<Watchdog>> {
        self.watchdog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn node(&self, id: &NodeId) -> Result<&Node, Effect> {
        self.nodes
            .iter()
            .find(|node| node.id == *id)
            .ok_or_else(|| Effect::failed(format!("there is no node {id}")))
    }

    /// A vector node, once it answers.
    async fn vector(&self, id: &NodeId) -> Result<&VectorNode, Effect> {
        let node = self.node(id)?;
        match &node.product {
            Product::Vector(vector) => node.ready().await.map(|()| vector),
            _ => Err(Effect::failed(format!("{id} is no vector node"))),
        }
    }

    /// A feature node, once it answers.
    async fn feature(&self, id: &NodeId) -> Result<&FeatureNode, Effect> {
        let node = self.node(id)?;
        match &node.product {
            Product::Feature(store) => node.ready().await.map(|()| store),
            _ => Err(Effect::failed(format!("{id} is no feature node"))),
        }
    }

    fn object_store(&self) -> Result<&ObjectNode, Effect> {
        let store = |node: &&Node| matches!(node.product, Product::Object(_));
        match self.nodes.iter().find(store).map(|node| &node.product) {
            Some(Product::Object(store)) => Ok(store),
            _ => Err(Effect::failed("there is no object store for backups")),
        }
    }

    async fn guard(&self) -> Result<(), EnvironmentError> {
        let args = watchdog_args(&self.run, &self.folder);
        let watchdog = Watchdog::start(&self.exe, &args).await;
        let watchdog = watchdog.map_err(|e| environment(e, "run `gameday doctor`"))?;
        let (exited, tell) = (watchdog.exited(), self.unsafe_since.clone());
        tokio::spawn(async move {
            let exit = exited.await;
            tell.send_replace(Some(format!(
                "the watchdog is gone ({exit}): nobody would clean up after a crash"
            )));
        });
        *self.watchdog() = Some(watchdog);
        Ok(())
    }

    async fn play(&self, act: &Act) -> Result<Effect, Effect> {
        Ok(match act {
            Act::Kill { node } => self.node(node)?.kill().await,
            Act::Stop { node } => self.node(node)?.stop().await,
            Act::Start { node } => self.node(node)?.start().await,
            Act::Restart { node } => self.node(node)?.restart().await,
            Act::Pause { node } => self.node(node)?.pause().await,
            Act::Resume { node } => self.node(node)?.resume().await,
            Act::Cut { to, mode, direction, .. } => self.node(to)?.set_link(cut(*mode, *direction)).await,
            Act::Delay { to, by, .. } => self.node(to)?.set_link(Mode::Delay(by.std())).await,
            Act::Mend { to, .. } => self.node(to)?.set_link(Mode::Open).await,
            Act::Damage { node, what, how, fraction, seed } => {
                if let Product::Feature(store) = &self.node(node)?.product {
                    return Ok(store.damage(*what, *how, *fraction, *seed).await);
                }
                let order = self.order(self.node(node)?, *what, *how, *fraction, *seed);
                let other = self.other();
                blocking(move || order.execute(&other)).await
            }
            Act::Discard { .. } => Effect::observed("goes with the stack"),
            Act::Intrude { node } => self.feature(node).await?.intrude().await,
            Act::Audit { node } => self.feature(node).await?.audit(self.object_store()?).await,
            Act::Backup { node, .. } if node.role == Role::Feature => {
                self.feature(node).await?.back_up(self.object_store()?).await
            }
            Act::Backup { node, .. } => self.back_up(node).await?,
            Act::Restore { node, scope } if node.role == Role::Feature => {
                self.feature(node).await?.restore(self.object_store()?, *scope).await
            }
            Act::Restore { node, .. } => self.restore(node).await?,
            Act::Rebuild { node, engine } => self.vector(node).await?.rebuild(*engine).await,
            Act::Command { run } => self.command(run).await?,
            Act::Wipe { .. }
            | Act::Stall { .. }
            | Act::Unstall { .. }
            | Act::Miscompute { .. }
            | Act::Compute { .. }
            | Act::Promote { .. }
            | Act::Fence { .. }
            | Act::Rejoin { .. }
            | Act::Route { .. } => Effect::failed("world local cannot do this yet"),
            Act::Teardown => match self.teardown().await {
                Ok(()) => Effect::observed("every process is gone, and the state removed"),
                Err(e) => Effect::failed(e.to_string()),
            },
        })
    }

    /// A fault that is acknowledged and does nothing, and what is seen of it.
    async fn play_to_nothing(&self, act: &Act) -> Result<Effect, Effect> {
        match act {
            Act::Damage { node, .. } | Act::Intrude { node } if node.role == Role::Feature => {
                Ok(self.node(node)?.look().await)
            }
            Act::Damage { node, what, how, fraction, seed } => {
                let order = self.order(self.node(node)?, *what, *how, *fraction, *seed);
                Ok(blocking(move || order.execute_on_nothing()).await)
            }
            Act::Kill { node } | Act::Stop { node } | Act::Pause { node } => {
                Ok(self.node(node)?.look().await)
            }
            Act::Cut { to, .. } | Act::Delay { to, .. } => Ok(self.node(to)?.look().await),
            harmless => self.play(harmless).await,
        }
    }

    fn order(&self, node: &Node, what: Artifact, how: Damage, fraction: f64, seed: u64) -> Order {
        let folder = node.product.dir().clone();
        let scratch = state_of(&self.folder).join(format!("{}.scratch", node.id.slug()));
        Order { objects: folder.join(BUCKET), folder, scratch, what, how, fraction, seed }
    }

    fn other(&self) -> Other {
        let v = &self.plan.scenario.data.vectors;
        let spec = spec(v.index, v.count, self.plan.scenario.seed);
        Other { collection: COLLECTION.into(), corpus: (*self.corpus).clone(), spec }
    }

    async fn back_up(&self, node: &NodeId) -> Result<Effect, Effect> {
        let (vector, store) = (self.vector(node).await?, self.object_store()?);
        let done = backup::back_up(&vector.client, &store.backups, COLLECTION).await;
        let done = done.map_err(|e| Effect::failed(e.to_string()))?;
        let (at, records) = (&done.timestamp, done.records);
        let text = format!("{records} records in {} objects of {BACKUPS}, backup {at}", done.objects);
        Ok(Effect::observed(text).with("backup", at).with("records", records).with("bytes", done.bytes))
    }

    async fn restore(&self, node: &NodeId) -> Result<Effect, Effect> {
        let (vector, store) = (self.vector(node).await?, self.object_store()?);
        let done = backup::restore(&vector.client, &store.backups, COLLECTION).await;
        let done = done.map_err(|e| Effect::failed(e.to_string()))?;
        let replayed = done.imported.replayed;
        let whole = if done.imported.complete { "all of them" } else { "some may be lost" };
        let text = format!(
            "{} records of backup {} verified and imported, {replayed} newer writes replayed ({whole}), {} live",
            done.records, done.timestamp, done.imported.live
        );
        let effect = Effect::observed(text)
            .with("backup", &done.timestamp)
            .with("records", done.records)
            .with("replayed", replayed)
            .with("log_complete", done.imported.complete)
            .with("unfinished_backups", done.unfinished.len());
        Ok(match &done.index {
            Some(index) => effect
                .with("engine", "cpu")
                .with("kind", words(&index.spec))
                .with("vectors", index.records)
                .with("build_seconds", format!("{:.3}", index.build_seconds)),
            None => effect.with("index", "none was there"),
        })
    }

    async fn command(&self, run: &[String]) -> Result<Effect, Effect> {
        let (program, args) = run.split_first().ok_or_else(|| Effect::failed("no command is given"))?;
        let n = self.commands.fetch_add(1, Ordering::Relaxed);
        let log = logs(&self.folder).join(format!("command-{n}.log"));
        let mut env = vec![("GAMEDAY_RUN_DIR".into(), self.folder.clone().into())];
        for node in &self.nodes {
            let name = node.id.slug().replace('-', "_").to_uppercase();
            env.push((format!("GAMEDAY_{name}_ADDR").into(), node.port.addr().to_string().into()));
        }
        let spec = Spawn {
            program: program.into(),
            args: args.iter().map(Into::into).collect(),
            env,
            dir: Some(self.folder.clone()),
            run: self.run.clone(),
            log: log.clone(),
        };
        let proc = self.gate.spawn(&spec).map_err(Effect::failed)?;
        Ok(command::finish(proc, &log).await)
    }

    /// Everything that is left of the run is killed, and its state removed.
    async fn clear(&self) -> Result<(), EnvironmentError> {
        let run = self.run.clone();
        let swept = tokio::task::spawn_blocking(move || {
            let left = sweep::sweep(&run)?;
            Ok::<_, sweep::SweepError>((left, sweep::find(&run)?))
        });
        let swept = swept.await.map_err(|e| environment(e, HEAL))?;
        let (_, left) = swept.map_err(|e| environment(e, HEAL))?;
        if !left.is_empty() {
            return Err(environment(format!("processes {left:?} of the run are still there"), HEAL));
        }
        let mut tries = 0;
        while let Err(e) = sweep::remove_state(&self.folder, &state_of(&self.folder)) {
            tries += 1;
            if tries == REMOVALS {
                return Err(environment(e, HEAL));
            }
            tokio::time::sleep(REMOVAL_PAUSE).await;
        }
        Ok(())
    }
}

#[async_trait]
impl Host for LocalHost {
    async fn launch(&self) -> Result<Vec<String>, EnvironmentError> {
        self.guard().await?;
        let state = state_of(&self.folder);
        for folder in [&state, &logs(&self.folder)] {
            std::fs::create_dir_all(folder).map_err(|e| environment(e, SEE_FOLDER))?;
        }
        let mut systems: Vec<(Role, Arc<dyn System>)> = Vec::new();
        for node in &self.nodes {
            let link = node.link().map_err(|e| environment(e, "free some ports of 127.0.0.1"))?;
            if self.plan.topology.primary(node.id.role) == Some(&node.id) {
                let system = node.product.system(link.addr(), self.corpus.clone());
                systems.push((node.id.role, system.map_err(|e| environment(e, SEE_LOGS))?));
            }
        }
        let started = join_all(self.nodes.iter().map(Node::start)).await;
        let mut lines = Vec::new();
        for (node, effect) in self.nodes.iter().zip(started) {
            if !effect.outcome.observed() {
                return Err(environment(format!("{}: {}", node.id, effect.outcome.text()), SEE_LOGS));
            }
            if let Product::Object(store) = &node.product {
                for bucket in [&store.data, &store.backups] {
                    bucket.create_bucket().await.map_err(|e| environment(e, SEE_LOGS))?;
                }
            }
            lines.push(node.line(&effect));
        }
        // A second launch keeps the doors of the first.
        self.systems.get_or_init(|| systems);
        Ok(lines)
    }

    async fn act(&self, act: &Act) -> Effect {
        let played = if self.silent { self.play_to_nothing(act).await } else { self.play(act).await };
        played.unwrap_or_else(|effect| effect)
    }

    fn system(&self, role: Role) -> Option<Arc<dyn System>> {
        let found = self.systems.get()?.iter().find(|(r, _)| *r == role);
        found.map(|(_, system)| system.clone())
    }

    async fn teardown(&self) -> Result<(), EnvironmentError> {
        self.gate.close();
        join_all(self.nodes.iter().map(Node::end)).await;
        self.clear().await?;
        let watchdog = self.watchdog().take();
        if let Some(watchdog) = watchdog
            && let Err(e) = watchdog.release().await
        {
            // Everything was seen to be gone, so there is nothing left to guard.
            tracing::warn!("{e}");
        }
        Ok(())
    }

    async fn unsafe_to_continue(&self) -> String {
        let mut told = self.unsafe_since.subscribe();
        let why = told.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        match why {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }
}

fn logs(folder: &Path) -> PathBuf {
    folder.join("logs")
}

async fn blocking(work: impl FnOnce() -> Effect + Send + 'static) -> Effect {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Effect::failed(e.to_string()))
}
