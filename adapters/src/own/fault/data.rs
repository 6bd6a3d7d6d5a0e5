//! Data of users and canaries: read before, after recovery, and once more after the undo.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use harness::own::event::{Asked, Planted, Sum};
use harness::own::fault::event::{Canaries, FaultEvent, Pass, Stage, Witnessed};
use harness::own::stack::Witness;
use tokio::time::sleep;

use super::Player;
use super::watch::Seed;
use crate::own::config::Halt;
use crate::own::place::Unread;

/// How long what was not right is left alone before it is asked again.
const AGAIN: Duration = Duration::from_millis(500);

impl Player {
    /// Until when what is not right is asked again, if it is asked from now on.
    pub(super) fn settles_us(&self) -> u64 {
        self.clock.now_us() + self.c.drill.settle().us()
    }

    /// Reads every witness; after the fault until it reads as before, or until then.
    pub(super) async fn read(&mut self, pass: Pass, until_us: u64) -> Result<(), Halt> {
        let mut open: Vec<(String, Witness)> = self.witnesses.clone();
        loop {
            let mut left = Vec::new();
            for (id, w) in open {
                let known = self.newer.entry(id.clone()).or_default();
                let mut newer = if pass == Pass::Before { BTreeSet::new() } else { known.clone() };
                let read = self.places[&w.component].witness(&w, self.t0_unix_us, &mut newer).await;
                if pass == Pass::Before {
                    self.newer.insert(id.clone(), newer);
                }
                let same = self.reading(&id, pass, read)?;
                if pass == Pass::Before && self.before.get(&id).is_none_or(|sum| sum.rows == 0) {
                    let why = "it cannot be read, or is empty, and would prove nothing: nothing was broken";
                    return Err(Halt::Abort(format!("witness {id}: {why}")));
                }
                if pass != Pass::Before && !same && self.before.contains_key(&id) {
                    left.push((id, w));
                }
            }
            if left.is_empty() || self.clock.now_us() >= until_us {
                return Ok(());
            }
            open = left;
            sleep(AGAIN).await;
        }
    }

    /// Writes a reading down; answers whether it is that of before.
    fn reading(&mut self, id: &str, pass: Pass, read: Result<Sum, Unread>) -> Result<bool, Halt> {
        let (sum, none) = match read {
            Ok(sum) => (Some(sum), None),
            Err(e) => (None, Some(self.hide(e))),
        };
        if let (Pass::Before, Some(sum)) = (pass, &sum) {
            self.before.insert(id.to_owned(), sum.clone());
        }
        let same = sum.is_some() && sum.as_ref() == self.before.get(id);
        self.record(FaultEvent::Witnessed(Box::new(Witnessed { witness: id.to_owned(), pass, sum, none })))?;
        Ok(same)
    }

    /// Reads the canaries of this drill, until each that was acknowledged is there, or until then.
    pub(super) async fn read_canaries(
        &self,
        pass: Pass,
        sown: &BTreeMap<String, Vec<Seed>>,
        until_us: u64,
    ) -> Result<(), Halt> {
        for (component, sown) in sown {
            loop {
                let canaries = self.listed(pass, component, sown).await;
                let there: BTreeSet<&String> = canaries.list.iter().map(|p| &p.id).collect();
                let whole = canaries.none.is_none() && sown.iter().all(|s| !s.acked || there.contains(&s.id));
                if whole || self.clock.now_us() >= until_us {
                    self.record(FaultEvent::Canaries(Box::new(canaries)))?;
                    break;
                }
                sleep(AGAIN).await;
            }
        }
        Ok(())
    }

    /// Who cannot list canaries cannot say that none was lost: nothing is broken then.
    pub(super) async fn canaries_can_be_read(&self) -> Result<(), Halt> {
        for id in self.c.drill.planted() {
            if let Err(e) = self.places[id].canaries().await {
                return Err(Halt::Abort(format!(
                    "the canaries of {id} cannot be read: {e}: nothing was broken"
                )));
            }
        }
        Ok(())
    }

    /// What a component holds of this drill's canaries.
    async fn listed(&self, pass: Pass, component: &str, sown: &[Seed]) -> Canaries {
        let none =
            |why: String| Canaries { component: component.into(), pass, list: Vec::new(), none: Some(why) };
        let listed = match self.places[component].canaries().await {
            Ok(listed) => listed,
            Err(e) => return none(self.hide(e)),
        };
        let first_us = listed.list.first().map_or(0, |p| p.at_unix_us);
        if listed.count > listed.list.len() as u64 && first_us >= self.started_unix_us {
            return none("there are too many to be listed: prune them, or write a lower `rate`".into());
        }
        let ours: BTreeSet<&String> = sown.iter().map(|s| &s.id).collect();
        let list: Vec<Planted> = listed.list.into_iter().filter(|p| ours.contains(&p.id)).collect();
        Canaries { component: component.into(), pass, list, none: None }
    }

    /// Everything once more, when all is undone.
    pub(super) async fn after(&mut self) -> Result<(), Halt> {
        self.record(FaultEvent::Entered(Stage::After))?;
        let until_us = self.settles_us();
        let services: Vec<String> = self.c.drill.services().map(|(id, _)| id.clone()).collect();
        for service in services {
            let asker = self.alarms().asker(&service).map_err(Halt::Abort)?;
            loop {
                let sent_us = self.clock.now_us();
                let bad = asker.ask().await.err();
                let done_us = self.clock.now_us();
                if bad.is_none() || done_us >= until_us {
                    let asked = Asked { service: service.clone(), due_us: sent_us, sent_us, done_us, bad };
                    self.record(FaultEvent::Asked(asked))?;
                    break;
                }
                sleep(AGAIN).await;
            }
        }
        self.read(Pass::Undone, until_us).await?;
        let sown = std::mem::take(&mut self.sown);
        self.read_canaries(Pass::Undone, &sown, until_us).await
    }
}
