//! The two hidden subcommands of the `gameday` binary: a node, and the watchdog.
//!
//! A node's configuration is a file and not an argument, since it holds a secret. Nodes are less urgent than the harness,
//! whose clock decides: it must not be the victim of an index build.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use harness::urgency::{self, Urgency};
use serde::{Deserialize, Serialize};

use super::watchdog::{Guarded, watch};
use crate::replica::ReplicaConfig;
use crate::{features, gpu, s3, vectordb};

/// The word that makes the binary a node; a configuration file follows.
pub(crate) const NODE: &str = "__node";
/// The word that makes the binary a watchdog; the run's id and its folder follow.
pub(crate) const WATCHDOG: &str = "__watchdog";
/// The nice value of a node where the harness is as any other program.
const BEHIND: i32 = 5;
/// The same where the harness is real-time, and so before every node anyway: a stack that waits for the compilers of
/// this machine would be judged for them.
const BEFORE_OTHERS: i32 = -5;
/// The exit code of a node or watchdog that could not do its work.
const FAILED: u8 = 3;

/// What a node process is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum NodeConfig {
    /// A vector node.
    Vector(vectordb::Config),
    /// An object node.
    Object {
        /// Port on loopback.
        port: u16,
        /// Folder of the data.
        data: PathBuf,
        /// The public half of the only key pair that is let in.
        access: String,
        /// The secret half.
        secret: String,
        /// How it takes part in replication, if it does.
        #[serde(default)]
        replica: Option<ReplicaConfig>,
    },
    /// A feature node.
    Feature(features::Config),
    /// A worker.
    Gpu(gpu::Config),
}

/// Where the nodes' state lies in a run's folder.
pub(super) fn state_of(folder: &Path) -> PathBuf {
    folder.join("state")
}

/// The arguments that make the binary the watchdog of a run.
pub(crate) fn watchdog_args(run: &str, folder: &Path) -> Vec<OsString> {
    vec![WATCHDOG.into(), run.into(), folder.into()]
}

/// Runs a hidden subcommand to its end; `None` if the arguments (without the program's name) name none.
///
/// A program whose nodes are to be itself calls this before anything else, outside any runtime.
pub fn hidden_main(args: &[OsString]) -> Option<ExitCode> {
    let done = match (args.first()?.to_str()?, &args[1..]) {
        (NODE, [config]) => node(Path::new(config)),
        (WATCHDOG, [run, folder]) => guard(run, folder.into()),
        #[cfg(feature = "docker")]
        (crate::docker::LINK, [config]) => crate::docker::link_process(Path::new(config)),
        (NODE | WATCHDOG, _) => Err("wrong arguments".into()),
        _ => return None,
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // A node's standard error is its log.
            let _ = writeln!(std::io::stderr(), "{why}");
            ExitCode::from(FAILED)
        }
    })
}

type Done = Result<(), Box<dyn std::error::Error>>;

fn node(config: &Path) -> Done {
    let config: NodeConfig = serde_json::from_slice(&std::fs::read(config)?)?;
    // Threads inherit it from this one, so it comes before the runtime. A node that is not niced is a node all the
    // same.
    let real_time = urgency::allowed() == Urgency::RealTime;
    let _ = rustix::process::nice(if real_time { BEFORE_OTHERS } else { BEHIND });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = match config {
        NodeConfig::Vector(config) => runtime.block_on(vectordb::serve(config)).map_err(Into::into),
        NodeConfig::Object { port, data, access, secret, replica } => {
            let keys = s3::Keys::new(access, secret);
            let config = s3::ServerConfig { port, data, keys, lifeline: true, replica };
            runtime.block_on(s3::serve(config)).map_err(Into::into)
        }
        NodeConfig::Feature(config) => runtime.block_on(features::serve(config)).map_err(Into::into),
        NodeConfig::Gpu(config) => runtime.block_on(gpu::serve(config)).map_err(Into::into),
    };
    // Blocking threads may still wait for input that never comes.
    runtime.shutdown_background();
    done
}

fn guard(run: &OsStr, run_dir: PathBuf) -> Done {
    let run = run.to_str().ok_or("the run's id is not text")?.to_owned();
    let state = state_of(&run_dir);
    watch(&Guarded { run, run_dir, state })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hidden_words_are_taken() {
        let args = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert!(hidden_main(&args(&[])).is_none());
        assert!(hidden_main(&args(&["run", "x.toml"])).is_none());
        assert!(hidden_main(&args(&["__node"])).is_some());
        assert!(hidden_main(&args(&["__node", "/no/such/file"])).is_some());
        assert!(hidden_main(&args(&["__watchdog", "run", "/no/such/folder"])).is_some());
    }
}
