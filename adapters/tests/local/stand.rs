//! A small local world in a folder of its own.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use adapters::local::sweep::find;
use adapters::local::{LocalConfig, LocalHost};
use harness::corpus::Corpus;
use harness::diagnose::load;
use harness::plan::Plan;
use harness::ports::{EnvironmentError, Host};

/// A drill that takes seconds, with this RTO.
pub(crate) fn plan(rto: &str) -> Plan {
    plan_of(include_bytes!("drill.toml"), &[("objectives.rto".to_owned(), format!("{rto:?}"))])
}

/// A scenario with some values changed.
pub(crate) fn plan_of(scenario: &[u8], set: &[(String, String)]) -> Plan {
    load(scenario, set).unwrap().plan
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
}

pub(crate) fn run_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("local-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A local world that was not launched yet.
pub(crate) struct Stand {
    pub(crate) host: Arc<dyn Host>,
    pub(crate) plan: Plan,
    pub(crate) run: String,
    folder: tempfile::TempDir,
}

impl Stand {
    pub(crate) fn new(flaw: Option<&str>) -> Self {
        Self::for_plan(plan("2m"), std::env::current_exe().unwrap(), flaw).unwrap()
    }

    pub(crate) fn for_plan(plan: Plan, exe: PathBuf, flaw: Option<&str>) -> Result<Self, EnvironmentError> {
        let (folder, run) = (tempfile::tempdir().unwrap(), run_id());
        let config = LocalConfig {
            run: run.clone(),
            folder: folder.path().to_owned(),
            exe,
            plan: plan.clone(),
            flaw: flaw.map(str::to_owned),
        };
        Ok(Self { host: LocalHost::new(config)?, plan, run, folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn corpus(&self) -> Corpus {
        Corpus::of(&self.plan.scenario)
    }

    /// Tears the world down and checks that nothing of it is left.
    pub(crate) async fn tear_down(self) {
        self.host.teardown().await.unwrap();
        self.is_clean();
    }

    pub(crate) fn is_clean(&self) {
        assert_eq!(find(&self.run).unwrap(), Vec::<u32>::new());
        assert!(!self.folder().join("state").exists());
        assert_eq!(watchdogs(&self.run), Vec::<u32>::new());
    }
}

/// The watchdogs of a run, by their command line: they bear no mark.
pub(crate) fn watchdogs(run: &str) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let guards = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|&b| b == 0).collect();
        words.get(1) == Some(&b"__watchdog".as_slice()) && words.get(2) == Some(&run.as_bytes())
    };
    pids.filter(guards).collect()
}
