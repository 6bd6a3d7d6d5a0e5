//! From facts to findings: what was required, what was measured, and whether that is enough.
//!
//! A new objective is one key in [`crate::scenario::Objectives`] and one function here. The rules that keep a pass
//! honest stand in `conduct`: the stack was steady before, every fault took effect, and the drill ran to its end.
//! A rule that cannot be judged is `unknown`, never left out.

mod conduct;
mod data;
mod durable;
mod inventory;
mod quality;
mod rto;
mod users;

use serde::{Deserialize, Serialize};

use crate::{facts::Facts, verdict::Verdict};

pub(crate) use data::actual_us as rpo_actual_us;
pub use quality::{Ratio, recall};
pub(crate) use quality::{ratios as quality_ratios, unsteady};
pub(crate) use rto::{Case, Strikes};
pub(crate) use users::had;

/// One conclusion.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// What was judged: `rto`, `rto_writes`, `rpo`, `integrity`, `durable`, `references`, `convergence`, `quality`, `availability`,
    /// `latency_p99`, `steady`, `effect`, `recovery`, `conduct`.
    pub objective: String,
    /// Of whom: a service, a store, a fault.
    pub subject: String,
    /// The conclusion.
    pub verdict: Verdict,
    /// What was required.
    pub required: String,
    /// What was measured.
    pub measured: String,
    /// Why, in a sentence.
    pub why: String,
    /// The numbers of the events that prove it.
    pub evidence: Vec<u64>,
}

impl Finding {
    pub(crate) fn new(objective: &str, subject: &str, required: impl Into<String>) -> Finding {
        Finding {
            objective: objective.into(),
            subject: subject.into(),
            verdict: Verdict::Unknown,
            required: required.into(),
            measured: "nothing".into(),
            why: String::new(),
            evidence: Vec::new(),
        }
    }

    pub(crate) fn measured(mut self, what: impl Into<String>) -> Finding {
        self.measured = what.into();
        self
    }

    pub(crate) fn evidence(mut self, seqs: impl IntoIterator<Item = u64>) -> Finding {
        self.evidence.extend(seqs);
        self
    }

    pub(crate) fn because(mut self, verdict: Verdict, why: impl Into<String>) -> Finding {
        (self.verdict, self.why) = (verdict, why.into());
        self
    }
}

/// Judges everything.
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let mut findings = conduct::findings(facts);
    // A drill without a storm has measured nothing.
    if facts.t0_us().is_some() {
        findings.extend(rto::findings(facts));
        findings.extend(data::findings(facts));
        findings.extend(inventory::findings(facts));
        findings.extend(quality::findings(facts));
        findings.extend(users::findings(facts));
    }
    findings
}
