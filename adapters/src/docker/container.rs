//! One container: its life, each step answered after it was seen.
//!
//! What is asked of an engine may take effect though nobody waits for the answer any more, so nothing here is
//! remembered: the engine is asked how the container is.

use std::time::{Duration, Instant};

use bollard::models::NetworkConnectRequest;
use bollard::query_parameters::{
    CreateContainerOptions, LogsOptions, RemoveContainerOptions, RemoveVolumeOptions, StopContainerOptions,
    WaitContainerOptions,
};
use futures::{FutureExt, StreamExt, future::try_join};
use harness::ports::Effect;
use tokio::time::timeout;

use super::Engine;
use super::disk;
use super::engine::{missing, status};
use super::shell::Inside;
use super::stand::{Blueprint, Place, body};

/// How long a container that was asked to stop may take before it is killed, in seconds.
const STOP_SECONDS: i32 = 15;
/// How long the end of a container may take to be seen.
const END_LIMIT: Duration = Duration::from_secs(20);
/// The exit code of a process that was killed.
const KILLED: i64 = 137;
/// Lines of a log that are kept.
const LOG_LINES: &str = "20000";
/// How much of a log goes into an error.
const LOG_TAIL: usize = 2 << 10;

/// How a container is, as the engine says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) running: bool,
    pub(super) paused: bool,
    /// Of its main process on this machine, while it runs.
    pub(super) pid: i64,
    pub(super) exit: i64,
    /// When its last process was started: another process, another moment.
    pub(super) started: String,
    pub(super) out_of_memory: bool,
}

impl Life {
    fn end(&self) -> String {
        let memory = if self.out_of_memory { ", out of memory" } else { "" };
        format!("exit code {}{memory}", self.exit)
    }
}

/// A container of the run, whether or not it is there.
#[derive(Debug)]
pub(super) struct Container {
    engine: Engine,
    pub(super) name: String,
    blueprint: Blueprint,
    place: Place,
}

type Said<T> = Result<T, String>;

impl Container {
    pub(super) fn new(engine: Engine, name: String, blueprint: Blueprint, place: Place) -> Self {
        Self { engine, name, blueprint, place }
    }

    /// The way in, for commands.
    pub(super) fn inside(&self) -> Inside {
        Inside { engine: self.engine.clone(), container: self.name.clone(), user: "root" }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Its region's network.
    pub(super) fn network(&self) -> &String {
        &self.place.network
    }

    /// Its names there.
    pub(super) fn aliases(&self) -> &[String] {
        &self.place.aliases
    }

    /// Billionths of a processor, and bytes of memory, as at launch.
    pub(super) fn granted(&self) -> (i64, i64) {
        (self.blueprint.nano_cpus, self.blueprint.memory)
    }

    /// What it is made of, and where it stands.
    pub(super) fn plans(&self) -> (&Blueprint, &Place) {
        (&self.blueprint, &self.place)
    }

    /// Makes disk and container. Starts nothing of the product.
    pub(super) async fn create(&self) -> Said<()> {
        let docker = self.engine.docker();
        let volume = disk::volume(&self.blueprint, &self.place);
        docker.create_volume(volume).await.map_err(|e| format!("volume {}: {e}", self.place.volume))?;
        self.keep_disk().await?;
        let options = CreateContainerOptions { name: Some(self.name.clone()), ..Default::default() };
        let made = docker.create_container(Some(options), body(&self.blueprint, &self.place)).await;
        made.map(drop).map_err(|e| format!("container {}: {e}", self.name))?;
        for network in &self.place.also {
            let request = NetworkConnectRequest { container: self.name.clone(), ..Default::default() };
            let joined = docker.connect_network(network, request).await;
            joined.map_err(|e| format!("container {} in network {network}: {e}", self.name))?;
        }
        Ok(())
    }

    /// How it is; `None` if there is none.
    pub(super) async fn life(&self) -> Said<Option<Life>> {
        let seen = match self.engine.docker().inspect_container(&self.name, None).await {
            Ok(seen) => seen.state.unwrap_or_default(),
            Err(e) if missing(&e) => return Ok(None),
            Err(e) => return Err(format!("container {}: {e}", self.name)),
        };
        Ok(Some(Life {
            running: seen.running.unwrap_or_default(),
            paused: seen.paused.unwrap_or_default(),
            pid: seen.pid.unwrap_or_default(),
            exit: seen.exit_code.unwrap_or_default(),
            started: seen.started_at.unwrap_or_default(),
            out_of_memory: seen.oom_killed.unwrap_or_default(),
        }))
    }

    /// How it is, as something that has to be there.
    async fn lives(&self) -> Result<Life, Effect> {
        match self.life().await {
            Ok(Some(life)) => Ok(life),
            Ok(None) => Err(Effect::failed(format!("there is no container {}", self.name))),
            Err(why) => Err(Effect::failed(why)),
        }
    }

    /// How it is, if it runs; what has ended before is no fault's doing.
    async fn runs(&self) -> Result<Life, Effect> {
        let life = self.lives().await?;
        if life.running {
            return Ok(life);
        }
        Err(Effect::not_observed(format!("container {} had ended before, with {}", self.name, life.end())))
    }

    /// Starts it, unless it runs; whether it was started by this call.
    pub(super) async fn start(&self) -> Said<bool> {
        let life = self.life().await?;
        if life.is_some_and(|life| life.running) {
            return Ok(false);
        }
        match self.engine.docker().start_container(&self.name, None).await {
            Ok(()) => Ok(true),
            Err(e) => Err(format!("container {}: {e}", self.name)),
        }
    }

    pub(super) async fn kill(&self) -> Effect {
        match self.end(self.engine.docker().kill_container(&self.name, None)).await {
            // One that ends otherwise was not ended by this kill.
            Ok((pid, code, took)) if code != KILLED => Effect::not_observed(self.ending(pid, code, took)),
            Ok((pid, code, took)) => Effect::observed(self.ending(pid, code, took)),
            Err(effect) => effect,
        }
    }

    pub(super) async fn stop(&self) -> Effect {
        let options = StopContainerOptions { t: Some(STOP_SECONDS), ..Default::default() };
        match self.end(self.engine.docker().stop_container(&self.name, Some(options))).await {
            Ok((pid, code, took)) => Effect::observed(self.ending(pid, code, took)),
            Err(effect) => effect,
        }
    }

    fn ending(&self, pid: i64, code: i64, took: Duration) -> String {
        format!("container {}: process {pid} ended with exit code {code} after {took:.1?}", self.name)
    }

    /// Ends it by `order`, and waits until the end of the process that ran is seen. Whoever repairs it may have
    /// started another by then.
    async fn end(
        &self,
        order: impl Future<Output = Result<(), bollard::errors::Error>>,
    ) -> Result<(i64, i64, Duration), Effect> {
        let before = self.runs().await?;
        let began = Instant::now();
        let mut exits =
            Box::pin(self.engine.docker().wait_container(&self.name, None::<WaitContainerOptions>));
        // Asked before the order is given: afterwards the answer may be that of the next process.
        let seen = timeout(END_LIMIT, exits.next());
        let done = async { order.await.map_err(|e| self.refused(&e)) };
        let (seen, ()) = try_join(seen.map(Ok), done).await?;
        let after = self.lives().await?;
        if after.running && after.started == before.started {
            let why = format!("container {} still runs after {:.1?}", self.name, began.elapsed());
            return Err(Effect::not_observed(why));
        }
        let code = match seen {
            Ok(Some(Ok(exit))) => exit.status_code,
            Ok(Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. }))) => code,
            _ if !after.running => after.exit,
            _ => {
                let why = format!("container {}: how process {} ended was not seen", self.name, before.pid);
                return Err(Effect::not_observed(why));
            }
        };
        Ok((before.pid, code, began.elapsed()))
    }

    /// What an engine's refusal to end it means: it may have ended by itself meanwhile.
    fn refused(&self, error: &bollard::errors::Error) -> Effect {
        harness::shortage::notice_in(error);
        let why = format!("container {}: {error}", self.name);
        if status(error) == Some(409) { Effect::not_observed(why) } else { Effect::failed(why) }
    }

    /// Freezes every process of it.
    pub(super) async fn pause(&self) -> Result<String, Effect> {
        let life = self.runs().await?;
        if life.paused {
            return Err(Effect::not_observed(format!("container {} was paused before", self.name)));
        }
        let done = self.engine.docker().pause_container(&self.name).await;
        done.map_err(|e| Effect::failed(format!("container {}: {e}", self.name)))?;
        match self.lives().await? {
            Life { paused: true, .. } => Ok(format!("container {} is paused", self.name)),
            life => Err(Effect::not_observed(format!("container {}: {life:?}", self.name))),
        }
    }

    /// Lets it go on. One that is not paused goes on already.
    pub(super) async fn resume(&self) -> Result<String, Effect> {
        let life = self.runs().await?;
        if life.paused {
            let done = self.engine.docker().unpause_container(&self.name).await;
            done.map_err(|e| Effect::failed(format!("container {}: {e}", self.name)))?;
        }
        match self.lives().await? {
            Life { running: true, paused: false, .. } => Ok(format!("container {} goes on", self.name)),
            life => Err(Effect::not_observed(format!("container {}: {life:?}", self.name))),
        }
    }

    /// Throws its disk away and gives it an empty one. An engine takes no disk from a container, so the container is
    /// made anew as well.
    pub(super) async fn wipe(&self) -> Effect {
        match self.lives().await {
            Ok(life) if life.running => {
                let why = format!("process {} runs on this disk: kill it first", life.pid);
                Effect::failed(why)
            }
            Ok(_) => self.renew().await.map_or_else(Effect::failed, Effect::observed),
            Err(effect) => effect,
        }
    }

    async fn renew(&self) -> Said<String> {
        let (docker, volume) = (self.engine.docker(), &self.place.volume);
        let options = RemoveContainerOptions { force: false, v: true, ..Default::default() };
        let removed = docker.remove_container(&self.name, Some(options)).await;
        removed.map_err(|e| format!("container {}: {e}", self.name))?;
        self.give_up_disk().await?;
        let removed = docker.remove_volume(volume, None::<RemoveVolumeOptions>).await;
        removed.map_err(|e| format!("volume {volume}: {e}"))?;
        match docker.inspect_volume(volume).await {
            Err(e) if missing(&e) => {}
            Err(e) => return Err(format!("volume {volume}: {e}")),
            Ok(_) => return Err(format!("volume {volume} is still there")),
        }
        self.create().await?;
        Ok(format!("volume {volume} is gone, and an empty one is in its place"))
    }

    /// What it wrote to its standard output and error, from its first start on.
    pub(super) async fn log(&self) -> Vec<u8> {
        let options =
            LogsOptions { stdout: true, stderr: true, tail: LOG_LINES.into(), ..Default::default() };
        let mut lines = Box::pin(self.engine.docker().logs(&self.name, Some(options)));
        let mut log = Vec::new();
        while let Some(Ok(line)) = lines.next().await {
            log.extend_from_slice(&line.into_bytes());
        }
        log
    }

    /// The end of its log, as text.
    pub(super) async fn said(&self) -> String {
        let log = timeout(END_LIMIT, self.log()).await.unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]).trim().to_owned()
    }

    /// How its last process ended.
    pub(super) async fn ended(&self) -> Option<String> {
        let life = self.life().await.ok()??;
        (!life.running).then(|| life.end())
    }
}
