//! `gameday completions`: what a shell completes of this command line, as a script for that shell.

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;

use crate::{
    Cli,
    exit::{Exit, Failure},
    say,
};

/// Print a script that completes commands and options in a shell
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday completions bash > ~/.local/share/bash-completion/completions/gameday
  gameday completions fish > ~/.config/fish/completions/gameday.fish
  gameday completions zsh > ~/.zfunc/_gameday      with ~/.zfunc in fpath, before compinit

A new shell knows them.")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut shown(&Cli::command()), "gameday", &mut script);
        say::out(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Pass)
    }
}

/// The same commands without what is hidden: shells would offer that as well.
fn shown(command: &Command) -> Command {
    let mut copy = Command::new(command.get_name().to_owned())
        .args(command.get_arguments().filter(|arg| !arg.is_hide_set()).cloned())
        .subcommands(command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(shown));
    if let Some(about) = command.get_about() {
        copy = copy.about(about.clone());
    }
    match command.get_version() {
        Some(version) => copy.version(version.to_owned()),
        None => copy,
    }
}
