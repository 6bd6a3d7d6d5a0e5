//! A small docker world in a folder of its own.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use adapters::docker::images::{self, Choices};
use adapters::docker::sweep::find;
use adapters::docker::{DockerConfig, DockerHost, Engine};
use harness::act::Act;
use harness::corpus::Corpus;
use harness::diagnose::load;
use harness::plan::Plan;
use harness::ports::{EnvironmentError, Host};
use harness::topology::{NodeId, Role};

use crate::common::{block_on, run_id, watchdogs};

pub(crate) fn plan() -> Plan {
    load(include_bytes!("drill.toml"), &[]).unwrap().plan
}

pub(crate) fn object() -> NodeId {
    NodeId::new("east", Role::Object)
}

/// Whether there is an engine with the images that the tests need.
pub(crate) fn can_run() -> Result<(), String> {
    block_on(async {
        let engine = Engine::connect().await.map_err(|e| e.to_string())?;
        for role in [Role::Object, Role::Feature, Role::Vector] {
            images::resolve(&engine, role, &Choices::new()).await.map_err(|e| e.to_string())?;
        }
        Ok(())
    })
}

/// A docker world that was not launched yet.
pub(crate) struct Stand {
    pub(crate) host: Arc<dyn Host>,
    pub(crate) plan: Plan,
    pub(crate) run: String,
    folder: tempfile::TempDir,
}

impl Stand {
    pub(crate) fn new() -> Self {
        Self::with(None, Choices::new())
    }

    pub(crate) fn with(flaw: Option<&str>, images: Choices) -> Self {
        Self::of(plan(), flaw, images)
    }

    pub(crate) fn of(plan: Plan, flaw: Option<&str>, images: Choices) -> Self {
        Self::try_of(plan, flaw, images).unwrap()
    }

    pub(crate) fn try_of(plan: Plan, flaw: Option<&str>, images: Choices) -> Result<Self, EnvironmentError> {
        let (folder, run) = (tempfile::tempdir().unwrap(), run_id("docker"));
        let config = DockerConfig {
            run: run.clone(),
            folder: folder.path().to_owned(),
            exe: std::env::current_exe().unwrap(),
            plan: plan.clone(),
            flaw: flaw.map(str::to_owned),
            images,
        };
        Ok(Self { host: DockerHost::new(config)?, plan, run, folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn corpus(&self) -> Corpus {
        Corpus::of(&self.plan.scenario)
    }

    pub(crate) async fn must(&self, act: Act) -> String {
        let effect = self.host.act(&act).await;
        assert!(effect.outcome.observed(), "{act}: {:?}", effect.outcome);
        effect.outcome.text().to_owned()
    }

    /// Tears the world down and checks that nothing of it is left.
    pub(crate) async fn tear_down(self) {
        self.host.teardown().await.unwrap();
        self.is_clean().await;
    }

    pub(crate) async fn is_clean(&self) {
        let engine = Engine::connect().await.unwrap();
        assert_eq!(find(&engine, &self.run).await.unwrap(), []);
        assert_eq!(watchdogs(&self.run), Vec::<u32>::new());
    }
}

/// What an engine says of a run's things, asked by its own command and not by our client.
pub(crate) fn docker(args: &[&str]) -> String {
    let out = Command::new("docker").args(args).output().unwrap();
    assert!(out.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}
