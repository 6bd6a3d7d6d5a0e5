//! The drill of a rotten index in world `local`, with the OpenCL engine asked for: the node's own process starts it, and
//! every report says what really built the index.
//!
//! Nodes are this very program, so it has a `main` of its own. Each case is played in a process of its own, since nodes
//! inherit the environment that says where the engine is.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails or is skipped says so")]

use std::ffi::OsString;
use std::io::Cursor;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use adapters::gpu::{Client as Worker, Config, Server};
use adapters::local::{LocalConfig, LocalHost};
use harness::clock::Clock;
use harness::corpus::Corpus;
use harness::diagnose::load;
use harness::drill::{drill, stop};
use harness::job::{Job, SHARDS};
use harness::journal::{Began, Journal};
use harness::report::Report;
use harness::scenario::WorldName;
use harness::sim::began;
use harness::verdict::Verdict;
use reports::Format;
use rustix::process::{Pid, Signal, kill_process};

const ENGINE: &str = env!("CARGO_BIN_EXE_gameday-opencl");
const DRILL: &[u8] = include_bytes!("../../../tests/local/drill.toml");
/// The word by which this program is asked to play the drill once.
const PLAY: &str = "__play";
/// The word by which it is asked to be a worker, and to lose its device.
const WORK: &str = "__work";
/// A busy machine can make the harness late, which makes findings unknown: then the drill is played again.
const TRIES: u32 = 3;
/// One question to a worker.
const LIMIT: Duration = Duration::from_secs(10);

/// Where the engine is, how many vectors there are, and what a report must then say of engine, kernels and reason.
const CASES: [(&str, u32, &str, &[&str]); 3] = [
    (ENGINE, 6_000, "opencl", &["fp32 float16 vectors", "asked: opencl"]),
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
    if args.first().is_some_and(|arg| arg == WORK) {
        work();
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
    if !deviceless {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let done = command.arg(WORK).env("GAMEDAY_OPENCL", ENGINE).status().unwrap();
        println!("test worker_loses_its_device ... {}", if done.success() { "ok" } else { "FAILED" });
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

/// A worker computes on its device, says so, and goes on when it is lost; right sums are the same on both.
fn work() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (job, plan) = (Job { seed: 9 }, load(DRILL, &[]).unwrap().plan);
        let server = Server::bind(Config::new(Corpus::of(&plan.scenario), job)).await.unwrap();
        let worker = Worker::new(server.addr());
        tokio::spawn(server.run(std::future::pending()));
        let begin = job.start();
        let right = |shard| job.shard(&begin, shard);
        // Until the device is there the processor answers, and as right.
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut rounds = 0;
        let on_device = loop {
            for shard in 0..SHARDS {
                assert_eq!(worker.shard(begin.bytes(), shard, LIMIT).await.unwrap(), right(shard));
            }
            rounds += 1;
            let status = worker.status(LIMIT).await.unwrap();
            assert_eq!(status.shards, rounds * u64::from(SHARDS));
            // Opened since the last sum was asked for: the next round is computed there.
            let opened = status.engine.starts_with("opencl on ");
            if opened && !status.engine.contains(" 0 shards") {
                break status.engine;
            }
            let opening = status.engine.starts_with("cpu (an OpenCL device is being opened)");
            assert!(opened || opening, "{}", status.engine);
            assert!(Instant::now() < deadline, "{}", status.engine);
        };
        assert!(on_device.contains("computed there"), "{on_device}");

        worker.miscompute(true, LIMIT).await.unwrap();
        assert_ne!(
            worker.shard(begin.bytes(), 3, LIMIT).await.unwrap(),
            right(3),
            "whoever is wrong is seen"
        );
        worker.miscompute(false, LIMIT).await.unwrap();

        kill_engines();
        for shard in 0..SHARDS {
            assert_eq!(worker.shard(begin.bytes(), shard, LIMIT).await.unwrap(), right(shard));
        }
        let told = worker.status(LIMIT).await.unwrap().engine;
        assert!(told.starts_with("cpu (opencl, after ") && told.contains("is gone: signal: 9"), "{told}");
    });
}

fn kill_engines() {
    let mut killed = 0;
    for thread in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let list = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for pid in list.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)) {
            kill_process(pid, Signal::KILL).unwrap();
            killed += 1;
        }
    }
    assert_eq!(killed, 1, "a worker has one engine");
}
