//! `gameday man`: the manual, one page a command, from the same source as every `--help`.

use std::{fs, path::PathBuf};

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::{
    Man as Page,
    roff::{Roff, roman},
};

use crate::{
    Cli,
    exit::{Exit, Failure},
    say,
};

/// Print a page of the manual, or write all of them
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday man | man -l -
  gameday man evidence verify | man -l -
  gameday man --out ~/.local/share/man/man1      a page for each command; then: man gameday-run")]
pub(crate) struct Man {
    /// The command whose page is printed; gameday's own page, if none is named
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    command: Vec<String>,
    /// Write the pages of all commands into this folder, which is made if need be
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let mut root = Cli::command().disable_help_subcommand(true);
        root.build();
        match self.out {
            Some(folder) => write_all(&root, &folder)?,
            None => say::out(&text(named(&root, &self.command)?))?,
        }
        Ok(Exit::Pass)
    }
}

fn named<'a>(root: &'a Command, words: &[String]) -> Result<&'a Command, Failure> {
    words.iter().try_fold(root, |command, word| {
        shown(command).find(|sub| sub.get_name() == word).ok_or_else(|| {
            let known: Vec<&str> = shown(command).map(Command::get_name).collect();
            let remedy = match known.as_slice() {
                [] => format!("`{}` has no commands of its own", command.get_name()),
                known => format!("name {}", known.join(", ")),
            };
            Failure::usage(format!("`{word}` is no command"), remedy)
        })
    })
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

fn write_all(command: &Command, folder: &std::path::Path) -> Result<(), Failure> {
    let path = folder.join(Page::new(command.clone()).get_filename());
    fs::create_dir_all(folder).and_then(|()| fs::write(&path, text(command))).map_err(|e| {
        Failure::environment(
            format!("`{}` cannot be written: {e}", path.display()),
            "name a folder that can be written",
        )
    })?;
    shown(command).try_for_each(|sub| write_all(sub, folder))
}

/// One page. Examples keep their lines, which the generator would fill into a paragraph.
fn text(command: &Command) -> String {
    // No date at all would leave its place to what follows.
    let page = Page::new(command.clone()).date(" ").source(concat!("gameday ", env!("CARGO_PKG_VERSION")));
    let page = page.manual("gameday");
    let mut bytes = Vec::new();
    let mut sections = vec![
        Page::render_title,
        Page::render_name_section,
        Page::render_synopsis_section,
        Page::render_options_section,
    ];
    if shown(command).next().is_some() {
        sections.push(Page::render_subcommands_section);
    }
    for section in sections {
        section(&page, &mut bytes).expect("memory takes every byte");
    }
    if let Some(notes) = command.get_after_help() {
        let mut roff = Roff::default();
        roff.control("SH", ["NOTES"]);
        roff.control("nf", []);
        for line in notes.to_string().lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
        roff.to_writer(&mut bytes).expect("memory takes every byte");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
