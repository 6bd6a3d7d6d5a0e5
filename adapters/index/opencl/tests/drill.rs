//! The drill of a rotten index in world `local`, with the OpenCL engine asked for: the node's own process starts it, and
//! every report says what really built the index.
//!
//! Nodes are this very program, so it has a `main` of its own. Each case is played in a process of its own, since nodes
//! inherit the environment that says where the engine is.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails or is skipped says so")]

use std::ffi::OsString;
use std::io::Cursor;
use std::process::{Command, ExitCode, Stdio};

use adapters::local::{LocalConfig, LocalHost};
use harness::clock::Clock;
use harness::diagnose::load;
use harness::drill::{drill, stop};
use harness::journal::{Began, Journal};
use harness::report::Report;
use harness::scenario::WorldName;
use harness::sim::began;
use harness::verdict::Verdict;
use reports::Format;

const ENGINE: &str = env!("CARGO_BIN_EXE_gameday-opencl");
const DRILL: &[u8] = include_bytes!("../../../tests/local/drill.toml");
/// The word by which this program is asked to play the drill once.
const PLAY: &str = "__play";
/// A busy machine can make the harness late, which makes findings unknown: then the drill is played again.
const TRIES: u32 = 3;

/// Where the engine is, how many vectors there are, and what a report must then say of engine, kernels and reason.
const CASES: [(&str, u32, &str, &[&str]); 3] = [
    (ENGINE, 6_000, "opencl", &["float16 vectors on", "asked: opencl"]),
    (ENGINE, 1_500, "cpu", &["fp32", "asked: opencl", "there was nothing to ask it"]),
    ("/nowhere/gameday-opencl", 6_000, "cpu", &["fp32", "asked: opencl", "cannot start gameday-opencl"]),
];

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(code) = adapters::local::hidden_main(&args) {
        return code;
    }
    if args.first().is_some_and(|arg| arg == PLAY) {
        let case = args.get(1).and_then(|arg| arg.to_str()?.parse::<usize>().ok()).unwrap();
        play(&CASES[case]);
        return ExitCode::SUCCESS;
    }
    if args.iter().any(|arg| arg == "--list") {
        println!("engines_are_told: test");
        return ExitCode::SUCCESS;
    }
    let mut failed = false;
    let deviceless = without_a_device();
    for (case, (engine, _, name, _)) in CASES.iter().enumerate() {
        if *engine == ENGINE && deviceless {
            println!("test case_{case}_{name} ... SKIPPED: no OpenCL device here (ci/setup installs one)");
            continue;
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        let done = command.args([PLAY, &case.to_string()]).env("GAMEDAY_OPENCL", engine).status().unwrap();
        println!("test case_{case}_{name} ... {}", if done.success() { "ok" } else { "FAILED" });
        failed |= !done.success();
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn without_a_device() -> bool {
    let output = Command::new(ENGINE).stdin(Stdio::null()).output().unwrap();
    output.stdout.first() != Some(&0)
}

fn play((_, vectors, engine, said): &(&str, u32, &str, &[&str])) {
    let set = [
        ("recover.0.act.rebuild.engine".to_owned(), "opencl".to_owned()),
        ("data.vectors.count".to_owned(), vectors.to_string()),
    ];
    let plan = load(DRILL, &set).unwrap().plan;
    for _ in 0..TRIES {
        let report = played(&plan);
        assert_eq!(report.builds.len(), 1, "{report:#?}");
        let built = &report.builds[0];
        assert_eq!((built.engine.as_str(), built.asked.as_deref()), (*engine, Some("opencl")), "{built:?}");
        assert_eq!(built.why.is_some(), *engine != "opencl", "{built:?}");
        for format in [Format::Text, Format::Markdown, Format::Html, Format::Json] {
            // A line that is too long is broken, in whatever way the format has.
            let text = format.render(&report).split_whitespace().collect::<Vec<_>>().join(" ");
            for word in said.iter().filter(|word| format != Format::Json || !word.starts_with("asked")) {
                assert!(text.contains(word), "{format}: {word}: {text}");
            }
        }
        if report.verdict == Verdict::Pass {
            let rag = &report.services[0];
            assert!(rag.bad > 0 && rag.rto_us > rag.first_good_us.map(|at| at / 2), "{rag:?}");
            return;
        }
        assert_eq!(report.verdict, Verdict::Unknown, "{:#?}", report.findings);
    }
    panic!("no drill was conclusive");
}

fn played(plan: &harness::plan::Plan) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = format!("opencl-test-{}", std::process::id());
    let config = LocalConfig {
        run: run.clone(),
        folder: folder.path().to_owned(),
        exe: std::env::current_exe().unwrap(),
        plan: plan.clone(),
        flaw: None,
    };
    runtime.block_on(async {
        let host = LocalHost::new(config).unwrap();
        let world = Began {
            run: run.clone(),
            world: WorldName::Local,
            ..began(&plan.scenario, String::new(), Vec::new())
        };
        let clock = Clock::real();
        let journal = Journal::in_memory(clock, None);
        let (_stopper, stop) = stop();
        drill(plan, world, host, &journal, clock, stop).await.unwrap();
        assert_eq!(
            adapters::local::sweep::find(&run).unwrap(),
            Vec::<u32>::new(),
            "an engine outlived its node"
        );
        Report::read(Cursor::new(journal.bytes())).unwrap()
    })
}
