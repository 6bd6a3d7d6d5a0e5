//! `gameday`: arguments, progress and exit codes. One file a command; this crate alone knows all the others.

mod bench;
mod check;
mod completions;
mod compliance;
mod doctor;
mod evidence;
mod exit;
mod heal;
mod images;
mod index;
mod inputs;
mod judged;
mod limits;
mod machine;
mod man;
mod metrics;
mod node;
mod own;
mod plan;
mod report;
mod run;
mod say;
mod schema;
mod stop;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Breaks an AI data stack on purpose, and proves with evidence whether it recovers.
#[derive(Parser)]
#[command(name = "gameday", version, max_term_width = 100, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Run),
    Check(check::Check),
    Plan(plan::Plan),
    Report(report::Report),
    Init(own::init::Init),
    Canary(own::canary::Canary),
    Rehearse(own::rehearse::Rehearse),
    Heal(heal::Heal),
    Node(node::Node),
    Evidence(evidence::Evidence),
    Compliance(compliance::Compliance),
    Metrics(metrics::Metrics),
    Schema(schema::Schema),
    Doctor(doctor::Doctor),
    Images(images::Images),
    Index(index::Index),
    Bench(bench::Bench),
    Completions(completions::Completions),
    Man(man::Man),
}

fn main() -> ExitCode {
    // Nodes and watchdog of world `local`, and builders of a benchmark, are this very program.
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let hidden = adapters::local::hidden_main(&args).or_else(|| benches::rebuild::run::hidden_main(&args));
    if let Some(code) = hidden {
        return code;
    }
    say::trace();
    limits::raise();
    let done = match Cli::parse().command {
        Command::Run(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Plan(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Init(command) => command.run(),
        Command::Canary(command) => command.run(),
        Command::Rehearse(command) => command.run(),
        Command::Heal(command) => command.run(),
        Command::Node(command) => command.run(),
        Command::Evidence(command) => command.run(),
        Command::Compliance(command) => command.run(),
        Command::Metrics(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Images(command) => command.run(),
        Command::Index(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    };
    done.unwrap_or_else(|failure| {
        say::err(&failure.to_string());
        failure.exit
    })
    .into()
}
