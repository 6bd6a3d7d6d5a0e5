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
    // Not to be run as they are: `check` says so until they are edited and made executable.
    ("drills/break-db.sh", 0o644, include_str!("init/break-db.sh")),
    ("drills/db-is-down.sh", 0o755, include_str!("init/db-is-down.sh")),
    ("drills/start-db.sh", 0o644, include_str!("init/start-db.sh")),
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
        say::out(&next(&say::program()))?;
        Ok(Exit::Pass)
    }
}

/// What to do now: nothing has to be edited before the first verdict.
fn next(program: &str) -> String {
    format!(
        "\nNEXT: nothing has to be edited where your backup is a `pg_dump -Fc`
  export DB_DSN=postgres://user:password@host:5432/name           the database
  export SCRATCH_DSN=postgres://user:password@host:5433/empty     an empty one, of another server
  export BACKUP=/whole/path/of/the.dump
  {program} check drills/restore_db.toml
  {program} canary plant stack.toml                  from now on by cron
  pg_dump -Fc -f \"$BACKUP\" \"$DB_DSN\"                  or as you always do: it has to hold a canary
  {program} rehearse drills/restore_db.toml
  {program} run drills/restore_db.toml --stack my-stack

THEN
  name your own rows under [witness] in stack.toml: until you do, a pass says that as many rows came back, and proves little
  edit drills/break-db.sh and drills/start-db.sh, chmod +x both, and
  {program} run drills/break_db.toml --stack my-stack
"
    )
}
