//! World `local`: every node of the stack is a process of this machine, and every fault is real.
//!
//! Invariants: the watchdog is on guard before anything else is started, and released only after everything was seen
//! to be gone; every process bears the run's mark; an act is answered only after its effect was observed; dropping
//! an act half-way leaves nothing that [`Host::teardown`] does not find.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use harness::act::{Act, Nature};
use harness::corpus::Corpus;
use harness::plan::Plan;
use harness::ports::{Effect, EnvironmentError, Host, System};
use harness::router::{Router, Systems};
use harness::topology::{NodeId, Role};
use tokio::sync::watch;

use super::defect::Defect;
use super::environment;
use super::feeder::{Fed, Feeder};
use super::gpu;
use super::heal;
use super::health::{Monitor, Patient};
use super::hidden::{state_of, watchdog_args};
use super::node::{Gate, Node, Setup};
use super::port::Port;
use super::private;
use super::product::Product;
use super::regions::Operator;
use super::sweep;
use super::watchdog::Watchdog;

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
    pub(super) run: String,
    pub(super) folder: PathBuf,
    pub(super) exe: PathBuf,
    pub(super) corpus: Arc<Corpus>,
    pub(super) plan: Plan,
    pub(super) nodes: Vec<Node>,
    pub(super) router: Arc<Router>,
    pub(super) operator: Arc<Operator>,
    pub(super) backed_up: Mutex<Option<NodeId>>,
    /// A warm standby, and who feeds it.
    pub(super) feeding: Mutex<Option<(Fed, Feeder)>>,
    silent: bool,
    flaw_of_driver: Option<crate::gpu::Flaw>,
    pub(super) gate: Gate,
    pub(super) commands: AtomicU32,
    systems: OnceLock<Systems>,
    monitor: Mutex<Option<Monitor>>,
    watchdog: Mutex<Option<Watchdog>>,
    /// Why it is no longer safe to go on.
    unsafe_since: watch::Sender<Option<EnvironmentError>>,
}

const SEE_LOGS: &str = "look at the nodes' logs in the run's folder";
const SEE_FOLDER: &str = "check that the run's folder exists and can be written";
const FREE_PORTS: &str = "free some ports of 127.0.0.1";
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
            let port = || Port::reserve().map_err(|e| environment(e, FREE_PORTS));
            let ports = [port()?, port()?];
            let dir = state_of(&folder).join(&slug);
            let product = Product::of(id.role, &ports[0], dir, &config.plan, &defect)?;
            nodes.push(Node::new(id.clone(), product, ports, setup, gate.clone()));
        }
        Ok(Arc::new(LocalHost {
            run: config.run,
            folder,
            exe,
            corpus: Arc::new(Corpus::of(&config.plan.scenario)),
            router: Router::new(&config.plan),
            operator: Arc::new(Operator::new()),
            backed_up: Mutex::default(),
            feeding: Mutex::default(),
            plan: config.plan,
            nodes,
            silent: defect.silent,
            flaw_of_driver: defect.driver,
            gate,
            commands: AtomicU32::new(0),
            systems: OnceLock::new(),
            monitor: Mutex::default(),
            watchdog: Mutex::default(),
            unsafe_since: watch::Sender::new(None),
        }))
    }

    fn watchdog(&self) -> MutexGuard<'_, Option<Watchdog>> {
        self.watchdog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn monitor(&self) -> MutexGuard<'_, Option<Monitor>> {
        self.monitor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens every link and tells each node its part in replication. Answers with the stores, behind the router.
    fn connect(&self) -> Result<Systems, EnvironmentError> {
        let mut opened: Vec<(Role, String, Arc<dyn System>)> = Vec::new();
        for node in &self.nodes {
            let link = node.links.users().map_err(|e| environment(e, FREE_PORTS))?;
            if let Some(part) = self.part(node).map_err(|e| environment(e, FREE_PORTS))? {
                node.join(part);
            }
            // Workers are reached through their driver.
            if node.id.role == Role::Gpu {
                continue;
            }
            let system = node.product.system(link.addr(), self.corpus.clone());
            let system = system.map_err(|e| environment(e, SEE_LOGS))?;
            opened.push((node.id.role, node.id.region.clone(), system));
        }
        for region in &self.plan.topology.regions {
            let driver = gpu::of_region(&self.nodes, region, gpu::job(&self.plan), self.flaw_of_driver)?;
            if let Some(driver) = driver {
                opened.push((Role::Gpu, region.clone(), driver));
            }
        }
        Ok(Systems::new(&self.router, opened))
    }

    /// Starts the health monitor, where there is a region to choose.
    fn observe(&self) -> Result<(), EnvironmentError> {
        let regions = self.plan.topology.regions.clone();
        if regions.len() < 2 {
            return Ok(());
        }
        let mut patients = Vec::new();
        for node in &self.nodes {
            let link = node.links.users().map_err(|e| environment(e, FREE_PORTS))?.addr();
            let pulse = node.product.pulse(link).map_err(|e| environment(e, SEE_LOGS))?;
            patients.push(Patient::new(node.id.clone(), link, pulse));
        }
        *self.monitor() = Some(Monitor::start(patients, regions, self.router.clone()));
        Ok(())
    }

    async fn guard(&self) -> Result<(), EnvironmentError> {
        let args = watchdog_args(&self.run, &self.folder);
        let watchdog = Watchdog::start(&self.exe, &args).await;
        let watchdog = watchdog.map_err(|e| environment(e, "run `gameday doctor`"))?;
        let (exited, tell) = (watchdog.exited(), self.unsafe_since.clone());
        tokio::spawn(async move {
            let exit = exited.await;
            let what = format!("the watchdog is gone ({exit}): nobody would clean up after a crash");
            tell.send_replace(Some(environment(what, "find out who ended it, and play the drill again")));
        });
        *self.watchdog() = Some(watchdog);
        Ok(())
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
            // A node's configuration holds a secret, and what a command says may.
            private::folder(folder).map_err(|e| environment(e, SEE_FOLDER))?;
        }
        let systems = self.connect()?;
        let stack = &self.plan.scenario.stack;
        let started = join_all(self.nodes.iter().map(|node| async move {
            match stack.runs_at_launch(&node.id) {
                true => Some(node.start().await),
                false => None,
            }
        }));
        let mut lines = Vec::new();
        for (node, effect) in self.nodes.iter().zip(started.await) {
            let Some(effect) = effect else {
                lines.push(format!("{}: not started; it waits for a failover", node.id));
                continue;
            };
            if !effect.outcome.observed() {
                return Err(environment(format!("{}: {}", node.id, effect.outcome.text()), SEE_LOGS));
            }
            lines.push(node.line(&effect));
        }
        // A second launch keeps the doors of the first.
        self.systems.get_or_init(|| systems);
        self.observe()?;
        self.feed_standby().map_err(|e| environment(e.outcome.text(), SEE_LOGS))?;
        Ok(lines)
    }

    async fn act(&self, act: &Act) -> Effect {
        let without_effect = self.silent && act.nature() == Nature::Breaks;
        let played = if without_effect { self.act_without_effect(act).await } else { self.play(act).await };
        let effect = played.unwrap_or_else(|effect| effect);
        if effect.outcome.observed() {
            self.router.apply(act);
        }
        effect
    }

    fn system(&self, role: Role) -> Option<Arc<dyn System>> {
        self.systems.get()?.of_role(role)
    }

    fn system_for(&self, service: &str, role: Role) -> Option<Arc<dyn System>> {
        self.systems.get()?.of_service(service, role)
    }

    async fn holds(&self, act: &Act) -> Option<bool> {
        match act {
            Act::Kill { node } | Act::Stop { node } => Some(self.node(node).ok()?.running().is_none()),
            Act::Pause { node } => Some(self.node(node).ok()?.running().is_some_and(|proc| proc.frozen())),
            _ => None,
        }
    }

    fn routes(&self) -> harness::ports::Routes {
        self.router.snapshot()
    }

    fn system_in(&self, region: &str, role: Role) -> Option<Arc<dyn System>> {
        self.systems.get()?.in_region(region, role)
    }

    async fn teardown(&self) -> Result<(), EnvironmentError> {
        self.gate.close();
        self.monitor().take();
        self.feeding.lock().unwrap_or_else(PoisonError::into_inner).take();
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

    async fn unsafe_to_continue(&self) -> EnvironmentError {
        let mut told = self.unsafe_since.subscribe();
        let why = told.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        match why {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }
}

pub(super) fn logs(folder: &Path) -> PathBuf {
    folder.join("logs")
}
