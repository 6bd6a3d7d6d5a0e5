//! World `docker`: launch, teardown, and the doors to its stores. What launching makes is in `raise`.
//!
//! The watchdog is on guard before the engine is asked for anything, and released only after nothing of the run is
//! in the engine any more.

mod raise;

use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{join_all, try_join_all};
use harness::act::{Act, EngineChoice, Nature};
use harness::corpus::Corpus;
use harness::plan::Plan;
use harness::ports::{Effect, EnvironmentError, Host, System};
use harness::router::{Router, Systems};
use harness::topology::{NodeId, Role};
use tokio::sync::{OnceCell, watch};
use tokio::time::sleep;

use super::bridge::Bridge;
use super::container::Container;
use super::images::{Choices, Found};
use super::product::{Product, secret};
use super::regions::{self, Operator};
use super::{Engine, environment, sweep, well, worker};
use crate::local::links::Links;
use crate::local::node::Gate;
use crate::local::port::Port;
use crate::local::watchdog::Watchdog;
use crate::local::{name_run, watchdog_args};

/// How long two attempts at being a user are apart.
const POLL: Duration = Duration::from_millis(20);
const SEE_FOLDER: &str = "check that the run's folder exists and can be written";
const SEE_LOGS: &str = "look at the logs in the run's folder";
const HEAL: &str = "see that the container engine runs, and run `gameday heal` on the run's folder";

/// What a docker world is made of.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    /// The run's id: the label of everything that it makes.
    pub run: String,
    /// The run's folder, which exists.
    pub folder: PathBuf,
    /// The program that becomes the watchdog: one that calls [`crate::local::hidden_main`] first of all.
    pub exe: PathBuf,
    /// The drill.
    pub plan: Plan,
    /// A defect planted on purpose.
    pub flaw: Option<String>,
    /// Images asked for instead of the catalogue's.
    pub images: Choices,
}

/// One node: a container, its port, and the users' link in front of it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) product: Product,
    pub(super) links: Links,
    port: Port,
    container: OnceLock<Container>,
}

/// The docker world.
#[derive(Debug)]
pub struct DockerHost {
    pub(super) run: String,
    pub(super) folder: PathBuf,
    pub(super) commands: AtomicU32,
    pub(super) exe: PathBuf,
    images: Choices,
    own_image: OnceCell<Found>,
    pub(super) silent: bool,
    pub(super) plan: Plan,
    pub(super) corpus: Arc<Corpus>,
    pub(super) nodes: Vec<Node>,
    /// Links between regions.
    pub(super) bridges: Vec<Bridge>,
    pub(super) operator: Operator,
    pub(super) router: Arc<Router>,
    pub(super) gate: Gate,
    engine: OnceLock<Engine>,
    systems: OnceLock<Systems>,
    watchdog: Mutex<Option<Watchdog>>,
    unsafe_since: watch::Sender<Option<EnvironmentError>>,
}

impl DockerHost {
    /// Prepares a docker world: reserves ports and writes the run's name into its folder. Asks no engine yet.
    ///
    /// # Errors
    /// If folder or ports cannot be had, or if the scenario needs what this world cannot do.
    #[expect(clippy::new_ret_no_self, reason = "callers want the door, not the room")]
    pub fn new(config: DockerConfig) -> Result<Arc<dyn Host>, EnvironmentError> {
        let silent = match config.flaw.as_deref() {
            None => false,
            Some("silent-fault") => true,
            Some(flaw) => {
                let what = format!("world `docker` cannot plant the defect `{flaw}`");
                return Err(environment(what, "plant `silent-fault`, or use `--world sim`"));
            }
        };
        if let Some(what) = regions::lacking(&config.plan) {
            return Err(environment(what, "use the pattern `single` or `hot-standby`, or `--world local`"));
        }
        if let Some(step) = config.plan.asks_for(EngineChoice::OpenCl) {
            let what = format!("step `{step}` asks Milvus for the engine `opencl`, and Milvus has none");
            return Err(environment(what, "say `engine = \"auto\"`, or use `--world local`"));
        }
        let folder = config.folder.canonicalize();
        let folder =
            folder.map_err(|e| environment(format!("{}: {e}", config.folder.display()), SEE_FOLDER))?;
        let exe = config.exe.canonicalize();
        let exe = exe.map_err(|e| environment(format!("{}: {e}", config.exe.display()), SEE_FOLDER))?;
        name_run(&folder, &config.run).map_err(|e| environment(e, SEE_FOLDER))?;
        let gate = Gate::default();
        // Stores of one run know each other's operators.
        let secret = secret().map_err(|e| environment(e, "check that /dev/urandom can be read"))?;
        let mut nodes: Vec<Node> = Vec::new();
        // Object stores first: others keep their data in them.
        let (stores, others): (Vec<&NodeId>, Vec<&NodeId>) =
            config.plan.topology.nodes.iter().partition(|id| id.role == Role::Object);
        for id in stores.into_iter().chain(others) {
            let port = Port::reserve().map_err(|e| environment(e, "free some ports of 127.0.0.1"))?;
            let store = nodes.iter().filter(|node| node.id.region == id.region);
            let store = store.filter_map(|node| node.product.object().ok()).next();
            let product = Product::of(id, port.addr(), (&config.plan, &secret), store)?;
            // Nobody follows a node yet, so both links lead to the same port.
            let links = Links::new(gate.clone(), port.addr(), port.addr());
            nodes.push(Node { id: id.clone(), product, links, port, container: OnceLock::new() });
        }
        let stack = &config.plan.scenario.stack;
        let followed = config.plan.topology.peer_links().filter(|(_, store)| stack.followed(store.role));
        let bridges = followed.filter_map(|(follower, store)| {
            Some(Bridge::new(follower, store, regions::port_of(store.role)?))
        });
        let bridges: Result<Vec<Bridge>, _> = bridges.collect();
        let bridges = bridges.map_err(|e| environment(e, "free some ports of 127.0.0.1"))?;
        Ok(Arc::new(DockerHost {
            bridges,
            operator: Operator::new(),
            commands: AtomicU32::new(0),
            run: config.run,
            folder,
            exe,
            images: config.images,
            own_image: OnceCell::new(),
            silent,
            corpus: Arc::new(Corpus::of(&config.plan.scenario)),
            router: Router::new(&config.plan),
            plan: config.plan,
            nodes,
            gate,
            engine: OnceLock::new(),
            systems: OnceLock::new(),
            watchdog: Mutex::default(),
            unsafe_since: watch::Sender::new(None),
        }))
    }

    fn watchdog(&self) -> MutexGuard<'_, Option<Watchdog>> {
        self.watchdog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn guard(&self) -> Result<(), EnvironmentError> {
        let watchdog = Watchdog::start(&self.exe, &watchdog_args(&self.run, &self.folder)).await;
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

    /// Opens every users' link. Answers with the stores, behind the router.
    fn connect(&self) -> Result<Systems, EnvironmentError> {
        let mut opened: Vec<(Role, String, Arc<dyn System>)> = Vec::new();
        for node in &self.nodes {
            let link = node.links.users().map_err(|e| environment(e, "free some ports of 127.0.0.1"))?;
            // Workers are reached through their driver.
            if node.id.role == Role::Gpu {
                continue;
            }
            let system = node.product.system(link.addr(), self.corpus.clone());
            let system = system.map_err(|e| environment(e, SEE_LOGS))?;
            opened.push((node.id.role, node.id.region.clone(), system));
        }
        for region in &self.plan.topology.regions {
            if let Some(driver) = worker::of_region(&self.nodes, region, &self.plan)? {
                opened.push((Role::Gpu, region.clone(), driver));
            }
        }
        Ok(Systems::new(&self.router, opened))
    }
}

impl Node {
    /// Where it is published.
    pub(super) fn published(&self) -> std::net::SocketAddr {
        self.port.addr()
    }

    /// The container, once there is one.
    pub(super) fn container(&self) -> Result<&Container, Effect> {
        self.container
            .get()
            .ok_or_else(|| Effect::failed(format!("no container was ever made for {}", self.id)))
    }
}

#[async_trait]
impl Host for DockerHost {
    async fn launch(&self) -> Result<Vec<String>, EnvironmentError> {
        let engine = Engine::connect().await?;
        sweep::no_left_overs(&engine, &self.run).await?;
        well::has_room(&engine).await?;
        // From here on there may be something to clean up, and the watchdog has to know where.
        sweep::mark(&self.folder).map_err(|e| environment(e, SEE_FOLDER))?;
        let engine = self.engine.get_or_init(|| engine);
        self.guard().await?;
        // An image that is not there is told before anything is made.
        for node in &self.nodes {
            self.image(engine, node.id.role).await?;
        }
        self.networks(engine).await?;
        let systems = self.connect()?;
        // Each role by itself: what one waits for is none of the others' business.
        let roles = Role::ALL.into_iter().map(|role| self.raise_role(engine, role));
        let lines = try_join_all(roles).await?.concat();
        self.systems.get_or_init(|| systems);
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
        self.node(act.node()?).ok()?.container().ok()?.holds(act).await
    }

    fn routes(&self) -> harness::ports::Routes {
        self.router.snapshot()
    }

    fn system_in(&self, region: &str, role: Role) -> Option<Arc<dyn System>> {
        self.systems.get()?.in_region(region, role)
    }

    async fn teardown(&self) -> Result<(), EnvironmentError> {
        self.gate.close();
        self.operator.followers.abandon();
        join_all(self.nodes.iter().map(|node| node.links.end())).await;
        if let Some(engine) = self.engine.get() {
            self.collect_logs().await;
            let swept = sweep::sweep(engine, &self.run).await;
            swept.map_err(|e| environment(e.what, format!("{}; {HEAL}", e.remedy)))?;
        }
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
        let unguarded = async {
            match told.wait_for(Option::is_some).await.ok().and_then(|why| why.clone()) {
                Some(why) => why,
                None => std::future::pending().await,
            }
        };
        let lost = async {
            loop {
                match self.engine.get() {
                    Some(engine) => break well::lost(engine).await,
                    // Nothing was launched yet; the launch itself tells if there is no engine.
                    None => sleep(POLL).await,
                }
            }
        };
        tokio::select! { why = unguarded => why, why = lost => why }
    }
}
