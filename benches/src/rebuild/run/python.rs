//! The environment of the peers: made by `benches/peers/setup` in the cache, never without being asked.
//!
//! The scripts are part of this program, so that they cannot be of another version than it is.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sha2::{Digest as _, Sha256};

use super::child::{self, NoAnswer};
use crate::rebuild::{Trouble, contender::Peer};

/// Name, mode and text of each script.
const SCRIPTS: [(&str, &str); 8] = [
    ("setup", include_str!("../../../peers/setup")),
    ("peer.py", include_str!("../../../peers/peer.py")),
    ("libraries.py", include_str!("../../../peers/libraries.py")),
    ("more.txt", include_str!("../../../peers/more.txt")),
    ("embed.py", include_str!("../../../peers/embed.py")),
    ("glove.py", include_str!("../../../peers/glove.py")),
    ("requirements.txt", include_str!("../../../peers/requirements.txt")),
    ("requirements-data.txt", include_str!("../../../peers/requirements-data.txt")),
];
/// Peers that not every machine can have: `MODULE PACKAGE==VERSION`.
const MORE: &str = include_str!("../../../peers/more.txt");
/// Tells `OpenBLAS` which kernels to use.
const CORE: &str = "OPENBLAS_CORETYPE";
const REMEDY: &str = "make the environment of the peers once: gameday bench setup";

/// A Python in which every peer can be imported.
#[derive(Debug, Clone)]
pub struct Python {
    program: PathBuf,
    script: PathBuf,
    threads: u32,
    /// Versions of the peers, by name.
    pub versions: BTreeMap<String, String>,
}

impl Python {
    /// The environment in the cache.
    ///
    /// # Errors
    /// There is none, it is not of the pinned versions, or a peer in it cannot be imported.
    pub fn find(cache: &Path, threads: u32, stopped: &dyn Fn() -> bool) -> Result<Python, Trouble> {
        let home = cache.join("peers");
        let program = home.join("bin/python");
        let Ok(ready) = fs::read_to_string(home.join("ready")) else {
            return Err(Trouble::environment("no peers: their environment was never made", REMEDY));
        };
        if ready.trim() != pins() || !program.is_file() {
            let what = "no peers: their environment is of other versions than the pinned ones";
            return Err(Trouble::environment(what, REMEDY));
        }
        let script = scripts(cache)?.join("peer.py");
        let mut found = Python { program, script, threads, versions: BTreeMap::new() };
        let answer = child::run(found.command(&["versions"]), Duration::from_secs(120), stopped);
        let failed =
            |why: String| Trouble::environment(format!("no peers: they cannot be imported: {why}"), REMEDY);
        let answer = answer.map_err(|why| match why {
            NoAnswer::Stopped => Trouble::stopped(),
            NoAnswer::Failed(why) => failed(why),
        })?;
        found.versions = serde_json::from_str(&answer.stdout).map_err(|e| failed(e.to_string()))?;
        if let Some(core) = openblas() {
            found.versions.insert("openblas".into(), format!("as {core}"));
        }
        Ok(found)
    }

    /// Sees whether a peer is there that may be missing, in a process of its own: it may die of it.
    ///
    /// # Errors
    /// It is not installed, not of the pinned version, or cannot be imported; or we were asked to stop.
    pub fn also(&mut self, peer: Peer, stopped: &dyn Fn() -> bool) -> Result<(), Trouble> {
        let missing = |why: String| Trouble::environment(format!("peer {}: {why}", peer.word()), REMEDY);
        let (package, pinned) = pin_of(peer).ok_or_else(|| missing("it has no pinned version".into()))?;
        let command = self.command(&["version", peer.word(), package]);
        let answer = child::run(command, Duration::from_secs(120), stopped).map_err(|why| match why {
            NoAnswer::Stopped => Trouble::stopped(),
            NoAnswer::Failed(why) => missing(why),
        })?;
        let found: String =
            serde_json::from_str(answer.stdout.lines().last().unwrap_or_default()).unwrap_or_default();
        if found != pinned {
            return Err(missing(format!("its version is {found:?}, pinned is {pinned}")));
        }
        self.versions.insert(peer.word().into(), found);
        Ok(())
    }

    /// A command of `peer.py`.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(&self.script).args(words);
        let threads = self.threads.to_string();
        // Whatever the shell says: as many threads as asked for, and none that spin while others work.
        command.envs([("OMP_NUM_THREADS", &threads), ("OPENBLAS_NUM_THREADS", &threads)]);
        command.env("OMP_WAIT_POLICY", "passive");
        [CORE, "PYTHONPATH", "PYTHONHOME"].iter().for_each(|name| _ = command.env_remove(name));
        command.envs(openblas().map(|core| (CORE, core)));
        command
    }
}

/// The kernels that FAISS's `OpenBLAS` is to use: the widest that this processor runs. Left alone, a library older than the
/// processor may take its slowest: on an AMD EPYC of family 26 an `IVF_FLAT` was trained in 9.0 s instead of 2.2.
fn openblas() -> Option<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        if has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl") && has!("avx512cd") {
            return Some("SkylakeX");
        }
        if has!("avx2") && has!("fma") {
            return Some("Haswell");
        }
    }
    None
}

/// Makes the environment, and with `data` fetches the real data sets; the script talks to the terminal itself.
///
/// # Errors
/// No shell, or what the script named on stderr.
pub fn setup(cache: &Path, data: bool) -> Result<(), Trouble> {
    let folder = scripts(cache)?;
    let mut command = Command::new("bash");
    command.arg(folder.join("setup")).args(data.then_some("--data")).env("GAMEDAY_CACHE", cache);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Trouble::environment(
            "something is missing, see above",
            "and start it again: it goes on where it stopped",
        )),
        Err(e) => Err(Trouble::environment(format!("bash cannot be started: {e}"), "install bash")),
    }
}

/// Package and version of a peer that may be missing.
fn pin_of(peer: Peer) -> Option<(&'static str, &'static str)> {
    let line = MORE.lines().find_map(|line| line.strip_prefix(peer.word())?.strip_prefix(' '))?;
    line.trim().split_once("==")
}

/// As the script sums them.
fn pins() -> String {
    let mut sum = Sha256::new();
    SCRIPTS
        .iter()
        .filter(|(name, _)| name.starts_with("requirements"))
        .for_each(|(_, text)| sum.update(text));
    format!("{:x}", HexOf(&sum.finalize()))
}

/// Bytes in hexadecimal.
struct HexOf<'a>(&'a [u8]);

impl std::fmt::LowerHex for HexOf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The folder of the scripts, written anew where they differ.
fn scripts(cache: &Path) -> Result<PathBuf, Trouble> {
    let folder = cache.join("scripts");
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(&folder)?;
        for (name, text) in SCRIPTS {
            let path = folder.join(name);
            if fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
                continue;
            }
            let temporary = folder.join(format!(".{name}.{}", std::process::id()));
            fs::write(&temporary, text)?;
            fs::rename(&temporary, &path)?;
        }
        Ok(())
    };
    write().map_err(|e| {
        let what = format!("{} cannot be written: {e}", folder.display());
        Trouble::environment(what, "free the disk, or name another folder in GAMEDAY_CACHE")
    })?;
    Ok(folder)
}

/// Where data sets, peers and scripts are kept: `GAMEDAY_CACHE`, or `gameday` in the user's cache.
///
/// # Errors
/// A user without a home.
pub fn cache() -> Result<PathBuf, Trouble> {
    let folder = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    folder("GAMEDAY_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|f| f.join("gameday")))
        .or_else(|| folder("HOME").map(|f| f.join(".cache/gameday")))
        .ok_or_else(|| {
            Trouble::usage("there is no folder for data sets: HOME is not set", "set GAMEDAY_CACHE")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_environment_is_said_with_its_remedy() {
        let cache = tempfile::tempdir().unwrap();
        let error = Python::find(cache.path(), 2, &|| false).unwrap_err();
        assert!(error.what.contains("never made") && error.remedy.contains("gameday bench setup"), "{error}");
        fs::create_dir(cache.path().join("peers")).unwrap();
        fs::write(cache.path().join("peers/ready"), "older").unwrap();
        let error = Python::find(cache.path(), 2, &|| false).unwrap_err();
        assert!(error.what.contains("other versions"), "{error}");
        // It says that it is ready, and Python is broken.
        fs::create_dir(cache.path().join("peers/bin")).unwrap();
        fs::write(cache.path().join("peers/bin/python"), "no program").unwrap();
        fs::write(cache.path().join("peers/ready"), pins()).unwrap();
        let error = Python::find(cache.path(), 2, &|| false).unwrap_err();
        assert!(error.what.contains("cannot be imported"), "{error}");
    }

    #[test]
    fn a_peer_is_told_its_kernels_and_nothing_else_of_the_shell_reaches_it() {
        let (program, script) = ("python".into(), "peer.py".into());
        let python = Python { program, script, threads: 3, versions: BTreeMap::new() };
        let command = python.command(&["versions"]);
        let of = |name: &str| {
            command.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value?.to_str())
        };
        assert_eq!((of("OMP_NUM_THREADS"), of(CORE)), (Some("3"), openblas()));
        assert!(command.get_envs().any(|(key, value)| key == "PYTHONPATH" && value.is_none()));
    }

    #[test]
    fn a_peer_that_is_missing_is_named_with_what_to_do() {
        // A Python that has nothing: it answers as one that cannot import.
        let script = tempfile::tempdir().unwrap();
        let program = script.path().join("python");
        fs::write(&program, "#!/bin/sh\necho \"ModuleNotFoundError: $3\" >&2; exit 1\n").unwrap();
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut python = Python { program, script: "peer.py".into(), threads: 1, versions: BTreeMap::new() };
        for peer in Peer::ALL.into_iter().filter(|p| p.may_be_missing()) {
            assert!(pin_of(peer).is_some(), "{peer:?}");
            let error = python.also(peer, &|| false).unwrap_err();
            let words = format!("peer {}: ended with code 1: ModuleNotFoundError", peer.word());
            assert!(error.what.contains(&words) && error.remedy.contains("bench setup"), "{error}");
        }
        assert_eq!(pin_of(Peer::Hnswlib), None);
    }

    #[test]
    fn scripts_are_kept_up_to_date() {
        let cache = tempfile::tempdir().unwrap();
        let folder = scripts(cache.path()).unwrap();
        fs::write(folder.join("peer.py"), "altered").unwrap();
        scripts(cache.path()).unwrap();
        assert_eq!(SCRIPTS[1].0, "peer.py");
        assert_eq!(fs::read_to_string(folder.join("peer.py")).unwrap(), SCRIPTS[1].1);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), SCRIPTS.len());
    }
}
