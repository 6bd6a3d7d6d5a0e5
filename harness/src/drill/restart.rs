//! The proof that what was read back is stored: every copy that users are routed to is restarted, one after the other,
//! and read back again, before any undo.
//!
//! A process answers from memory for as long as it lives: files that rotted meanwhile are found by whoever loads them
//! next. Workers hold no state, so their job is taken up anew from its newest checkpoint instead.

use std::{collections::BTreeMap, io};

use tokio::time::timeout;

use super::{
    LAUNCH_LIMIT, Stage,
    readback::{Copy, Found, Readings, What},
};
use crate::{
    act::Act,
    journal::{EventKind, ReadBack, Resumed},
    ledger::Ledger,
    plan::{CONVERGE_LIMIT, StepKind},
    time::Dur,
    topology::{NodeId, Role},
};

/// A job must be taken up, and go on by one step, within this long.
const RESUME_LIMIT: Dur = Dur::from_secs(60);

impl Stage {
    /// Restarts the copies in the order of launch, then reads all of them.
    pub(super) async fn restart(
        &self,
        copies: &[Copy],
        ledgers: &BTreeMap<Role, Ledger>,
        before: &Readings,
    ) -> io::Result<Readings> {
        for node in self.plan.restarted(copies) {
            self.restart_node(&node).await?;
        }
        for (store, region) in copies.iter().filter(|(store, _)| *store == Role::Gpu) {
            let resumed = self.resume(*store, region).await;
            if resumed.why.is_some() {
                self.own.vouch().await;
            }
            self.journal.record(EventKind::Resumed(resumed))?;
        }
        let mut all = Readings::new();
        for copy in copies {
            let ledger = ledgers.get(&copy.0);
            let first = before.get(copy).filter(|s| s.complete());
            // A copy that was just started may still load: it has as long as a launch to answer. One that says that it
            // cannot be read, or that may still follow another one, has a while to be what it was.
            let within = |Found { survivors, refused }: &Found| {
                let first = first?;
                let whole = |ledger: &&Ledger| !ledger.account(survivors).worse_than(&ledger.account(first));
                match survivors.complete() {
                    true => (!ledger.as_ref().is_none_or(whole)).then_some(CONVERGE_LIMIT),
                    false => Some(if *refused { CONVERGE_LIMIT } else { LAUNCH_LIMIT }),
                }
            };
            let what = What::new(ReadBack::RESTARTED, copy);
            all.insert(copy.clone(), self.read_until(what, within).await?);
        }
        Ok(all)
    }

    async fn restart_node(&self, node: &NodeId) -> io::Result<()> {
        let (step, act) = (format!("restart-{}", node.slug()), Act::Restart { node: node.clone() });
        self.intend(&step, StepKind::Setup, vec![act.clone()], Vec::new())?;
        let acted = self.perform(&step, &act, LAUNCH_LIMIT).await;
        self.journal.record(EventKind::Acted(acted))
    }

    async fn resume(&self, store: Role, region: &str) -> Resumed {
        let answer = match self.host.system_in(region, store) {
            None => Err("no workers are there".to_owned()),
            Some(system) => match timeout(RESUME_LIMIT.std(), system.resume_job()).await {
                Ok(answer) => answer.map_err(|e| e.to_string()),
                Err(_) => Err(format!("the job did not go on within {RESUME_LIMIT}")),
            },
        };
        let (from, why) = match answer {
            Ok(step) => (Some(step), None),
            Err(why) => (None, Some(why)),
        };
        Resumed { store, region: region.into(), from, why }
    }
}
