//! A folder of evidence made of simulated drills, signed with keys of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use harness::{
    diagnose::{self, Loaded},
    facts::Facts,
    inventory::Inventory,
    journal::{Began, Event, EventKind, Reader, digest},
    ports::CountsAs,
    report::{self, Report},
    scenario::WorldName,
    sim,
};
use jiff::tz::TimeZone;
use reports::{
    Format,
    evidence::{
        keys::{Allowed, Duty, Signer},
        ledger::{Closed, Declared, Head, Kind},
        record, review, seal,
        store::Store,
        verify::{Ask, Checked, verify},
    },
};
use tempfile::TempDir;

pub(crate) const SCENARIO: &str = include_str!("drill.toml");

pub(crate) struct Stand {
    folder: TempDir,
    pub(crate) operator: Signer,
    pub(crate) reviewer: Signer,
    pub(crate) allowed: Allowed,
    pub(crate) now: SystemTime,
}

/// How a drill is put on record.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum As {
    Simulated,
    /// As a drill of a user's own stack would be, though its events come from the simulation.
    Real,
    /// The same, of a stack that is not production.
    Staging,
    /// The same, of one that may be thrown away.
    Disposable,
    /// As `Real`, with limits that it misses.
    RealMissed,
}

impl As {
    fn worth(self) -> (WorldName, CountsAs) {
        match self {
            As::Simulated => (WorldName::Sim, CountsAs::Rehearsal),
            As::Disposable => (WorldName::Own, CountsAs::Disposable),
            As::Staging => (WorldName::Own, CountsAs::Staging),
            As::Real | As::RealMissed => (WorldName::Own, CountsAs::Production),
        }
    }
}

pub(crate) fn loaded(how: As) -> Loaded {
    let set = [("objectives.rto".to_owned(), "2s".to_owned())];
    diagnose::load(SCENARIO.as_bytes(), if how == As::RealMissed { &set } else { &[] })
        .expect("the fixture is right")
}

/// Journals are the same each time, and many tests want one.
pub(crate) fn journal(how: As, run: &str) -> Vec<u8> {
    static SIMULATED: OnceLock<Vec<u8>> = OnceLock::new();
    let loaded = loaded(how);
    let overrides = if how == As::RealMissed { vec!["objectives.rto=2s".to_owned()] } else { Vec::new() };
    let began = sim::began(&loaded.scenario, digest(SCENARIO.as_bytes()), overrides);
    match how {
        As::Simulated => SIMULATED.get_or_init(|| sim::rehearse(&loaded, began, None, None)).clone(),
        _ => {
            let (world, counts_as) = how.worth();
            let began = Began { run: run.into(), world, counts_as, ..began };
            listed(&sim::rehearse(&loaded, began, None, None))
        }
    }
}

/// The same journal with stores that say what they consist of, as a real stack's do; chained anew.
fn listed(journal: &[u8]) -> Vec<u8> {
    let (mut out, mut prev) = (Vec::new(), String::new());
    for event in Reader::new(journal) {
        let mut event = Event { prev, ..event.expect("a journal of ours") };
        if let EventKind::Inventoried(listed) = &mut event.kind {
            let mut items = Inventory::default();
            items.add("collection gameday", "as it was made");
            (listed.items, listed.none) = (Some(items), None);
        }
        let line = serde_json::to_vec(&event).expect("events can be written");
        prev = digest(&line);
        out.extend(line);
        out.push(b'\n');
    }
    out
}

pub(crate) fn report_of(journal: &[u8]) -> Report {
    let mut report = Report::of(&Facts::of(Reader::new(journal)).expect("a journal of ours"));
    report.cite(journal).expect("memory can be read");
    report
}

impl Stand {
    pub(crate) fn new() -> Stand {
        let operator = Signer::generate("ops@example.org").expect("the stand works");
        let reviewer = Signer::generate("audit@example.org").expect("the stand works");
        let lines = operator.allowed_line(Duty::Operator) + &reviewer.allowed_line(Duty::Reviewer);
        let allowed = Allowed::parse(&lines, &TimeZone::UTC);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_793_000_000);
        Stand { folder: TempDir::new().expect("the stand works"), operator, reviewer, allowed, now }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("evidence")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.path(), &self.allowed).expect("the stand works")
    }

    pub(crate) fn declare(&mut self, run: &str, how: As) -> Head {
        self.declare_with(run, how, |_| {})
    }

    /// Declares a run as its operator would like it to be.
    pub(crate) fn declare_with(&mut self, run: &str, how: As, change: impl Fn(&mut Declared)) -> Head {
        self.now += Duration::from_secs(60);
        let plan = loaded(how).plan;
        let mut store = self.store();
        seal::prepare(&self.path(), run, SCENARIO.as_bytes(), None).expect("the stand works");
        let (world, counts_as) = how.worth();
        let mut declared = Declared {
            run: run.into(),
            scenario: plan.scenario.name.clone(),
            scenario_sha256: digest(SCENARIO.as_bytes()),
            stack_sha256: None,
            overrides: if how == As::RealMissed { vec!["objectives.rto=2s".into()] } else { Vec::new() },
            world,
            counts_as,
            flaw: None,
            objectives: report::objectives(&plan),
            operator: self.operator.identity().into(),
            gameday: env!("CARGO_PKG_VERSION").into(),
        };
        change(&mut declared);
        store.append(self.now, Kind::Declared(Box::new(declared)), &self.operator).expect("the stand works")
    }

    pub(crate) fn close(&mut self, run: &str, journal: &[u8]) {
        let report = report_of(journal);
        self.close_as(run, journal, &report);
    }

    /// Closes a run with whatever report its operator would like it to have.
    pub(crate) fn close_as(&mut self, run: &str, journal: &[u8], report: &Report) {
        self.seal(run, journal, report, |_, _| {});
    }

    /// Closes a run, and lets its operator change what is put on record.
    pub(crate) fn close_with(&mut self, run: &str, journal: &[u8], change: impl Fn(&Stand, &mut Closed)) {
        self.seal(run, journal, &report_of(journal), change);
    }

    fn seal(&mut self, run: &str, journal: &[u8], report: &Report, change: impl Fn(&Stand, &mut Closed)) {
        self.now += Duration::from_secs(60);
        let folder = self.file(run);
        fs::write(folder.join(seal::JOURNAL), journal).expect("the stand works");
        for format in Format::ALL {
            fs::write(folder.join(format.file_name()), format.render(report)).expect("the stand works");
        }
        fs::write(folder.join(seal::RECORD), record::template(run)).expect("the stand works");
        let declared = self.store().ledger().declared(run).expect("the stand works").clone();
        let ended = (report.verdict, reports::headline(report));
        let mut closed =
            seal::seal(&folder, &declared, ended, Some(report), &self.operator).expect("the stand works");
        change(self, &mut closed);
        self.store().append(self.now, Kind::Closed(closed), &self.operator).expect("the stand works");
    }

    pub(crate) fn play(&mut self, run: &str, how: As) {
        self.declare(run, how);
        self.close(run, &journal(how, run));
    }

    pub(crate) fn fill(&self, run: &str) {
        let path = self.file(run).join(seal::RECORD);
        let text = fs::read_to_string(&path)
            .expect("the stand works")
            .replace(record::PLACEHOLDER, "as the plan says");
        let finding = "[[finding]]\nwhat = \"slow\"\nseverity = \"low\"\nowner = \"ops\"\ndue = \"2027-01-31\"\nstatus = \"open\"\n";
        fs::write(&path, text + finding).expect("the stand works");
    }

    pub(crate) fn review(&mut self, run: &str) {
        self.fill(run);
        self.now += Duration::from_secs(60);
        let words = "compared with the logs of the stores";
        review::review(&mut self.store(), run, words, &self.reviewer, &self.allowed, self.now)
            .expect("the stand works");
    }

    pub(crate) fn verify(&self, anchor: Option<&Head>, recompute: bool) -> Checked {
        verify(&self.path(), Ask { allowed: &self.allowed, anchor, recompute, now: self.now })
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        self.verify(None, true).problems.iter().map(ToString::to_string).collect()
    }
}

pub(crate) fn simulated() -> Vec<u8> {
    journal(As::Simulated, "")
}

pub(crate) fn real(run: &str) -> Vec<u8> {
    journal(As::Real, run)
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the stand works") {
            let path = entry.expect("the stand works").path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

#[test]
fn a_real_drill_of_the_stand_passes() {
    let report = report_of(&journal(As::Real, "r1"));
    let doubts: Vec<_> =
        report.findings.iter().filter(|f| f.verdict != harness::verdict::Verdict::Pass).collect();
    assert!(doubts.is_empty(), "{doubts:#?}");
}
