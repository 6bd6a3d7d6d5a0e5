//! How fast an index is rebuilt, and how good it is: ours beside its peers, on this machine.
//!
//! What is timed is a whole build in a process of its own: from vectors in memory to a file that is written and
//! synced, whatever an engine has to compile or to start on the way included. What comes out is searched by the
//! *peer's* searcher (hnswlib, FAISS), so a fast build of a bad graph shows: queries a second are compared at the
//! same recall, never at the same setting.
//!
//! ```text
//! data ──> run: rounds of builds, in changing order ──> result ──> table, plot, compare
//!          then searches of the files of that round     (JSON)     (pure)
//! ```
//!
//! | module | what |
//! |---|---|
//! | `data` | the data sets: made from a seed, from what `bench setup` fetched, or a user's own; exact neighbours; cache |
//! | `contender` | who builds: our engines, and peers in a Python environment |
//! | `run` | processes, limits, noise of others, rounds |
//! | `result` | what was measured, as JSON with a version |
//! | `stats` | medians, intervals, queries a second at a recall, growth |
//! | `summary` | figures derived from a result |
//! | `table`, `plot` | a result for people |
//! | `compare` | a result against an older one |
//! | `history` | many results in one file: drawn over time, the newest judged by the former ones |
//!
//! Invariants: nothing but `run`, `data` and the file of a `history` touches the outside world; a result holds raw figures of every round, and
//! everything that is shown is derived from them.

pub mod compare;
pub mod contender;
pub mod data;
pub mod history;
pub mod plot;
pub mod result;
pub mod run;
pub mod stats;
pub mod summary;
pub mod table;

/// What went wrong, and who must do what about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Trouble {
    /// Who must act.
    pub whose: Whose,
    /// What happened.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// Who must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The person at the command line.
    Usage,
    /// The operator of this machine.
    Environment,
    /// Nobody: the work was given up on request.
    Stopped,
}

impl Trouble {
    /// The command line, or a file that it names, is wrong.
    pub fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Trouble { whose: Whose::Usage, what: what.into(), remedy: remedy.into() }
    }

    /// The machine failed us.
    pub fn environment(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Trouble { whose: Whose::Environment, what: what.into(), remedy: remedy.into() }
    }

    /// Somebody pressed Ctrl-C.
    pub fn stopped() -> Self {
        Trouble {
            whose: Whose::Stopped,
            what: "given up on request; nothing was left behind".into(),
            remedy: "start it again".into(),
        }
    }
}
