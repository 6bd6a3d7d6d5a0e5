//! One drill in world `local`, by hand: `drill SCENARIO [path=value].. [flaw=WORD]`.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use adapters::local::{LocalConfig, LocalHost, hidden_main};
use harness::{clock::Clock, drill, journal::Journal, ports::Host, report::Report};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(code) = hidden_main(&args) {
        return code;
    }
    let args: Vec<String> = args.into_iter().map(|a| a.into_string().unwrap()).collect();
    let text = std::fs::read(&args[0]).unwrap();
    let mut sets: Vec<(String, String)> =
        args[1..].iter().map(|a| a.split_once('=').unwrap()).map(|(a, b)| (a.into(), b.into())).collect();
    let flaw = sets.iter().position(|s| s.0 == "flaw").map(|i| sets.remove(i).1);
    let loaded = harness::diagnose::load(&text, &sets).unwrap();
    let folder = tempfile::tempdir().unwrap().keep();
    let run = format!("drill-{}", std::process::id());
    let mut began = harness::sim::began(&loaded.scenario, String::new(), Vec::new());
    began.run = run.clone();
    began.world = harness::scenario::WorldName::Local;
    began.flaw = flaw.clone();
    let path = folder.join("journal.jsonl");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let start = Instant::now();
    runtime.block_on(async {
        let exe = std::env::current_exe().unwrap();
        let host: Arc<dyn Host> =
            LocalHost::new(LocalConfig { run, folder: folder.clone(), exe, plan: loaded.plan.clone(), flaw })
                .unwrap();
        let clock = Clock::real();
        let journal = Journal::create(&path, clock, None).unwrap();
        let (_stopper, stop) = drill::stop();
        let ending = drill::drill(&loaded.plan, began, host, &journal, clock, stop).await.unwrap();
        println!("{ending:?} after {:?}", start.elapsed());
    });
    let report = Report::read(std::io::BufReader::new(std::fs::File::open(&path).unwrap())).unwrap();
    for f in &report.findings {
        println!(
            "{:?} {} {}: {} / {} ({})",
            f.verdict, f.objective, f.subject, f.measured, f.required, f.why
        );
    }
    for n in &report.notes {
        println!("note: {n}");
    }
    for m in &report.timeline {
        println!("{:9.3} {:?} {} | {}", m.at_us as f64 / 1e6, m.kind, m.what, m.seen);
    }
    println!("{:#?}\n{:#?}\n{:#?}", report.services, report.ledger, report.quality);
    println!("{:?} in {}", report.verdict, folder.display());
    ExitCode::SUCCESS
}
