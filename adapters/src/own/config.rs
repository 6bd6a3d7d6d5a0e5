//! What a drill on somebody's own stack is played with, and why it goes no further.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use harness::own::Drill;

use super::command::Show;
use super::secrets::Secrets;

/// What a drill is played with.
#[derive(Clone)]
pub struct Config<D = Drill> {
    /// Drill and stack.
    pub drill: D,
    /// The folder of the drill's file: its commands run there.
    pub dir: PathBuf,
    /// The folder of the stack's file: commands of witnesses, canaries and probes run there.
    pub stack_dir: PathBuf,
    /// The run's id.
    pub run: String,
    /// The run's folder; absolute.
    pub folder: PathBuf,
    /// This program.
    pub exe: PathBuf,
    /// Values of variables.
    pub secrets: Arc<Secrets>,
    /// Sees what commands print.
    pub show: Option<Show>,
}

impl<D> std::fmt::Debug for Config<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("run", &self.run).finish_non_exhaustive()
    }
}

/// Why a drill goes no further.
#[derive(Debug)]
pub(super) enum Halt {
    /// It must not, or cannot.
    Abort(String),
    /// The journal cannot be written.
    Journal(io::Error),
}

impl From<io::Error> for Halt {
    fn from(e: io::Error) -> Halt {
        Halt::Journal(e)
    }
}
