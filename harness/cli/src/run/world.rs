//! The worlds that this program was built with, and how each plays a drill.

use std::sync::Arc;

use adapters::local::{LocalConfig, LocalHost};
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

fn local_host(
    drill: &Drill,
    folder: &Folder,
    flaw: Option<String>,
) -> Result<Arc<dyn Host>, EnvironmentError> {
    // Nodes and watchdog are this very program.
    let exe = std::env::current_exe().map_err(|e| EnvironmentError {
        what: format!("this program's own file is unknown: {e}"),
        remedy: "mount /proc".into(),
    })?;
    LocalHost::new(LocalConfig {
        run: folder.run().to_owned(),
        folder: folder.path().to_owned(),
        exe,
        plan: drill.loaded.plan.clone(),
        flaw,
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
        let known = flaw.map(str::parse::<Flaw>).transpose();
        let known = known.map_err(|why| Failure::usage(why, "choose one of them"))?;
        match name {
            WorldName::Sim => Ok(World::Sim(known)),
            WorldName::Local => Ok(World::Local(known.map(|f| f.to_string()))),
            WorldName::Docker => Err(Failure::usage(
                "world `docker` is not built into this gameday",
                "use `--world local`, which needs no container engine, or `--world sim`",
            )),
        }
    }

    /// What a verdict from here is worth.
    pub(super) fn counts_as(&self) -> CountsAs {
        match self {
            World::Sim(_) => sim::CARD.counts_as,
            World::Local(_) => LOCAL.counts_as,
        }
    }

    /// The defect that was planted.
    pub(super) fn flaw(&self) -> Option<String> {
        match self {
            World::Sim(flaw) => flaw.map(|f| f.to_string()),
            World::Local(flaw) => flaw.clone(),
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
                let host = || local_host(drill, folder, flaw.clone());
                live::play(drill, folder, began, host, observer, signals)
            }
        }
    }
}
