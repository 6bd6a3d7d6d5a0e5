//! `gameday run`: plays drills, shows them while they run, and leaves evidence behind.

mod book;
pub(crate) mod folder;
mod live;
mod own;
mod select;
pub(crate) mod signals;
mod summary;
mod view;
mod world;

use std::{io::Write as _, path::PathBuf};

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use harness::report::Report;
use reports::Format;

use crate::{
    evidence::Keys,
    exit::{Exit, Failure},
    inputs::{self, Changes},
    judged::judge,
    limits, say,
};
use book::Book;
use folder::Folder;
pub(crate) use live::runtime;
use select::Drill;
use signals::Signals;
use view::View;
use world::{Image, WORDS, World};

/// Break the stack, watch it recover, and judge what was measured
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday run scenarios/vector_index_corruption.toml
  gameday run --world sim scenarios/             every drill of a folder, simulated in moments
  gameday run --set objectives.rto=30s --seed 7 scenarios/vector_index_corruption.toml
  gameday run scenarios/ --evidence evidence/    declared before the fault, signed after
  gameday run drills/restore_db.toml --stack rag restore a backup of your own stack, and prove it
  gameday run --json scenarios/vector_index_corruption.toml | jq .verdict

Ctrl-C once undoes everything and reports; twice leaves the undoing to the watchdog.
Ends with 0 pass, 1 an objective was missed, 2 the command line or a scenario is wrong,
3 the environment failed, 4 unknown or given up. Of several drills the worst counts:
1 before 3 before 4 before 0.")]
pub(crate) struct Run {
    /// Scenario files, or folders of them
    #[arg(required = true, value_name = "SCENARIO")]
    scenarios: Vec<PathBuf>,
    /// The stack that drills on your own stack may touch: its name, as its file says it
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// Where to play others
    #[arg(long, default_value = "local", value_parser = world_parser())]
    world: harness::scenario::WorldName,
    #[command(flatten)]
    changes: Changes,
    /// In world `docker`: an image for a role, instead of the catalogue's (`gameday images list`)
    #[arg(long = "image", value_name = "ROLE=IMAGE")]
    images: Vec<Image>,
    /// The folder in which each run gets its own
    #[arg(long, value_name = "FOLDER", default_value = "runs")]
    out: PathBuf,
    /// Print result.json alone to stdout: an object, or an array for several scenarios
    #[arg(long)]
    json: bool,
    /// Print the verdict alone
    #[arg(long)]
    quiet: bool,
    /// Declare each drill in this folder of evidence before its first fault, and sign it after
    #[arg(long, value_name = "FOLDER")]
    evidence: Option<PathBuf>,
    #[command(flatten)]
    keys: Keys,
    /// Plant a defect, to test gameday itself
    #[arg(long, value_name = "NAME", hide = true)]
    flaw: Option<String>,
}

fn world_parser() -> impl clap::builder::TypedValueParser<Value = harness::scenario::WorldName> {
    PossibleValuesParser::new(WORDS.map(|(word, _)| word)).try_map(|word| world::named(&word))
}

/// One drill that was started, or could not be.
#[derive(Debug)]
struct Played {
    scenario: String,
    folder: Option<PathBuf>,
    /// What to type for the folder.
    short: Option<PathBuf>,
    result: Result<(Report, Exit), Failure>,
}

impl Played {
    fn exit(&self) -> Exit {
        self.result.as_ref().map_or_else(|failure| failure.exit, |(_, exit)| *exit)
    }
}

/// Shows the drill on the page of a CI server that asks for it. That it cannot is no reason to fail a drill.
fn step_summary(report: &Report) {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|p| !p.is_empty()) else { return };
    let written = std::fs::File::options().create(true).append(true).open(&path).and_then(|mut file| {
        // What is there counts as well: over the limit, the server drops all of it.
        let text = Format::Markdown.render(report);
        let room = (reports::markdown::MAX as u64).saturating_sub(file.metadata()?.len());
        if text.len() as u64 <= room { file.write_all(text.as_bytes()) } else { Ok(()) }
    });
    if let Err(e) = written {
        say::err(&format!("warning: the step summary cannot be written: {e}\n"));
    }
}

/// What a drill comes to. A miss that was proved stays one, also where the rest of the journal could not be written.
fn judged(ended: Result<(), Failure>, folder: &Folder) -> Result<(Report, Exit), Failure> {
    let Err(broken) = ended else {
        let judged = judge(&folder.journal())?;
        folder.write_reports(&judged.report)?;
        step_summary(&judged.report);
        return Ok((judged.report, judged.exit));
    };
    match judge(&folder.journal()) {
        Ok(judged) if judged.exit == Exit::Fail => {
            say::err(&broken.to_string());
            if let Err(failure) = folder.write_reports(&judged.report) {
                say::err(&failure.to_string());
            }
            Ok((judged.report, Exit::Fail))
        }
        _ => Err(broken),
    }
}

/// What a drill comes to once its evidence is sealed.
fn closed(
    book: Option<&Book>,
    folder: &Folder,
    result: Result<(Report, Exit), Failure>,
) -> Result<(Report, Exit), Failure> {
    match (book.map_or(Ok(()), |b| b.close(folder, &result)), result) {
        (Ok(()), result) => result,
        // A miss that was proved stays one, whatever becomes of the evidence of it.
        (Err(failure), Ok((report, Exit::Fail))) => {
            say::err(&failure.to_string());
            Ok((report, Exit::Fail))
        }
        (Err(failure), _) => Err(failure),
    }
}

impl Run {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let mut inputs = inputs::read(&self.scenarios)?;
        // A folder of drills may hold the stack that they are about.
        inputs.retain(|i| !(i.from_folder && harness::own::is_stack(&i.bytes)));
        if inputs.iter().any(crate::own::is_own) {
            return self.run_own(&inputs);
        }
        let world = World::choose(self.world, self.flaw.as_deref(), &self.images)?;
        let Some((drills, skipped)) = select::drills(&self.scenarios, &self.changes.pairs(), self.world)?
        else {
            return Ok(Exit::Usage);
        };
        // Before the first drill, so that none is lost half-way for a later one.
        if self.world != harness::scenario::WorldName::Sim {
            drills.iter().try_for_each(|drill| limits::check(&drill.loaded.plan, &self.out))?;
        }
        let book = self.evidence.as_ref().map(|path| Book::open(path, &self.keys)).transpose()?;
        let signals = Signals::listen()?;
        let several = drills.len() + skipped > 1;
        let mut played = Vec::new();
        for (i, drill) in drills.iter().enumerate() {
            if signals.asked() {
                break;
            }
            if several && !self.quiet {
                say::err(&format!("\ndrill {} of {}: {}\n", i + 1, drills.len(), drill.name()));
            }
            let one = self.play(&world, drill, book.as_ref(), &signals);
            self.show(&one, drill, several)?;
            played.push(one);
        }
        let left = drills.len() - played.len();
        if self.json {
            say::out(&self.json_of(&played, several))?;
        }
        if several && (self.json || !self.quiet) {
            let doubts = if self.json { String::new() } else { summary::doubts(&played) };
            let table = doubts + &summary::table(&played, skipped, left, self.world);
            if self.json { say::err(&table) } else { say::out(&table)? }
        }
        Ok(summary::worst(played.iter().map(Played::exit), left))
    }

    fn play(&self, world: &World, drill: &Drill, book: Option<&Book>, signals: &Signals) -> Played {
        let scenario = drill.name().to_owned();
        let folder = match Folder::create(&self.out, drill.name(), &drill.input.bytes) {
            Ok(folder) => folder,
            Err(failure) => return Played { scenario, folder: None, short: None, result: Err(failure) },
        };
        // Declared before anything is touched: a drill that goes badly cannot be left out afterwards.
        if let Some(Err(failure)) = book.map(|b| b.declare(drill, &folder, self.world, world)) {
            let path = Some(folder.path().to_owned());
            return Played { scenario, folder: path.clone(), short: path, result: Err(failure) };
        }
        let view = View::start(!(self.quiet), &drill.loaded.plan);
        let ended = world.play(drill, &folder, (view.observer(), view.onlooker()), signals);
        view.finish();
        let result = closed(book, &folder, judged(ended, &folder));
        let short = Some(folder.short());
        Played { scenario, folder: Some(folder.path().to_owned()), short, result }
    }

    fn show(&self, played: &Played, drill: &Drill, several: bool) -> Result<(), Failure> {
        match &played.result {
            Err(failure) => {
                say::err(&failure.to_string());
                if let Some(folder) = &played.folder {
                    say::err(&format!("  what there is of the drill lies in {}\n", folder.display()));
                }
                Ok(())
            }
            Ok(_) if self.json => Ok(()),
            Ok((report, _)) if self.quiet && several => {
                say::out(&format!("{}: {}\n", played.scenario, reports::headline(report)))
            }
            Ok((report, _)) if self.quiet => say::out(&format!("{}\n", reports::headline(report))),
            // Of several, what is to be read comes at the end.
            Ok((report, _)) if several => {
                say::out(&format!("{}: {}\n", played.scenario, reports::headline(report)))
            }
            Ok((report, _)) => {
                let next = summary::next(played, drill, self.world);
                let last = summary::last(report, played.folder.as_deref());
                say::out(&format!("{}{next}{last}", Format::Text.render(report)))
            }
        }
    }

    fn json_of(&self, played: &[Played], several: bool) -> String {
        let judged: Vec<&Report> =
            played.iter().filter_map(|p| p.result.as_ref().ok()).map(|(r, _)| r).collect();
        match judged.as_slice() {
            [] if !several => String::new(),
            [one] if !several => Format::Json.render(one),
            all => {
                let each: Vec<String> =
                    all.iter().map(|r| Format::Json.render(r).trim_end().to_owned()).collect();
                format!("[\n{}\n]\n", each.join(",\n"))
            }
        }
    }
}
