//! `gameday canary`: sentinels in the user's own stores, which must come back when a backup is restored.

use std::path::PathBuf;

use adapters::own::{canary, secrets::Secrets};
use clap::{Args, Subcommand};

use super::{read_stack, unset, value_of};
use crate::{
    exit::{Exit, Failure},
    say,
};

/// Plant and prune sentinels that a restore must bring back
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday canary plant stack.toml                 one in each component of [canary]
  gameday canary plant stack.toml db              in one of them
  */5 * * * * . /etc/rag.env && gameday canary plant /etc/rag/stack.toml && gameday canary prune /etc/rag/stack.toml

A canary is a moment and a random value in a table, prefix or place of gameday's own. RPO is counted on them: plant them
at least twice within the RPO, or a drill cannot tell how old a backup is.")]
pub(crate) struct Canary {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plant one canary in each component
    Plant(Which),
    /// Remove canaries that are older than `keep`
    Prune(Which),
}

#[derive(Args)]
struct Which {
    /// The stack's file
    #[arg(value_name = "STACK")]
    stack: PathBuf,
    /// Components of [canary]; all if none is named
    #[arg(value_name = "COMPONENT")]
    components: Vec<String>,
}

impl Canary {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let (plants, which) = match self.command {
            Command::Plant(which) => (true, which),
            Command::Prune(which) => (false, which),
        };
        let stack = read_stack(&which.stack)?;
        let components = canary::components(&stack, &which.components).map_err(|why| {
            Failure::usage(why, "name a component that has canaries, or add it to [canary]")
        })?;
        if components.is_empty() {
            return Err(Failure::usage("the stack has no canaries", "add a table [canary] to its file"));
        }
        let secrets =
            Secrets::of_canaries(&stack, &components, value_of).map_err(|missing| unset(&missing))?;
        let (secrets, dir) = (secrets.into(), super::folder_of(&which.stack));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Failure::environment(e.to_string(), "see `gameday doctor`"))?;
        let mut failed = Vec::new();
        for id in components {
            let done = runtime.block_on(async {
                match plants {
                    true => {
                        canary::plant(&stack, id, &dir, &secrets).await.map(|name| format!("planted {name}"))
                    }
                    false => canary::prune(&stack, id, &dir, &secrets).await.map(|n| format!("removed {n}")),
                }
            });
            match done {
                Ok(what) => say::out(&format!("{id}: {what}\n"))?,
                Err(e) => failed.push(format!("{id}: {e}")),
            }
        }
        if failed.is_empty() {
            return Ok(Exit::Pass);
        }
        let text = failed.join("; ");
        let remedy = if text.contains("permission denied") {
            "give [canary] a role that may make the table (`dsn_env`), or make it once as its owner: create table gameday_canary \
             (id text primary key, planted_us bigint not null, stored timestamptz not null default clock_timestamp(), value \
             text not null); comment on table gameday_canary is 'canaries of gameday'; grant select, insert, delete on \
             gameday_canary to the role that plants, and select to those that read and back up"
        } else {
            "see that the store answers, and that the variable holds its address"
        };
        Err(Failure::environment(text, remedy))
    }
}
