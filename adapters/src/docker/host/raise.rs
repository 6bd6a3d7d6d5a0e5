//! Making what a stack is made of: networks, containers, links between regions; and keeping what they said.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bollard::models::NetworkCreateRequest;
use futures::future::{join_all, try_join_all};
use harness::ports::{Effect, EnvironmentError};
use harness::topology::Role;
use tokio::time::{sleep, timeout};

use super::super::bridge::Bridge;
use super::super::container::Container;
use super::super::disk;
use super::super::images::{self, Found};
use super::super::stand::Place;
use super::super::{Engine, FOLDER, RUN, environment};
use super::{DockerHost, Node, POLL, SEE_LOGS};
use crate::local::private;

/// How long a product may take until it serves users.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long one that runs already may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long the logs may take to be collected.
const LOGS_LIMIT: Duration = Duration::from_secs(10);

impl DockerHost {
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
    pub(super) async fn image(&self, engine: &Engine, role: Role) -> Result<Found, EnvironmentError> {
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
    pub(super) async fn networks(&self, engine: &Engine) -> Result<(), EnvironmentError> {
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

    /// Makes the nodes and links of a role, and lets regions follow each other. Answers with what was seen.
    pub(super) async fn raise_role(
        &self,
        engine: &Engine,
        role: Role,
    ) -> Result<Vec<String>, EnvironmentError> {
        let nodes = self.nodes.iter().filter(|node| node.id.role == role);
        let nodes = try_join_all(nodes.map(|node| self.raise_with_links(engine, node)));
        let (mut lines, links): (Vec<_>, Vec<_>) = nodes.await?.into_iter().unzip();
        lines.extend(links.concat());
        lines.extend(self.join_regions(role).await.map_err(|why| environment(why, SEE_LOGS))?);
        Ok(lines)
    }

    /// Makes a node's container, and then the links that lead there: an engine makes one container after the other, and
    /// a link to what does not serve yet would only be in the way.
    async fn raise_with_links(
        &self,
        engine: &Engine,
        node: &Node,
    ) -> Result<(String, Vec<String>), EnvironmentError> {
        let line = self.raise_in_turn(engine, node).await?;
        let links = self.bridges.iter().filter(|bridge| bridge.far == node.id);
        let links = try_join_all(links.map(|bridge| self.bridge(engine, bridge)));
        Ok((line, links.await?))
    }

    /// Makes a node's container as soon as what it needs is there: a Milvus ends at once without its object store.
    async fn raise_in_turn(&self, engine: &Engine, node: &Node) -> Result<String, EnvironmentError> {
        let runs = self.plan.scenario.stack.runs_at_launch(&node.id);
        if node.id.role == Role::Vector
            && runs
            && let Ok(store) = self.object_store(&node.id.region)
        {
            store.furnished().await;
        }
        self.raise(engine, node).await
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
        let mut blueprint = node.product.blueprint(image.image.clone());
        if disk::fills(&self.plan, &node.id) {
            blueprint = blueprint.small_disk(disk::SMALL);
        }
        let made = Container::new(engine.clone(), self.name(&slug), blueprint, place);
        made.create().await.map_err(|why| environment(why, "see that the engine has room on its disk"))?;
        let container = node.container.get_or_init(|| made);
        if !self.plan.scenario.stack.runs_at_launch(&node.id) {
            return Ok(format!("{}: not started; it waits for a failover", node.id));
        }
        let effect = self.start(node).await;
        if !effect.outcome.observed() {
            if let Some(refused) = node.product.hopeless() {
                let what = format!("{}: image {}: {}", node.id, image.image, refused.what);
                return Err(environment(what, refused.remedy));
            }
            let (mut what, log) = (format!("{}: {}", node.id, effect.outcome.text()), "; its log: ");
            // Of one that has ended, it is told already.
            if !what.contains(log) {
                what = what + log + &container.said().await;
            }
            let remedy =
                format!("{SEE_LOGS}, and see that image {} is {}", image.image, node.product.wanted());
            return Err(environment(what, remedy));
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

    /// Starts a node's container and waits until a user's operation succeeds, past the link.
    pub(in crate::docker) async fn start(&self, node: &Node) -> Effect {
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
        let (name, source) = (&container.name, self.source(node));
        // A PostgreSQL is made as a copy of its primary, over the link.
        if let Some(primary) = self.counterpart(node)
            && source.is_some()
            && node.id.role == Role::Feature
            && let Some(way) = self.way(&node.id, &primary.id)
        {
            way.up().await;
        }
        if let Err(why) = node.product.boot(container.inside(), source).await {
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
                Err(why) if node.product.hopeless().is_some() => return Effect::failed(why),
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
    pub(super) async fn collect_logs(&self) {
        let folder = self.folder.join("logs");
        if let Err(e) = private::folder(&folder) {
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
