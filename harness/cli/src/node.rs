//! `gameday node`: what a recovery command orders of the run that it belongs to.

use adapters::local::{self, Order};
use clap::{Args, Subcommand};

use crate::{
    exit::{Exit, Failure},
    say,
};

/// In a recovery command: have a node of the running drill started
#[derive(Args)]
#[command(after_help = "\
Examples, in a script that a scenario names as `command`:
  \"$GAMEDAY\" node start east/vector       if it does not run
  \"$GAMEDAY\" node restart east/feature

The script finds in its environment:
  GAMEDAY                      this program
  GAMEDAY_RUN, GAMEDAY_RUN_DIR the run's id and folder
  GAMEDAY_EAST_VECTOR_ADDR     where node east/vector listens, past the link; so for each node
  GAMEDAY_EAST_OBJECT_ACCESS_KEY, _SECRET_KEY, _BUCKET
  GAMEDAY_EAST_VECTOR_COLLECTION
  in world `docker` also GAMEDAY_EAST_FEATURE_USER, _PASSWORD, _DATABASE, and _CONTAINER of each node
Secrets are taken out of what a command says before it is written down.
Ends with 0 once the node answers, with 3 if it does not, or if no drill runs this as its command.")]
pub(crate) struct Node {
    #[command(subcommand)]
    order: Orders,
}

#[derive(Subcommand)]
enum Orders {
    /// Start a node that does not run; one that runs is left alone
    Start {
        /// The node, such as east/vector
        node: String,
    },
    /// End a node, if it runs, and start it
    Restart {
        /// The node, such as east/vector
        node: String,
    },
}

impl Node {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let (order, node) = match self.order {
            Orders::Start { node } => (Order::Start, node),
            Orders::Restart { node } => (Order::Restart, node),
        };
        let carried = local::order(order, &node)?;
        if !carried.done {
            return Err(Failure::environment(carried.said, "look at the node's log in the run's folder"));
        }
        say::out(&format!("{}\n", reports::clean(&carried.said)))?;
        Ok(Exit::Pass)
    }
}
