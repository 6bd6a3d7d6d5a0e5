//! Feature stores: killed, struck, backed up, restored.

use harness::diagnose::load;
use harness::plan::Plan;
use harness::verdict::Verdict::Pass;

use crate::drills::play_until;

fn plan() -> Plan {
    load(include_bytes!("features.toml"), &[]).unwrap().plan
}

pub(crate) fn a_killed_store_comes_back() {
    play_until(&plan(), None, |report| report.verdict == Pass && report.services[0].bad > 0);
}
