//! `gameday images`: the images that world `docker` runs.

#[cfg(feature = "docker")]
mod work;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::exit::{Exit, Failure};

/// List, build or pull the images that world `docker` runs
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday images list
  gameday images build             from package registries, where no image registry answers
  gameday images build object      the image of one role
  gameday images pull object

A run takes the image of --image or GAMEDAY_IMAGE_<ROLE>, else the official one if the engine
has it, else the one that was built here. Building needs root (debootstrap), Go and Python 3.
Ends with 0, or with 3 if the engine, a registry or a recipe failed.")]
pub(crate) struct Images {
    #[command(subcommand)]
    order: Order,
    /// Print JSON to stdout; progress goes to stderr all the same
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Order {
    /// Which image each role has, and which of them are in the engine
    List,
    /// Build images from package registries
    Build {
        /// Roles; all, if none is named
        roles: Vec<String>,
        /// Where to keep what was downloaded and compiled
        #[arg(long, value_name = "FOLDER", default_value = "target/images")]
        work: PathBuf,
        /// Build those that are there as well
        #[arg(long)]
        again: bool,
    },
    /// Pull the official images
    Pull {
        /// Roles; all, if none is named
        roles: Vec<String>,
    },
}

impl Images {
    #[cfg(not(feature = "docker"))]
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        // Taken apart so that both builds take the same command line.
        let Images { order, json } = self;
        let (Order::List | Order::Build { roles: _, work: _, again: _ } | Order::Pull { roles: _ }) = order;
        let _ = json;
        Err(Failure::usage(
            "world `docker` is not built into this gameday, and no other world runs images",
            "build one that has it: cargo build --release -p gameday --features docker",
        ))
    }

    #[cfg(feature = "docker")]
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|e| {
            Failure::environment(format!("no thread can be started: {e}"), "see `gameday doctor`")
        })?;
        runtime.block_on(async {
            match &self.order {
                Order::List => work::list(self.json).await,
                Order::Build { roles, work, again } => work::build(roles, work, *again, self.json).await,
                Order::Pull { roles } => work::pull(roles, self.json).await,
            }
        })
    }
}
