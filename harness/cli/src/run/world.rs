//! The worlds that this program was built with, and how each plays a drill.

use std::sync::Arc;

use harness::{
    journal::Observer,
    ports::{CountsAs, EnvironmentError, Host, WorldCard},
    scenario::WorldName,
    sim::{self, Flaw},
};

use super::{folder::Folder, live, select::Drill, signals::Signals};
use crate::exit::Failure;

/// How `local` is described in a journal.
const LOCAL: WorldCard = WorldCard { name: WorldName::Local, counts_as: CountsAs::Rehearsal };

// SHIM: until world `local` is on this branch.
fn local_host() -> Result<Arc<dyn Host>, EnvironmentError> {
    Err(EnvironmentError {
        what: "world `local` is not built into this gameday".into(),
        remedy: "use `--world sim`".into(),
    })
}

/// Every world by its word.
pub(super) const WORDS: [(&str, WorldName); 3] =
    [("sim", WorldName::Sim), ("local", WorldName::Local), ("docker", WorldName::Docker)];

/// The world of a word.
pub(super) fn named(word: &str) -> Result<WorldName, String> {
    let found = WORDS.into_iter().find(|(w, _)| *w == word);
    found.map(|(_, world)| world).ok_or_else(|| format!("there is no world `{word}`"))
}

/// A world that can be played in.
#[derive(Debug)]
pub(super) enum World {
    /// Simulated.
    Sim(Option<Flaw>),
    /// Processes on this machine.
    Local(Option<String>),
}

impl World {
    /// The world that was asked for, with a defect if one was asked for.
    pub(super) fn choose(name: WorldName, flaw: Option<&str>) -> Result<World, Failure> {
        match name {
            WorldName::Sim => {
                let flaw = flaw.map(str::parse).transpose();
                Ok(World::Sim(flaw.map_err(|why| Failure::usage(why, "choose one of them"))?))
            }
            WorldName::Local => Ok(World::Local(flaw.map(str::to_owned))),
            WorldName::Docker => Err(Failure::usage(
                "world `docker` is not built into this gameday",
                "use `--world local`, which needs no container engine, or `--world sim`",
            )),
        }
    }

    /// Plays a drill to its end; its journal is then in the run's folder, whatever it says.
    pub(super) fn play(
        &self,
        drill: &Drill,
        folder: &Folder,
        observer: Option<Observer>,
        signals: &Signals,
    ) -> Result<(), Failure> {
        match self {
            World::Sim(flaw) => {
                let began = sim::began(&drill.loaded.scenario, drill.sha256(), drill.overrides.clone());
                folder.write_journal(&sim::rehearse(&drill.loaded, began, *flaw, observer))
            }
            World::Local(flaw) => {
                let began = live::began(drill, folder, LOCAL, flaw.clone());
                live::play(drill, folder, began, local_host, observer, signals)
            }
        }
    }
}
