//! What is refused before anything is asked: a scratch place or a command that opens the stack, and two drills at once.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use harness::own::Drill;
use harness::own::stack::Component;

use super::Player;
use crate::own::config::Halt;
use crate::own::place::{self, Place, Sited};
use crate::own::secrets::Secrets;

/// The source, and the scratch place.
pub(in crate::own) type Places = (Arc<dyn Place>, Arc<dyn Place>);

/// Both places of a drill.
pub(in crate::own) fn places(
    drill: &Drill,
    secrets: &Arc<Secrets>,
    dir: &Path,
    run: &str,
) -> Result<Places, String> {
    foreign(drill, secrets)?;
    let open = |scratch: bool| {
        let component = if scratch { &drill.restore.scratch } else { drill.source() };
        let name = if scratch { "scratch place" } else { "source" };
        let sited = Sited { component, canary: drill.canary(), secrets, scratch, dir, run };
        place::open(sited).map_err(|why| format!("the {name}: {why}"))
    };
    Ok((open(false)?, open(true)?))
}

/// Holds the lock of a scratch place, or of a stack, on this machine for as long as the answer lives.
pub(in crate::own) fn hold(name: &str) -> Result<std::fs::File, String> {
    let uid = rustix::process::getuid().as_raw();
    let digest = &harness::journal::digest(name.as_bytes())[..16];
    // Not that of TMPDIR, which may be another one for each.
    let folder =
        Some(Path::new("/tmp")).filter(|p| p.is_dir()).map_or_else(std::env::temp_dir, Path::to_owned);
    let path = folder.join(format!("gameday-{uid}-{digest}.lock"));
    let wrong = |e: io::Error| format!("{}: {e}", path.display());
    let file = std::fs::File::options().create(true).append(true).open(&path).map_err(wrong)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| "another drill of this machine is being played there: nothing was run".to_owned())?;
    Ok(file)
}

/// Refuses a scratch place, or a command, that is given what opens the source or another component: under whatever name.
fn foreign(drill: &Drill, secrets: &Secrets) -> Result<(), String> {
    let value = |name: &String| secrets.get(name);
    let (source, scratch) = (drill.source(), &drill.restore.scratch);
    let same = source.secrets().iter().zip(scratch.secrets().iter()).all(|(a, b)| value(a) == value(b));
    let place = |of: &Component| (of.url.clone(), of.bucket.clone(), of.database.clone());
    let named = source.url.is_some() || !source.secrets().is_empty();
    if same && place(source) == place(scratch) && named {
        return Err("the scratch place has the source's address: nothing was run".into());
    }
    let components = drill.stack.component.values().flat_map(Component::secrets);
    let canaries = drill.stack.canary.values().filter_map(|c| c.dsn_env.clone());
    let theirs: Vec<String> = components.chain(canaries).collect();
    let r = &drill.restore;
    let commands = [Some(&r.restore), Some(&r.cleanup), r.restart.as_ref()].into_iter().flatten();
    let ours = scratch.secrets().into_iter().chain(commands.flat_map(|c| c.env.clone()));
    for name in ours {
        let Some(mine) = value(&name).and_then(opens) else { continue };
        if let Some(owner) = theirs.iter().find(|n| value(n).and_then(opens).as_ref() == Some(&mine)) {
            return Err(format!(
                "{name}, which the drill's commands are given, opens the same as {owner}, which opens the stack: nothing was run"
            ));
        }
    }
    Ok(())
}

/// What a connection string leads to, however it is written; keys of an account lead to nothing by themselves.
fn opens(value: &str) -> Option<String> {
    if let Ok(config) = value.parse::<tokio_postgres::Config>()
        && !config.get_hosts().is_empty()
    {
        return Some(format!("{:?} {:?} {:?}", config.get_hosts(), config.get_ports(), config.get_dbname()));
    }
    value.contains("://").then(|| value.to_owned())
}

impl Player<'_> {
    /// Keeps others away from the scratch place by what it says of itself, however its address is written.
    pub(super) fn hold(&mut self, scratch: &BTreeMap<String, String>) -> Result<(), Halt> {
        let said: Vec<&String> = ["started", "database"].iter().filter_map(|k| scratch.get(*k)).collect();
        if said.len() == 2 {
            let held = hold(&format!("{} {}", said[0], said[1])).map_err(Halt::Abort)?;
            self.held.push(held);
        }
        Ok(())
    }

    /// Keeps other drills away from both places until the answer is dropped.
    pub(super) async fn alone(&self) -> Result<impl Sized + use<>, String> {
        let scratch = &self.c.drill.restore.scratch;
        let values = scratch.secrets().into_iter().filter_map(|n| self.c.secrets.get(&n).map(str::to_owned));
        let named = [&scratch.url, &scratch.bucket, &scratch.database].into_iter().flatten().cloned();
        let address: Vec<String> = values.chain(named).collect();
        let file = hold(&address.join("\n"))?;
        let held = self.source.lock().await.map_err(|e| format!("the source: {e}: nothing was run"))?;
        Ok((file, held))
    }
}
