//! `gameday init`: files to edit, so that nobody begins with an empty page.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::PathBuf};

use clap::Args;

use crate::{
    exit::{Exit, Failure},
    say,
};

/// The files, with their modes.
const FILES: [(&str, u32, &str); 8] = [
    ("stack.toml", 0o644, include_str!("init/stack.toml")),
    ("drills/restore_db.toml", 0o644, include_str!("init/restore_db.toml")),
    ("drills/restore-db.sh", 0o755, include_str!("init/restore-db.sh")),
    ("drills/empty-scratch.sh", 0o755, include_str!("init/empty-scratch.sh")),
    ("drills/break_db.toml", 0o644, include_str!("init/break_db.toml")),
    ("drills/break-db.sh", 0o755, include_str!("init/break-db.sh")),
    ("drills/db-is-down.sh", 0o755, include_str!("init/db-is-down.sh")),
    ("drills/start-db.sh", 0o755, include_str!("init/start-db.sh")),
];

/// Write a stack file, a restore drill and a fault drill to edit
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday init --endpoints                       stack.toml, a restore drill and a fault drill with their scripts, here
  gameday init --endpoints --in game-days/

Asks nothing and touches nothing but files that are not there yet. Then: set the variables that the files name, and
  gameday check drills/ && gameday rehearse drills/restore_db.toml")]
pub(crate) struct Init {
    /// For a stack that is known by its addresses alone: the only kind so far
    #[arg(long)]
    endpoints: bool,
    /// The folder to write to
    #[arg(long = "in", value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

impl Init {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        // There is no other kind yet; the word stands for the day when there is.
        let _ = self.endpoints;
        let there: Vec<&str> =
            FILES.iter().map(|f| f.0).filter(|name| self.folder.join(name).exists()).collect();
        if !there.is_empty() {
            let what = format!("there already: {}", there.join(", "));
            return Err(Failure::usage(
                what,
                "nothing was written; move them away, or choose another folder with --in",
            ));
        }
        for (name, mode, content) in FILES {
            let path = self.folder.join(name);
            let write = || {
                fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
                let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
                file.write_all(content.as_bytes())
            };
            write().map_err(|e| {
                Failure::environment(
                    format!("`{}` cannot be written: {e}", path.display()),
                    "choose another folder with --in",
                )
            })?;
            say::out(&format!("wrote {}\n", path.display()))?;
        }
        let program = say::program();
        say::out(&format!(
            "\nNEXT\n  edit stack.toml and the two scripts; each line says what it is for\n  \
             export DB_DSN=.. SCRATCH_DSN=.. BACKUP=/whole/path\n  {program} check drills/\n  \
             {program} canary plant stack.toml                     from now on by cron\n  \
             take a backup as you always do: it has to hold a canary\n  \
             {program} rehearse drills/restore_db.toml\n  {program} run drills/restore_db.toml --stack my-stack\n"
        ))?;
        Ok(Exit::Pass)
    }
}
