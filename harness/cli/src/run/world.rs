//! The worlds that this program was built with, and how each plays a drill.

use std::{str::FromStr, sync::Arc};

#[cfg(feature = "docker")]
use adapters::docker::{DockerConfig, DockerHost, images::Choices};
use adapters::local::{LocalConfig, LocalHost};
use harness::{
    journal::{Observer, Onlooker},
    ports::{CountsAs, EnvironmentError, Host, WorldCard},
    scenario::WorldName,
    sim::{self, Flaw},
    topology::Role,
};

use super::{folder::Folder, live, select::Drill, signals::Signals};
use crate::exit::Failure;

/// What builds a program that has the world `docker`.
#[cfg(not(feature = "docker"))]
const BUILD: &str = "build one that has it: cargo build --release -p gameday --features docker";

/// How `docker` is described in a journal: a rehearsal of the reference stack.
#[cfg(feature = "docker")]
const DOCKER: WorldCard = WorldCard { name: WorldName::Docker, counts_as: CountsAs::Rehearsal };

/// An image asked for on the command line, as `role=image`.
#[derive(Clone, Debug)]
pub(super) struct Image {
    /// What it is to play.
    #[cfg_attr(not(feature = "docker"), expect(dead_code, reason = "read by world `docker` alone"))]
    pub(super) role: Role,
    /// Its name.
    #[cfg_attr(not(feature = "docker"), expect(dead_code, reason = "read by world `docker` alone"))]
    pub(super) image: String,
}

impl FromStr for Image {
    type Err = String;

    fn from_str(text: &str) -> Result<Image, String> {
        let (role, image) =
            text.split_once('=').ok_or("give it as role=image, such as object=minio/minio:latest")?;
        let found = Role::ALL.into_iter().find(|r| r.to_string() == role);
        let role = found.ok_or_else(|| format!("there is no role `{role}`"))?;
        Ok(Image { role, image: image.to_owned() })
    }
}

/// How `local` is described in a journal.
const LOCAL: WorldCard = WorldCard { name: WorldName::Local, counts_as: CountsAs::Rehearsal };

fn local_host(
    drill: &Drill,
    folder: &Folder,
    flaw: Option<String>,
) -> Result<Arc<dyn Host>, EnvironmentError> {
    LocalHost::new(LocalConfig {
        run: folder.run().to_owned(),
        folder: folder.path().to_owned(),
        exe: this_program()?,
        plan: drill.loaded.plan.clone(),
        flaw,
    })
}

/// Nodes and watchdog are this very program.
fn this_program() -> Result<std::path::PathBuf, EnvironmentError> {
    std::env::current_exe().map_err(|e| EnvironmentError {
        what: format!("this program's own file is unknown: {e}"),
        remedy: "mount /proc".into(),
    })
}

#[cfg(feature = "docker")]
fn docker_host(
    drill: &Drill,
    folder: &Folder,
    flaw: Option<String>,
    images: Choices,
) -> Result<Arc<dyn Host>, EnvironmentError> {
    DockerHost::new(DockerConfig {
        run: folder.run().to_owned(),
        folder: folder.path().to_owned(),
        exe: this_program()?,
        plan: drill.loaded.plan.clone(),
        flaw,
        images,
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
    /// Containers on this machine.
    #[cfg(feature = "docker")]
    Docker(Option<String>, Choices),
}

impl World {
    /// The world that was asked for, with a defect if one was asked for.
    pub(super) fn choose(name: WorldName, flaw: Option<&str>, images: &[Image]) -> Result<World, Failure> {
        let known = flaw.map(str::parse::<Flaw>).transpose();
        let known = known.map_err(|why| Failure::usage(why, "choose one of them"))?;
        if !images.is_empty() && name != WorldName::Docker {
            let what = format!("world `{name}` runs no images");
            return Err(Failure::usage(what, "leave --image out, or add --world docker"));
        }
        match name {
            WorldName::Sim => Ok(World::Sim(known)),
            WorldName::Local => Ok(World::Local(known.map(|f| f.to_string()))),
            #[cfg(feature = "docker")]
            WorldName::Docker => {
                let given: Vec<_> = images.iter().map(|i| (i.role, i.image.clone())).collect();
                let choices = adapters::docker::images::choices(&given)?;
                Ok(World::Docker(known.map(|f| f.to_string()), choices))
            }
            #[cfg(not(feature = "docker"))]
            WorldName::Docker => Err(Failure::usage("world `docker` is not built into this gameday", BUILD)),
            WorldName::Own => Err(Failure::usage(
                "world `own` is a stack that gameday did not launch, and cannot be launched",
                "choose sim, local or docker",
            )),
        }
    }

    /// What a verdict from here is worth.
    pub(super) fn counts_as(&self) -> CountsAs {
        match self {
            World::Sim(_) => sim::CARD.counts_as,
            World::Local(_) => LOCAL.counts_as,
            #[cfg(feature = "docker")]
            World::Docker(..) => DOCKER.counts_as,
        }
    }

    /// The defect that was planted.
    pub(super) fn flaw(&self) -> Option<String> {
        match self {
            World::Sim(flaw) => flaw.map(|f| f.to_string()),
            World::Local(flaw) => flaw.clone(),
            #[cfg(feature = "docker")]
            World::Docker(flaw, _) => flaw.clone(),
        }
    }

    /// Plays a drill to its end; its journal is then in the run's folder, whatever it says.
    pub(super) fn play(
        &self,
        drill: &Drill,
        folder: &Folder,
        (observer, onlooker): (Option<Observer>, Option<Onlooker>),
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
                live::play(drill, folder, began, host, (observer, onlooker), signals)
            }
            #[cfg(feature = "docker")]
            World::Docker(flaw, images) => {
                let began = live::began(drill, folder, DOCKER, flaw.clone());
                let host = || docker_host(drill, folder, flaw.clone(), images.clone());
                live::play(drill, folder, began, host, (observer, onlooker), signals)
            }
        }
    }
}
