//! Who built indexes in the course of recovery, as the journal has it: asked for, and what really ran.

use serde::{Deserialize, Serialize};

use crate::{act::Act, facts::Facts, journal::Acted, plan::StepKind, topology::NodeId};

/// One index that a step built.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Build {
    /// The step's name.
    pub step: String,
    /// Where.
    pub node: NodeId,
    /// The engine that built it.
    pub engine: String,
    /// Its kernels and device, where it tells them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// The engine that the scenario asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// Why it was not that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Vectors in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vectors: Option<u64>,
    /// How long the build took, in seconds, by the store's own clock. What users felt is the RTO.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

impl Build {
    /// Who built it, in words.
    pub fn by(&self) -> String {
        let mut words = self.engine.clone();
        if let Some(tier) = &self.tier {
            words += &format!(", {tier}");
        }
        let asked = self.asked.as_ref().map(|asked| format!("asked: {asked}"));
        let more: Vec<&str> = [asked.as_deref(), self.why.as_deref()].into_iter().flatten().collect();
        if !more.is_empty() {
            words += &format!(" ({})", more.join("; "));
        }
        words
    }

    /// What was built and how long that took, in words.
    pub fn what(&self) -> String {
        let vectors = self.vectors.map_or("an index".into(), |n| format!("an index of {n} vectors"));
        self.seconds.map_or(vectors.clone(), |seconds| format!("{vectors} in {seconds:.3} s"))
    }
}

pub(super) fn builds(facts: &Facts) -> Vec<Build> {
    let steps = facts.steps.iter().filter(|step| step.kind != StepKind::Setup);
    steps.flat_map(|step| &step.acts).filter_map(build).collect()
}

/// A journal may hold anything: a number that is none is left out.
fn build(acted: &Acted) -> Option<Build> {
    let (Act::Rebuild { node, .. } | Act::Restore { node, .. }) = &acted.act else { return None };
    let fact = |name: &str| acted.facts.get(name).filter(|text| !text.is_empty()).cloned();
    let seconds = fact("build_seconds").and_then(|text| text.parse().ok());
    Some(Build {
        step: acted.step.clone(),
        node: node.clone(),
        engine: fact("engine")?,
        tier: fact("tier"),
        asked: fact("asked"),
        why: fact("why"),
        vectors: fact("vectors").and_then(|text| text.parse().ok()),
        seconds: seconds.filter(|seconds: &f64| seconds.is_finite()),
    })
}
