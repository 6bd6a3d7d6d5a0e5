//! Faults that only containers can suffer: less of the machine, no network, bytes that rot on a drive; and the user's own
//! commands, which run on this machine as in world `local`.

use std::sync::atomic::Ordering;

use bollard::models::{
    ContainerUpdateBody, EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest,
};
use harness::act::{Act, Artifact, Damage};
use harness::ports::Effect;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::container::Container;
use super::host::{DockerHost, Node};
use super::shell::Inside;
use crate::local::command::{self, Errand, Told};
use crate::postgres::{Command, Pages, Seen, Shell as _};

/// Billionths of a processor in one.
const NANO: f64 = 1e9;
/// Bytes of a file that are overwritten, in its middle.
const ROTTEN: u64 = 64;
/// What the kernel allows a container, by either version of its interface: processor time in a period, and memory.
const GRANTED: &str = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us 2>/dev/null \
     || cat /sys/fs/cgroup/cpu.max; \
     cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max";

impl Container {
    /// Gives it as much of the machine, and looks at what the kernel says inside.
    pub(super) async fn limit(&self, cpu: Option<f64>, memory_mb: Option<u32>) -> Effect {
        self.limited(cpu, memory_mb).await.unwrap_or_else(Effect::failed)
    }

    async fn limited(&self, cpu: Option<f64>, memory_mb: Option<u32>) -> Result<Effect, String> {
        let (nano, memory) = self.granted();
        // A share of at least a hundredth, at most of 64 processors: checked with the scenario.
        let nano = cpu.map_or(nano, |cpu| (cpu * NANO).round() as i64);
        let memory = memory_mb.map_or(memory, |mb| i64::from(mb) << 20);
        let body = ContainerUpdateBody {
            nano_cpus: Some(nano),
            memory: Some(memory),
            memory_swap: Some(memory),
            ..Default::default()
        };
        let done = self.engine().docker().update_container(&self.name, body).await;
        done.map_err(|e| format!("container {}: {e}", self.name))?;
        let said = self.inside().run(Command::script(GRANTED, [])).await.map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let numbers: Vec<i64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [quota, period, bytes] = numbers[..] else {
            return Ok(Effect::not_observed(format!("the kernel says {said:?} of container {}", self.name)));
        };
        let (share, wanted) = (quota as f64 / period as f64, nano as f64 / NANO);
        let text = format!("the kernel grants container {} {share:.3} processors, {bytes} bytes", self.name);
        let seen = (share - wanted).abs() < 0.001 && bytes == memory;
        Ok(if seen { Effect::observed(text) } else { Effect::not_observed(text) })
    }

    /// Takes it out of its region's network.
    pub(super) async fn isolate(&self) -> Result<String, Effect> {
        let network = self.network();
        if !self.networks().await?.contains(network) {
            return Err(Effect::not_observed(format!("container {} was in no network before", self.name)));
        }
        let request = NetworkDisconnectRequest { container: self.name.clone(), force: Some(true) };
        let done = self.engine().docker().disconnect_network(network, request).await;
        done.map_err(|e| Effect::failed(format!("container {}: {e}", self.name)))?;
        match self.networks().await? {
            left if left.is_empty() => Ok(format!("container {} is in no network", self.name)),
            left => Err(Effect::not_observed(format!("container {} is still in {left:?}", self.name))),
        }
    }

    /// Puts it into its region's network again, under its name.
    pub(super) async fn attach(&self) -> Result<String, Effect> {
        let network = self.network();
        if !self.networks().await?.contains(network) {
            let aliases = Some(self.aliases().to_vec());
            let endpoint_config = Some(EndpointSettings { aliases, ..Default::default() });
            let request = NetworkConnectRequest { container: self.name.clone(), endpoint_config };
            let done = self.engine().docker().connect_network(network, request).await;
            done.map_err(|e| Effect::failed(format!("container {}: {e}", self.name)))?;
        }
        match self.networks().await? {
            now if now.contains(network) => Ok(format!("container {} is in {network}", self.name)),
            now => Err(Effect::not_observed(format!("container {} is in {now:?}", self.name))),
        }
    }

    /// Whether what an act did to it is still so; an engine that does not say has seen nothing.
    pub(super) async fn holds(&self, act: &Act) -> Option<bool> {
        let life = || async { self.life().await.ok() };
        match act {
            Act::Kill { .. } | Act::Stop { .. } => Some(life().await?.is_none_or(|life| !life.running)),
            Act::Pause { .. } => Some(life().await?.is_some_and(|life| life.running && life.paused)),
            Act::Isolate { .. } => Some(self.networks().await.ok()?.is_empty()),
            _ => None,
        }
    }

    async fn networks(&self) -> Result<Vec<String>, Effect> {
        let seen = self.engine().docker().inspect_container(&self.name, None).await;
        let seen = seen.map_err(|e| Effect::failed(format!("container {}: {e}", self.name)))?;
        let all = seen.network_settings.and_then(|s| s.networks).unwrap_or_default();
        Ok(all.into_keys().collect())
    }
}

/// Lets pages of a database rot on its drive, and reads all of it.
pub(super) async fn rot_pages(
    node: &Node,
    what: Artifact,
    fraction: f64,
    seed: u64,
) -> Result<Effect, Effect> {
    let server = node.product.server().map_err(Effect::failed)?;
    let pages = if what == Artifact::Heap { Pages::Heap } else { Pages::Index };
    let done = server.damage_pages(pages, fraction, seed).await.map_err(|e| Effect::failed(e.to_string()))?;
    let (count, all, file) = (done.blocks.len(), done.pages, &done.file);
    let seen = match &done.seen {
        Seen::Invalid(said) => format!("a reader of all of it is told: {said}"),
        Seen::Latent => "the server has them in memory, and shows nothing until it is restarted".into(),
    };
    let text = format!("{count} of {all} pages of {file} hold other bytes on the drive; {seen}");
    Ok(Effect::observed(text).with("pages_changed", count))
}

/// Lets files of an object store rot on its drive, past its door; then asks for the objects that are in them.
pub(super) async fn rot_drive(node: &Node, how: Damage, fraction: f64, seed: u64) -> Result<Effect, Effect> {
    let (store, inside) = (node.product.object()?, node.container()?.inside());
    if how != Damage::Flip {
        return Err(Effect::failed(format!("a drive is not damaged by `{how}`")));
    }
    let bucket = crate::docker::minio::BUCKET;
    let find = Command::script(r#"cd "/data/$1" && find . -type f | sort"#, [bucket]);
    let listed = said(&inside, find).await.map_err(Effect::failed)?;
    let files: Vec<&str> = listed.lines().filter_map(|line| line.strip_prefix("./")).collect();
    if files.is_empty() {
        return Err(Effect::failed("no object is on the drive"));
    }
    let (mut rng, mut left) = (ChaCha8Rng::seed_from_u64(seed), files.clone());
    let count = ((files.len() as f64 * fraction).ceil() as usize).clamp(1, files.len());
    let (mut refused, mut served) = (0, 0);
    for _ in 0..count {
        let at = rng.next_u64() % left.len() as u64;
        let file = left.swap_remove(usize::try_from(at).unwrap_or_default());
        let mut bytes = vec![0; ROTTEN as usize];
        rng.fill_bytes(&mut bytes);
        let path = format!("/data/{bucket}/{file}");
        overwrite(&inside, &path, &bytes).await.map_err(Effect::failed)?;
        // `{key}/xl.meta`, and beside it a folder with parts where the object is large.
        let key = file.split("/xl.meta").next().unwrap_or(file);
        match store.data.get(key).await {
            Ok(Some(_)) => served += 1,
            Ok(None) | Err(_) => refused += 1,
        }
    }
    let text = format!(
        "{ROTTEN} bytes in each of {count} of {} files of the store hold other values on its drive; of the objects in \
         them {refused} are not served any more, {served} are",
        files.len()
    );
    Ok(Effect::observed(text).with("files_changed", count).with("refused", refused))
}

/// Overwrites the middle of a file, and reads it back from the drive.
async fn overwrite(inside: &Inside, path: &str, bytes: &[u8]) -> Result<(), String> {
    let script = r#"size=$(stat -c %s "$1") && at=$((size / 2)) && count=$(($2 < size - at ? $2 : size - at)) \
        && dd of="$1" bs=1 seek=$at count=$count conv=notrunc,fsync status=none \
        && dd if="$1" bs=1 skip=$at count=$count status=none"#;
    let length = bytes.len().to_string();
    let output = inside.run(Command::script(script, [path, length.as_str()]).reads(bytes)).await;
    let output = output.map_err(|e| e.to_string())?;
    if output.code != 0 || output.stdout.is_empty() || !bytes.starts_with(&output.stdout) {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{path} does not hold what was written: {why}"));
    }
    Ok(())
}

async fn said(inside: &Inside, command: Command) -> Result<String, String> {
    let output = inside.run(command).await.map_err(|e| e.to_string())?;
    match output.code {
        0 => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        code => Err(format!("code {code}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

impl DockerHost {
    /// The user's own command, in the run's folder; it is told where every node is, and who may enter.
    pub(super) async fn command(&self, run: &[String]) -> Result<Effect, Effect> {
        let n = self.commands.fetch_add(1, Ordering::Relaxed);
        let mut told = Told::default();
        for node in &self.nodes {
            told.tell(command::variable(&node.id, "ADDR"), node.published().to_string());
            if let Ok(container) = node.container() {
                told.tell(command::variable(&node.id, "CONTAINER"), &container.name);
            }
            node.product.introduce(&node.id, &mut told);
        }
        let errand = Errand {
            gate: &self.gate,
            host: self,
            topology: &self.plan.topology,
            exe: &self.exe,
            run: &self.run,
            folder: &self.folder,
            n,
        };
        command::run(errand, run, told).await
    }
}
