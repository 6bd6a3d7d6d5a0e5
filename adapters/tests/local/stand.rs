//! A small local world in a folder of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapters::local::sweep::find;
use adapters::local::{LocalConfig, LocalHost};
use harness::corpus::Corpus;
use harness::diagnose::load;
use harness::plan::Plan;
use harness::ports::{EnvironmentError, Host};

use crate::common::{run_id, watchdogs};

/// A drill that takes seconds, with this RTO.
pub(crate) fn plan(rto: &str) -> Plan {
    plan_of(include_bytes!("drill.toml"), &[("objectives.rto".to_owned(), format!("{rto:?}"))])
}

/// A scenario with some values changed.
pub(crate) fn plan_of(scenario: &[u8], set: &[(String, String)]) -> Plan {
    load(scenario, set).unwrap().plan
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
        let (folder, run) = (tempfile::tempdir().unwrap(), run_id("local"));
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
