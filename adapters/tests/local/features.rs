//! Feature stores: killed, struck, backed up, restored.

use harness::act::{Act, Artifact, Damage};
use harness::diagnose::load;
use harness::plan::Plan;
use harness::topology::{NodeId, Role};
use harness::verdict::Verdict::Pass;

use crate::common::block_on;
use crate::drills::{only_fails, play_until};
use crate::stand::Stand;

fn plan(text: &str) -> Plan {
    load(text.as_bytes(), &[]).unwrap().plan
}

fn compromise() -> Plan {
    plan(include_str!("compromise.toml"))
}

pub(crate) fn a_killed_store_comes_back() {
    play_until(&plan(include_str!("features.toml")), None, |report| {
        report.verdict == Pass && report.services[0].bad > 0
    });
}

pub(crate) fn a_compromised_store_is_restored() {
    play_until(&compromise(), None, |report| report.verdict == Pass && report.services[0].bad > 0);
}

pub(crate) fn bad_restores_are_found() {
    let quiet = plan(include_str!("quiet.toml"));
    play_until(&quiet, None, |report| report.verdict == Pass);
    for (flaw, finding) in [("stale-features", "rpo feature"), ("keeps-role", "integrity feature")] {
        play_until(&quiet, Some(flaw), |report| only_fails(report, finding));
    }
}

pub(crate) fn strikes_are_answered_with_what_was_seen() {
    let node = || NodeId::new("east", Role::Feature);
    let damage = |what, how| Act::Damage { node: node(), what, how, fraction: 0.1, seed: 5 };
    let strikes = [
        damage(Artifact::Values, Damage::Shift),
        damage(Artifact::Definitions, Damage::Delete),
        Act::Intrude { node: node() },
    ];
    for (flaw, observed) in [(None, true), (Some("silent-fault"), false)] {
        block_on(async {
            let stand = Stand::for_plan(compromise(), std::env::current_exe().unwrap(), flaw).unwrap();
            stand.host.launch().await.unwrap();
            let system = stand.host.system(Role::Feature).unwrap();
            for key in 0..stand.corpus().count(Role::Feature) {
                let write = harness::ports::Write { key, ver: 0, delete: false };
                system.write(write).await.unwrap();
            }
            for strike in &strikes {
                let effect = stand.host.act(strike).await;
                assert_eq!(effect.outcome.observed(), observed, "{strike}: {effect:?}");
            }
            let wrong = stand.host.act(&damage(Artifact::Index, Damage::Flip)).await;
            assert!(!wrong.outcome.observed(), "{wrong:?}");
            stand.tear_down().await;
        });
    }
}
