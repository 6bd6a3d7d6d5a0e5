//! Finding and removing whatever a run left in a container engine, by the run's label alone.
//!
//! Containers go first, then networks, then volumes; what is paused is resumed, so that nothing of a frozen process
//! is left. The sweep is done when two looks in a row find nothing, since an engine may still be making what nobody
//! waits for any more. What does not carry the label is never touched.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use bollard::query_parameters::{
    ListContainersOptions, ListNetworksOptions, ListVolumesOptions, RemoveContainerOptions,
    RemoveVolumeOptions,
};
use harness::ports::EnvironmentError;
use serde::Serialize;

use super::engine::status;
use super::{Engine, FOLDER, RUN, environment};
use crate::local::watchdog::ENGINE;

/// How long two looks are apart.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a sweep may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Something of a run in an engine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Thing {
    /// `container`, `network` or `volume`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The run that made it.
    pub run: String,
    /// The folder of that run, if it is known.
    pub folder: Option<String>,
}

/// Everything in the engine that some run made.
///
/// # Errors
/// If the engine does not say.
pub async fn find_all(engine: &Engine) -> Result<Vec<Thing>, EnvironmentError> {
    find_labelled(engine, RUN.to_owned()).await
}

/// Everything in the engine that this run made.
///
/// # Errors
/// If the engine does not say.
pub async fn find(engine: &Engine, run: &str) -> Result<Vec<Thing>, EnvironmentError> {
    find_labelled(engine, format!("{RUN}={run}")).await
}

async fn find_labelled(engine: &Engine, label: String) -> Result<Vec<Thing>, EnvironmentError> {
    find_or(engine, label).await.map_err(|e| {
        environment(format!("the container engine does not say what it holds: {e}"), "see that it is well")
    })
}

async fn find_or(engine: &Engine, label: String) -> Result<Vec<Thing>, bollard::errors::Error> {
    let filters = Some(HashMap::from([("label".to_owned(), vec![label])]));
    let docker = engine.docker();
    let options = ListContainersOptions { all: true, filters: filters.clone(), ..Default::default() };
    let mut found = Vec::new();
    for c in docker.list_containers(Some(options)).await? {
        // A container that is being removed may have lost its name.
        found.extend(thing("container", c.id.unwrap_or_default(), c.labels));
    }
    let options = ListNetworksOptions { filters: filters.clone() };
    for n in docker.list_networks(Some(options)).await? {
        found.extend(thing("network", n.name.unwrap_or_default(), n.labels));
    }
    let options = ListVolumesOptions { filters };
    for v in docker.list_volumes(Some(options)).await?.volumes.unwrap_or_default() {
        found.extend(thing("volume", v.name, Some(v.labels)));
    }
    Ok(found)
}

fn thing(kind: &'static str, name: String, labels: Option<HashMap<String, String>>) -> Option<Thing> {
    let labels = labels?;
    Some(Thing { kind, name, run: labels.get(RUN)?.clone(), folder: labels.get(FOLDER).cloned() })
}

/// Removes everything that a run made, and answers what it was once nothing is left.
///
/// # Errors
/// If something would not go, or the engine does not answer.
pub async fn sweep(engine: &Engine, run: &str) -> Result<Vec<Thing>, EnvironmentError> {
    let (began, mut removed, mut quiet) = (Instant::now(), BTreeMap::new(), 0);
    loop {
        let found = find(engine, run).await?;
        let mut refused = None;
        for thing in &found {
            match remove(engine, thing).await {
                Ok(()) => {}
                // Gone, or going, or still used by what goes: the next look tells.
                Err(e) if matches!(status(&e), Some(404 | 409)) => refused = Some(e.to_string()),
                Err(e) => refused = Some(e.to_string()),
            }
        }
        quiet = if found.is_empty() { quiet + 1 } else { 0 };
        removed.extend(found.into_iter().map(|thing| (thing, ())));
        if quiet == 2 {
            return Ok(removed.into_keys().collect());
        }
        if began.elapsed() > LIMIT {
            let why = refused.unwrap_or_else(|| "new things keep appearing".into());
            let what = format!("things of run {run} are still in the container engine: {why}");
            let remedy = format!("remove them by hand: docker ps -a --filter label={RUN}={run}");
            return Err(environment(what, remedy));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn remove(engine: &Engine, thing: &Thing) -> Result<(), bollard::errors::Error> {
    let docker = engine.docker();
    match thing.kind {
        "container" => {
            // An error says that it was not paused.
            let _ = docker.unpause_container(&thing.name).await;
            let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
            docker.remove_container(&thing.name, Some(options)).await
        }
        "network" => docker.remove_network(&thing.name).await,
        _ => {
            let options = RemoveVolumeOptions { force: true };
            docker.remove_volume(&thing.name, Some(options)).await
        }
    }
}

/// Refuses to go on while an older run's things are there and nobody looks after them.
///
/// # Errors
/// With the command that removes them.
pub async fn no_left_overs(engine: &Engine, run: &str) -> Result<(), EnvironmentError> {
    let mut runs: BTreeMap<String, (usize, Option<String>)> = BTreeMap::new();
    for thing in find_all(engine).await? {
        let entry = runs.entry(thing.run).or_insert((0, None));
        entry.0 += 1;
        entry.1 = entry.1.take().or(thing.folder);
    }
    // A run with a watchdog is being played, or is being cleaned up.
    runs.retain(|other, _| other == run || !guarded(other));
    let Some((other, (count, folder))) = runs.into_iter().next() else { return Ok(()) };
    let what =
        format!("run {other} has left {count} containers, networks and volumes in the container engine");
    let remedy = match folder {
        Some(folder) if Path::new(&folder).is_dir() => format!("run `gameday heal {folder}`"),
        _ => format!(
            "its folder is gone; remove them: docker rm -f $(docker ps -aq --filter label={RUN}={other})"
        ),
    };
    Err(environment(what, remedy))
}

/// Whether a run's watchdog is on guard on this machine.
fn guarded(run: &str) -> bool {
    let Ok(all) = std::fs::read_dir("/proc") else { return false };
    all.flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|&b| b == 0).skip(1);
        words.next() == Some(crate::local::WATCHDOG.as_bytes()) && words.next() == Some(run.as_bytes())
    })
}

#[derive(Serialize, serde::Deserialize)]
struct Marker {
    engine: Option<String>,
}

/// Writes down that a run uses the engine of this environment.
pub(super) fn mark(folder: &Path) -> std::io::Result<()> {
    let engine = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let text = serde_json::to_string(&Marker { engine }).map_err(std::io::Error::other)?;
    std::fs::write(folder.join(ENGINE), text + "\n")
}

/// Removes everything that a run made in the engine that it wrote down. Blocks; outside any runtime.
pub(crate) fn sweep_marked(marker: &[u8], run: &str) -> Result<Vec<Thing>, EnvironmentError> {
    let marker = serde_json::from_slice::<Marker>(marker).ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| environment(e, "end other programs, and heal again"))?;
    runtime.block_on(async {
        let engine = match marker.and_then(|marker| marker.engine) {
            Some(address) => Engine::connect_to(&address).await?,
            None => Engine::connect().await?,
        };
        sweep(&engine, run).await
    })
}
