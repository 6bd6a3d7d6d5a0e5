//! A disk that can run full without the machine's own disk running full: a volume in memory, of a size that the kernel
//! keeps. Only nodes whose disk the plan fills have one.
//!
//! Such a volume is empty again once no running container has it, so a second container of the run, the keeper, holds it
//! for as long as the node is to have a disk: through kills and restarts of the node, and until a wipe. Its bytes count as
//! memory of the node's container, which gets as much more.
//!
//! It is filled by one file in its root, beside what the product stores, and freed by removing that file. Nothing is
//! filled whose size was not looked at first.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, VolumeCreateRequest};
use bollard::query_parameters::{CreateContainerOptions, RemoveContainerOptions};
use harness::act::Act;
use harness::plan::Plan;
use harness::ports::Effect;
use harness::topology::NodeId;
use tokio::time::timeout;

use super::container::Container;
use super::engine::missing;
use super::product::Product;
use super::shell::Inside;
use super::stand::{Blueprint, Place};
use crate::postgres::{Command, Shell as _};

/// Bytes of a disk that can be filled.
pub(super) const SMALL: i64 = 256 << 20;
/// What fills it.
const BALLAST: &str = ".gameday-ballast";
/// Filling it, or making room.
const SHELL: Duration = Duration::from_secs(60);
/// One attempt at being a user.
const ATTEMPT: Duration = Duration::from_secs(3);
/// Kind of the file system and its size in bytes, before a single byte is written.
const LOOK: &str = r#"stat -f -c '%T %b %S' "$1""#;
/// Large blocks until there is no room, then small ones; then one byte, which has to be refused.
const FILL: &str = r#"cd "$1" && for size in 1048576 4096 1; do
    dd if=/dev/zero bs="$size" conv=notrunc oflag=append of="$2" 2>/dev/null; done
    dd if=/dev/zero bs=1 count=1 conv=notrunc oflag=append of="$2" 2>&1; stat -f -c '%a %S' ."#;
/// Room that there is afterwards.
const FREE: &str = r#"cd "$1" && rm -f "$2" && stat -f -c '%a %S' ."#;

/// Whether the plan fills the disk of a node.
pub(super) fn fills(plan: &Plan, id: &NodeId) -> bool {
    plan.cues.iter().flat_map(|cue| &cue.acts).any(|act| matches!(act, Act::Fill { node } if node == id))
}

/// The volume of a node.
pub(super) fn volume(blueprint: &Blueprint, place: &Place) -> VolumeCreateRequest {
    let options = blueprint.disk.bytes.map(|bytes| {
        let size = format!("size={bytes},mode=0755");
        let pairs = [("type", "tmpfs"), ("device", "tmpfs"), ("o", size.as_str())];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect()
    });
    VolumeCreateRequest {
        name: Some(place.volume.clone()),
        labels: Some(place.labels.clone()),
        driver_opts: options,
        ..Default::default()
    }
}

/// Who holds a disk in memory.
const KEEPER: &str = "keeper";
/// Memory of a second container.
const SECOND_MEMORY: i64 = 256 << 20;

/// What an engine is told of a second container that has a node's disk: it sleeps, and has no network.
fn second_body(blueprint: &Blueprint, place: &Place) -> ContainerCreateBody {
    let disk = Mount {
        typ: Some(MountType::VOLUME),
        source: Some(place.volume.clone()),
        target: Some(blueprint.disk.at.to_owned()),
        ..Default::default()
    };
    let host = HostConfig {
        memory: Some(SECOND_MEMORY),
        memory_swap: Some(SECOND_MEMORY),
        network_mode: Some("none".into()),
        mounts: Some(vec![disk]),
        init: Some(true),
        ..Default::default()
    };
    ContainerCreateBody {
        image: Some(blueprint.image.clone()),
        user: Some("root".into()),
        entrypoint: Some(vec!["sleep".into()]),
        cmd: Some(vec!["infinity".into()]),
        labels: Some(HashMap::clone(&place.labels)),
        host_config: Some(host),
        ..Default::default()
    }
}

impl Container {
    /// Starts who keeps a disk in memory, if it is one.
    pub(super) async fn keep_disk(&self) -> Result<(), String> {
        if self.plans().0.disk.bytes.is_none() {
            return Ok(());
        }
        self.second(KEEPER).await.map(drop)
    }

    /// Removes who keeps it, and with it what is on it.
    pub(super) async fn give_up_disk(&self) -> Result<(), String> {
        self.remove_second(KEEPER).await
    }

    /// Starts a second container that has the same disk, and answers with the way in. One of an earlier attempt is gone.
    pub(super) async fn second(&self, word: &str) -> Result<Inside, String> {
        self.remove_second(word).await?;
        let (blueprint, place) = self.plans();
        let (docker, name) = (self.engine().docker(), format!("{}-{word}", self.name));
        let options = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
        let made = docker.create_container(Some(options), second_body(blueprint, place)).await;
        made.map_err(|e| format!("container {name}: {e}"))?;
        docker.start_container(&name, None).await.map_err(|e| format!("container {name}: {e}"))?;
        Ok(Inside { container: name, ..self.inside() })
    }

    /// Removes it, if it is there.
    pub(super) async fn remove_second(&self, word: &str) -> Result<(), String> {
        let name = format!("{}-{word}", self.name);
        let options = RemoveContainerOptions { force: true, ..Default::default() };
        match self.engine().docker().remove_container(&name, Some(options)).await {
            Ok(()) => Ok(()),
            Err(e) if missing(&e) => Ok(()),
            Err(e) => Err(format!("container {name}: {e}")),
        }
    }
}

/// Fills a disk to its last byte, and tries what a user would.
pub(super) async fn fill(product: &Product, container: &Container) -> Effect {
    filled(product, container).await.unwrap_or_else(Effect::failed)
}

async fn filled(product: &Product, container: &Container) -> Result<Effect, String> {
    let (blueprint, _) = container.plans();
    let at = blueprint.disk.at;
    let Some(bytes) = blueprint.disk.bytes else {
        return Err("its disk is as large as that of the machine, and is not filled".into());
    };
    let said = run(container, Command::script(LOOK, [at])).await?;
    let numbers: Vec<&str> = said.split_whitespace().collect();
    let [kind, blocks, size] = numbers[..] else { return Err(format!("{at}: {said:?}")) };
    let all = blocks.parse::<i64>().ok().zip(size.parse::<i64>().ok());
    let all = all.and_then(|(blocks, size)| blocks.checked_mul(size)).unwrap_or(i64::MAX);
    if kind != "tmpfs" || all > bytes {
        return Err(format!("{at} is a {kind} of {all} bytes, and is not filled"));
    }
    let said = run(container, Command::script(FILL, [at, BALLAST])).await?;
    let room = room(&said);
    let mb = bytes >> 20;
    if !said.contains("No space left") || room != Some(0) {
        return Ok(Effect::not_observed(format!("the disk of {mb} MB is not full: {}", said.trim())));
    }
    let user = match timeout(ATTEMPT, product.ready()).await {
        Ok(Ok(done)) => format!("users' writes still go: {done}"),
        Ok(Err(why)) => format!("a user's write fails: {why}"),
        Err(_) => format!("a user's write is not answered within {ATTEMPT:?}"),
    };
    let text = format!(
        "the disk of {mb} MB has no byte left, one more was refused: No space left on device; {user}"
    );
    Ok(Effect::observed(text).with("disk_bytes", bytes))
}

/// Makes room again.
pub(super) async fn free(container: &Container) -> Effect {
    let at = container.plans().0.disk.at;
    // A server that runs no more has a disk all the same: its keeper knows it.
    let said = match run(container, Command::script(FREE, [at, BALLAST])).await {
        Ok(said) => said,
        Err(_) => {
            let name = format!("{}-{KEEPER}", container.name);
            let inside = Inside { container: name, ..container.inside() };
            match inside.run(Command::script(FREE, [at, BALLAST]).within(SHELL)).await {
                Ok(output) if output.code == 0 => String::from_utf8_lossy(&output.stdout).into_owned(),
                Ok(output) => return Effect::failed(String::from_utf8_lossy(&output.stderr).into_owned()),
                Err(e) => return Effect::failed(e.to_string()),
            }
        }
    };
    match room(&said) {
        Some(room) if room > 0 => Effect::observed(format!("the disk has {room} bytes left")),
        _ => Effect::not_observed(format!("the disk is as full as before: {}", said.trim())),
    }
}

/// Bytes that are left, of the last line.
fn room(said: &str) -> Option<u64> {
    let mut numbers = said.lines().last()?.split_whitespace().map(str::parse::<u64>);
    numbers.next()?.ok()?.checked_mul(numbers.next()?.ok()?)
}

async fn run(container: &Container, command: Command) -> Result<String, String> {
    let output = container.inside().run(command.within(SHELL)).await.map_err(|e| e.to_string())?;
    match output.code {
        0 => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        code => Err(format!("exit code {code}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_read_of_the_last_line() {
        assert_eq!(room("sh: 1: printf: I/O error: No space left on device\n0 4096\n"), Some(0));
        assert_eq!(room("12 4096"), Some(49152));
        for garbled in ["", "x 4096", "7", "99999999999999999 4096999999"] {
            assert_eq!(room(garbled), None, "{garbled}");
        }
    }
}
