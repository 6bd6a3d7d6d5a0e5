//! World `docker`: launch, teardown, and the doors to its stores.
//!
//! The watchdog is on guard before the engine is asked for anything, and released only after nothing of the run is
//! in the engine any more.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bollard::models::NetworkCreateRequest;
use futures::future::{join_all, try_join, try_join_all};
use harness::act::Act;
use harness::corpus::Corpus;
use harness::plan::Plan;
use harness::ports::{Effect, EnvironmentError, Host, System};
use harness::router::{Routed, Router};
use harness::topology::{NodeId, Role};
use tokio::sync::{OnceCell, watch};
use tokio::time::{sleep, timeout};

use super::bridge::Bridge;
use super::container::Container;
use super::images::{self, Choices, Found};
use super::product::{Product, secret};
use super::regions::{self, Operator};
use super::stand::Place;
use super::{Engine, FOLDER, RUN, environment, sweep, well, worker};
use crate::local::links::Links;
use crate::local::node::Gate;
use crate::local::port::Port;
use crate::local::watchdog::Watchdog;
use crate::local::{name_run, watchdog_args};

/// How long a product may take until it serves users.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long one that runs already may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long two attempts at being a user are apart.
const POLL: Duration = Duration::from_millis(20);
/// How long the logs may take to be collected.
const LOGS_LIMIT: Duration = Duration::from_secs(10);
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
    exe: PathBuf,
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
    systems: OnceLock<BTreeMap<Role, Routed>>,
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

    fn labels(&self) -> HashMap<String, String> {
        HashMap::from([
            (RUN.to_owned(), self.run.clone()),
            (FOLDER.to_owned(), self.folder.display().to_string()),
        ])
    }

    fn name(&self, what: &str) -> String {
        format!("gameday-{}-{what}", self.run)
    }

    /// The image that plays a role. Workers are this program: their image is made, if need be, by the first who asks.
    async fn image(&self, engine: &Engine, role: Role) -> Result<Found, EnvironmentError> {
        match role {
            Role::Gpu if !self.images.contains_key(&role) => self.own_image(engine).await,
            role => images::resolve(engine, role, &self.images).await,
        }
    }

    /// The image of this program.
    async fn own_image(&self, engine: &Engine) -> Result<Found, EnvironmentError> {
        let made = self.own_image.get_or_try_init(|| images::node(engine, &self.exe, |_| {}));
        made.await.cloned()
    }

    /// A network for each region.
    async fn networks(&self, engine: &Engine) -> Result<(), EnvironmentError> {
        for region in &self.plan.topology.regions {
            let network = NetworkCreateRequest {
                name: self.name(region),
                driver: Some("bridge".into()),
                labels: Some(self.labels()),
                ..Default::default()
            };
            engine.docker().create_network(network).await.map_err(|e| {
                let remedy = "remove networks that nobody uses: docker network prune";
                environment(format!("network {}: {e}", self.name(region)), remedy)
            })?;
        }
        Ok(())
    }

    /// Makes a node's container, and starts it if it runs from the beginning.
    async fn raise(&self, engine: &Engine, node: &Node) -> Result<String, EnvironmentError> {
        let image = self.image(engine, node.id.role).await?;
        let slug = node.id.slug();
        let place = Place {
            network: self.name(&node.id.region),
            host_name: slug.clone(),
            published: node.port.addr(),
            volume: self.name(&slug),
            labels: self.labels(),
            aliases: vec![slug.clone()],
            also: Vec::new(),
        };
        let blueprint = node.product.blueprint(image.image.clone());
        let made = Container::new(engine.clone(), self.name(&slug), blueprint, place);
        made.create().await.map_err(|why| environment(why, "see that the engine has room on its disk"))?;
        let container = node.container.get_or_init(|| made);
        if !self.plan.scenario.stack.runs_at_launch(&node.id) {
            return Ok(format!("{}: not started; it waits for a failover", node.id));
        }
        let effect = self.start(node).await;
        if !effect.outcome.observed() {
            let said = container.said().await;
            let what = format!("{}: {}; its log: {said}", node.id, effect.outcome.text());
            return Err(environment(what, SEE_LOGS));
        }
        let link = node.links.users().map_err(|e| environment(e, "free some ports of 127.0.0.1"))?.addr();
        let (name, at, image) = (node.product.name(), node.port.addr(), image.words());
        let settings: String =
            node.product.settings().into_iter().map(|(name, value)| format!("; {name} = {value}")).collect();
        Ok(format!(
            "{}: {name} at {at}, reached at {link}; image {image}; {}{settings}",
            node.id,
            effect.outcome.text()
        ))
    }

    /// Makes a link between regions, and waits until it passes.
    async fn bridge(&self, engine: &Engine, bridge: &Bridge) -> Result<String, EnvironmentError> {
        let image = self.own_image(engine).await?;
        let slug = bridge.slug();
        let place = Place {
            network: self.name(&bridge.near),
            host_name: slug.clone(),
            published: bridge.control.addr(),
            volume: self.name(&slug),
            labels: self.labels(),
            aliases: vec![format!("to-{}", bridge.far.slug())],
            also: vec![self.name(&bridge.far.region)],
        };
        let made = Container::new(engine.clone(), self.name(&slug), bridge.blueprint(image.image), place);
        made.create().await.map_err(|why| environment(why, "see that the engine has room on its disk"))?;
        let container = bridge.container.get_or_init(|| made);
        container.start().await.map_err(|why| environment(why, SEE_LOGS))?;
        match bridge.ready().await {
            Ok(seen) => Ok(format!("{slug}: {} follows {} by it; {seen}", bridge.follower, bridge.store)),
            Err(why) => {
                let said = container.said().await;
                Err(environment(format!("{slug}: {why}; its log: {said}"), SEE_LOGS))
            }
        }
    }

    /// Opens every users' link. Answers with the stores, behind the router.
    fn connect(&self) -> Result<BTreeMap<Role, Routed>, EnvironmentError> {
        let mut systems: BTreeMap<Role, BTreeMap<String, Arc<dyn System>>> = BTreeMap::new();
        for node in &self.nodes {
            let link = node.links.users().map_err(|e| environment(e, "free some ports of 127.0.0.1"))?;
            // Workers are reached through their driver.
            if node.id.role == Role::Gpu {
                continue;
            }
            let system = node.product.system(link.addr(), self.corpus.clone());
            let system = system.map_err(|e| environment(e, SEE_LOGS))?;
            systems.entry(node.id.role).or_default().entry(node.id.region.clone()).or_insert(system);
        }
        for region in &self.plan.topology.regions {
            if let Some(driver) = worker::of_region(&self.nodes, region, &self.plan)? {
                systems.entry(Role::Gpu).or_default().insert(region.clone(), driver);
            }
        }
        let routed = |(role, systems)| (role, Routed::new(self.router.clone(), role, systems));
        Ok(systems.into_iter().map(routed).collect())
    }

    /// Starts a node's container and waits until a user's operation succeeds, past the link.
    pub(super) async fn start(&self, node: &Node) -> Effect {
        let container = match node.container() {
            Ok(container) => container,
            Err(effect) => return effect,
        };
        if let Err(why) = self.gate.pass(|| Ok(())) {
            return Effect::failed(why);
        }
        let began = Instant::now();
        let fresh = match container.start().await {
            Ok(fresh) => fresh,
            Err(why) => return Effect::failed(why),
        };
        let name = &container.name;
        if let Err(why) = node.product.boot(container.inside(), self.source(node)).await {
            let said = container.said().await;
            return Effect::failed(format!("container {name} runs, and its product does not: {why}; {said}"));
        }
        // A Milvus that somebody else has just started needs as long.
        let patient = fresh || node.id.role == Role::Vector;
        let limit = if patient { START_LIMIT } else { ANSWER_LIMIT };
        loop {
            let silence = match node.product.ready().await {
                Ok(done) => {
                    if let Err(why) = node.product.provide().await {
                        return Effect::failed(format!(
                            "container {name} serves, and lacks something: {why}"
                        ));
                    }
                    let how = if fresh { "serves" } else { "already runs and serves" };
                    let took = began.elapsed().as_secs_f64();
                    let effect =
                        Effect::observed(format!("container {name} {how} after {took:.2} s: {done}"))
                            .with("start_seconds", format!("{took:.3}"));
                    let facts = node.product.facts();
                    return facts.into_iter().fold(effect, |effect, (name, value)| effect.with(&name, value));
                }
                Err(why) => why,
            };
            if let Some(end) = container.ended().await {
                let said = container.said().await;
                return Effect::failed(format!("container {name} ended with {end}; its log: {said}"));
            }
            if began.elapsed() > limit {
                let why = format!("container {name} runs and does not serve within {limit:?}: {silence}");
                return Effect::not_observed(why);
            }
            sleep(POLL).await;
        }
    }

    /// Writes what the containers said into the run's folder, as far as they are still there.
    async fn collect_logs(&self) {
        let folder = self.folder.join("logs");
        if let Err(e) = std::fs::create_dir_all(&folder) {
            tracing::warn!("{}: {e}", folder.display());
            return;
        }
        let nodes = self.nodes.iter().map(|node| (&node.container, node.id.slug()));
        let links = self.bridges.iter().map(|bridge| (&bridge.container, bridge.slug()));
        let collected = join_all(nodes.chain(links).filter_map(|(container, slug)| {
            let (container, path) = (container.get()?, folder.join(format!("{slug}.log")));
            Some(async move {
                let log = container.log().await;
                // A second teardown finds no container, and must not lose what the first one kept.
                if log.is_empty() { Ok(()) } else { std::fs::write(&path, log) }
            })
        }));
        match timeout(LOGS_LIMIT, collected).await {
            Ok(written) => {
                written.iter().filter_map(|w| w.as_ref().err()).for_each(|e| tracing::warn!("{e}"))
            }
            Err(_) => tracing::warn!("the logs did not arrive within {LOGS_LIMIT:?}"),
        }
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
        // A Milvus ends at once without its object store.
        let (late, early): (Vec<&Node>, Vec<&Node>) =
            self.nodes.iter().partition(|node| node.id.role == Role::Vector);
        let early = try_join_all(early.into_iter().map(|node| self.raise(engine, node)));
        let links = try_join_all(self.bridges.iter().map(|bridge| self.bridge(engine, bridge)));
        let (mut lines, links) = try_join(early, links).await?;
        lines.extend(try_join_all(late.into_iter().map(|node| self.raise(engine, node))).await?);
        lines.extend(links);
        lines.extend(self.join_regions().await.map_err(|why| environment(why, SEE_LOGS))?);
        self.systems.get_or_init(|| systems);
        Ok(lines)
    }

    async fn act(&self, act: &Act) -> Effect {
        let played = if self.silent { self.play_to_nothing(act).await } else { self.play(act).await };
        let effect = played.unwrap_or_else(|effect| effect);
        if effect.outcome.observed() {
            self.router.apply(act);
        }
        effect
    }

    fn system(&self, role: Role) -> Option<Arc<dyn System>> {
        Some(Arc::new(self.systems.get()?.get(&role)?.clone()))
    }

    fn system_for(&self, service: &str, role: Role) -> Option<Arc<dyn System>> {
        Some(Arc::new(self.systems.get()?.get(&role)?.of_service(service)))
    }

    fn system_in(&self, region: &str, role: Role) -> Option<Arc<dyn System>> {
        self.systems.get()?.get(&role)?.in_region(region)
    }

    async fn teardown(&self) -> Result<(), EnvironmentError> {
        self.gate.close();
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
