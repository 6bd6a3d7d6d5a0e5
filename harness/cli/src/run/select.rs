//! Which drills are played: every file must be right, and made for the world that was asked for, before any begins.

use std::path::PathBuf;

use harness::{diagnose::Loaded, journal::digest, scenario::WorldName};

use crate::{
    exit::Failure,
    inputs::{self, Input},
    say,
};

/// A drill to be played.
#[derive(Debug)]
pub(super) struct Drill {
    /// Its file.
    pub(super) input: Input,
    /// Compiled, changes applied.
    pub(super) loaded: Loaded,
    /// What was changed on the command line.
    pub(super) overrides: Vec<String>,
}

impl Drill {
    /// The scenario's name.
    pub(super) fn name(&self) -> &str {
        &self.loaded.scenario.name
    }

    /// Names the file's content.
    pub(super) fn sha256(&self) -> String {
        digest(&self.input.bytes)
    }
}

/// The drills, and how many were skipped; `None` if a file has mistakes, which have then been shown.
pub(super) fn drills(
    paths: &[PathBuf],
    changes: &[(String, String)],
    world: WorldName,
) -> Result<Option<(Vec<Drill>, usize)>, Failure> {
    let overrides: Vec<String> = changes.iter().map(|(path, value)| format!("{path}={value}")).collect();
    let (mut drills, mut skipped, mut wrong) = (Vec::new(), 0, false);
    for input in inputs::read(paths)? {
        let loaded = match input.load(changes) {
            Ok(loaded) => loaded,
            Err(mistakes) => {
                wrong = true;
                say::err(&mistakes.text);
                continue;
            }
        };
        let worlds = &loaded.scenario.worlds;
        if worlds.is_empty() || worlds.contains(&world) {
            drills.push(Drill { input, loaded, overrides: overrides.clone() });
            continue;
        }
        let made: Vec<String> = worlds.iter().map(ToString::to_string).collect();
        let what = format!("`{}` makes no sense in world {world}", input.path.display());
        if !input.from_folder {
            return Err(Failure::usage(what, format!("play it with --world {}", made.join(" or --world "))));
        }
        skipped += 1;
        say::err(&format!("SKIPPED: {what}; it is made for {}\n", made.join(", ")));
    }
    Ok((!wrong).then_some((drills, skipped)))
}
