//! Exit codes: a documented contract. A missed objective is a result, not an error.

use std::{fmt, process::ExitCode};

use harness::ports::EnvironmentError;
use reports::evidence::{Trouble, Whose};

/// What every help text ends with.
pub(crate) const HELP: &str = "\
Exit codes:
  0  pass
  1  an objective was missed
  2  the command line or a scenario is wrong
  3  the environment failed: no port, no disk, no memory
  4  unknown: nothing was proved, or the drill was given up
  5  the evidence does not verify: a journal, a file or a signature was altered

Start with:
  gameday doctor                                    what this machine offers
  gameday run scenarios/vector_index_corruption.toml";

/// How the program ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Every objective was met.
    Pass = 0,
    /// An objective was missed.
    Fail = 1,
    /// The command line or a scenario is wrong.
    Usage = 2,
    /// The environment failed us.
    Environment = 3,
    /// Nothing was proved.
    Unknown = 4,
    /// The evidence does not verify.
    Evidence = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command could not do its job.
#[derive(Debug)]
pub(crate) struct Failure {
    /// How the program ends because of it.
    pub(crate) exit: Exit,
    /// What happened.
    pub(crate) what: String,
    remedy: String,
}

impl Failure {
    /// The command line or a scenario is wrong.
    pub(crate) fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Failure { exit: Exit::Usage, what: what.into(), remedy: remedy.into() }
    }

    /// The environment failed us.
    pub(crate) fn environment(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Failure { exit: Exit::Environment, what: what.into(), remedy: remedy.into() }
    }

    /// It was given up, and nothing was proved.
    pub(crate) fn unknown(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Failure { exit: Exit::Unknown, what: what.into(), remedy: remedy.into() }
    }

    /// The evidence does not verify.
    pub(crate) fn evidence(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Failure { exit: Exit::Evidence, what: what.into(), remedy: remedy.into() }
    }
}

impl From<EnvironmentError> for Failure {
    fn from(error: EnvironmentError) -> Self {
        Failure::environment(error.what, error.remedy)
    }
}

impl From<Trouble> for Failure {
    fn from(t: Trouble) -> Self {
        match t.whose {
            Whose::Usage => Failure::usage(t.what, t.remedy),
            Whose::Environment => Failure::environment(t.what, t.remedy),
            Whose::Evidence => Failure::evidence(t.what, t.remedy),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}\n  remedy: {}", self.what, self.remedy)
    }
}
