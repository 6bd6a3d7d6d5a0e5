//! `gameday run` for drills on a stack that gameday did not launch.

use std::sync::Arc;

use adapters::own::secrets::Secrets;
use reports::Format;

use super::{Played, Run, book::Book, closed, judged, signals::Signals, summary};
use crate::{
    exit::{Exit, Failure},
    inputs::Input,
    limits,
    own::{self, Loaded},
    say,
};

impl Run {
    /// Plays drills on stacks that gameday did not launch, one after the other.
    pub(super) fn run_own(&self, inputs: &[Input]) -> Result<Exit, Failure> {
        if let Some(other) = inputs.iter().find(|i| !own::is_own(i)) {
            let what =
                format!("`{}` is no drill on a stack of your own, and others here are", other.path.display());
            return Err(Failure::usage(what, "play both kinds apart: each has its worlds"));
        }
        let mut drills: Vec<(Loaded, Arc<Secrets>)> = Vec::new();
        let mut wrong = false;
        for input in inputs {
            match own::load(input, &self.changes.pairs()) {
                Ok(loaded) => {
                    own::run::allowed(&loaded, self.stack.as_deref())?;
                    let secrets = own::secrets_of(&loaded)?;
                    drills.push((loaded, secrets));
                }
                Err(mistakes) => {
                    wrong = true;
                    say::err(&mistakes.text);
                }
            }
        }
        if wrong {
            return Ok(Exit::Usage);
        }
        limits::room(&self.out)?;
        let book = self.evidence.as_ref().map(|path| Book::open(path, &self.keys)).transpose()?;
        let signals = Signals::listen()?;
        let several = drills.len() > 1;
        let mut played = Vec::new();
        for (loaded, secrets) in &drills {
            if signals.asked() {
                break;
            }
            let one = self.play_own(loaded, secrets, book.as_ref(), &signals);
            self.show_own(&one, loaded, several)?;
            played.push(one);
        }
        let left = drills.len() - played.len();
        if self.json {
            say::out(&self.json_of(&played, several))?;
        }
        if several {
            let table = summary::table(&played, 0, left, harness::scenario::WorldName::Own);
            if self.json { say::err(&table) } else { say::out(&table)? }
        }
        Ok(summary::worst(played.iter().map(Played::exit), left))
    }

    fn play_own(
        &self,
        loaded: &Loaded,
        secrets: &Arc<Secrets>,
        book: Option<&Book>,
        signals: &Signals,
    ) -> Played {
        let scenario = loaded.drill.name().to_owned();
        let folder = match own::run::folder(&self.out, loaded) {
            Ok(folder) => folder,
            Err(failure) => return Played { scenario, folder: None, short: None, result: Err(failure) },
        };
        if let Some(Err(failure)) = book.map(|b| b.declare_own(loaded, &folder)) {
            let path = Some(folder.path().to_owned());
            return Played { scenario, folder: path.clone(), short: path, result: Err(failure) };
        }
        let shown = !(self.quiet || self.json);
        let ended = own::run::play(loaded, &folder, (false, shown), secrets, signals);
        let result = closed(book, &folder, judged(ended, &folder));
        let short = Some(folder.short());
        Played { scenario, folder: Some(folder.path().to_owned()), short, result }
    }

    fn show_own(&self, played: &Played, loaded: &Loaded, several: bool) -> Result<(), Failure> {
        match &played.result {
            Err(failure) => {
                say::err(&failure.to_string());
                let folder = played.folder.as_ref().map(|f| f.display().to_string()).unwrap_or_default();
                say::err(&format!("  what there is of the drill lies in {folder}\n"));
                Ok(())
            }
            Ok(_) if self.json => Ok(()),
            Ok((report, _)) if self.quiet || several => {
                say::out(&format!("{}: {}\n", loaded.drill.name(), reports::headline(report)))
            }
            Ok((report, _)) => {
                let last = summary::last(report, played.folder.as_deref());
                say::out(&format!("{}{last}", Format::Text.render(report)))
            }
        }
    }
}
