//! Source and scratch are two: what both say of themselves, and records of ours that must not be seen at the other place.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::own::event::{Debt, Holds, Identified, Nonce, Place as Side, RestoreEvent};
use tokio::time::sleep;

use super::{Halt, Player};
use crate::own::place::Unread;

/// How far a place that follows another one may lag.
const LAG: Duration = Duration::from_secs(1);
impl Player<'_> {
    pub(super) async fn holds(&self, after: bool) -> Result<Holds, Halt> {
        let looked = self.scratch.holds(&self.witnesses).await;
        let holds = match looked {
            Ok((count, things)) => Holds { after, things, count: Some(count), unreachable: None },
            Err(Unread::Nobody(why)) => {
                Holds { after, things: Vec::new(), count: None, unreachable: Some(self.hide(why)) }
            }
            Err(Unread::Failed(why)) => {
                self.record(RestoreEvent::Noted(format!(
                    "the scratch place could not be looked into: {}",
                    self.hide(why)
                )))?;
                Holds { after, things: Vec::new(), count: None, unreachable: None }
            }
        };
        self.record(RestoreEvent::Holds(holds.clone()))?;
        Ok(holds)
    }

    pub(super) async fn identify(
        &self,
        side: Side,
        after: bool,
    ) -> Result<Result<BTreeMap<String, String>, Unread>, Halt> {
        let said = self.at(side).identify().await;
        let (facts, none) = match &said {
            Ok(facts) => (facts.clone(), None),
            Err(e) => (BTreeMap::new(), Some(self.hide(e))),
        };
        self.record(RestoreEvent::Identified(Identified { place: side, after, facts, none }))?;
        Ok(said)
    }

    /// Asks both places who they are, and looks in each for what was written in the other.
    pub(super) async fn tell_apart(&mut self, after: bool) -> Result<(), Halt> {
        let source = self.identify(Side::Source, after).await?;
        let source = source.map_err(|e| Halt::Abort(format!("the source cannot be asked: {e}")))?;
        let scratch = match self.identify(Side::Scratch, after).await? {
            Ok(facts) => facts,
            Err(Unread::Nobody(why)) if !after => {
                let holds =
                    Holds { after, things: Vec::new(), count: None, unreachable: Some(self.hide(why)) };
                self.record(RestoreEvent::Holds(holds))?;
                self.apart = true;
                return Ok(());
            }
            Err(e) if after => {
                self.record(RestoreEvent::Noted(format!(
                    "the scratch place cannot be asked: {}",
                    self.hide(e)
                )))?;
                return Ok(());
            }
            Err(e) => return Err(Halt::Abort(format!("the scratch place cannot be asked: {e}"))),
        };
        let equal = |key: &str| source.get(key).is_some_and(|v| scratch.get(key) == Some(v));
        let server = equal("system_identifier") && equal("started");
        if server && (equal("database_oid") || !self.c.drill.restore.scratch.same_server) {
            let which = if equal("database_oid") {
                "is the source itself"
            } else {
                "is a database of the source's own server; restore to another one, or say `same_server = true`"
            };
            return Err(Halt::Abort(format!(
                "the scratch place {which}: {}",
                if after { "see the findings" } else { "nothing was run" }
            )));
        }
        self.checks_rights(&source)?;
        let mut proved = false;
        for written in [Side::Source, Side::Scratch] {
            if written == Side::Source && self.c.drill.canary().is_none() {
                continue;
            }
            let seen = self.nonce(written, after).await?;
            if seen == Some(true) {
                let (other, what) = if written == Side::Source {
                    ("scratch place", "source")
                } else {
                    ("source", "scratch place")
                };
                let why = format!(
                    "what was written in the {what} was seen in the {other}: they are one place, or one follows the other"
                );
                return Err(Halt::Abort(why));
            }
            proved |= seen == Some(false);
        }
        if !proved && !after {
            return Err(Halt::Abort(
                "nobody could tell the scratch place from the source: nothing was run".into(),
            ));
        }
        self.apart |= proved;
        Ok(())
    }

    /// A role that reads must not be able to write, where it matters.
    fn checks_rights(&self, source: &BTreeMap<String, String>) -> Result<(), Halt> {
        let writable = source.get("tables_that_this_role_may_write").and_then(|n| n.parse::<u64>().ok());
        if writable.is_some_and(|n| n > 0) {
            let what =
                "the role that reads the source may write its tables: give gameday one that may only read";
            if self.c.drill.stack.level == harness::own::stack::Level::Production {
                return Err(Halt::Abort(format!("{what}; in production nothing is run by another")));
            }
            self.record(RestoreEvent::Noted(what.into()))?;
        }
        Ok(())
    }

    /// Writes a record in one place, looks for it in the other, and removes it. Answers whether it was seen.
    async fn nonce(&mut self, written: Side, after: bool) -> Result<Option<bool>, Halt> {
        self.marks += 1;
        let word: String = self.c.run.chars().rev().filter(char::is_ascii_alphanumeric).take(8).collect();
        let id = format!("{}{}", word.to_lowercase(), self.marks);
        let what = if written == Side::Source { "canary" } else { "marker" };
        let debt = Debt { id: id.clone(), place: written, what: what.into() };
        self.record(RestoreEvent::Intended(debt.clone()))?;
        self.debts.push(debt.clone());
        let other = if written == Side::Source { Side::Scratch } else { Side::Source };
        let (seen, why) = match self.at(written).mark(&id).await {
            Err(e) => (None, format!("nothing could be written in the {written}: {}", self.hide(e))),
            Ok(()) => match self.seen(other, &id, after).await {
                Ok(seen) => (Some(seen), format!("looked for in the {other}")),
                Err(e) => (None, format!("the {other} could not be looked into: {}", self.hide(e))),
            },
        };
        self.record(RestoreEvent::Nonce(Nonce { written, after, seen, why }))?;
        self.pay(&debt).await?;
        Ok(seen)
    }

    /// Whether a record is seen in a place: at once, and after the restore a little later as well, since a place that follows
    /// the other may lag.
    async fn seen(&self, side: Side, id: &str, twice: bool) -> Result<bool, Unread> {
        let seen = self.at(side).marked(id).await?;
        if seen || !twice {
            return Ok(seen);
        }
        sleep(LAG).await;
        self.at(side).marked(id).await
    }

    pub(super) async fn pay(&mut self, debt: &Debt) -> Result<(), Halt> {
        match self.at(debt.place).unmark(&debt.id).await {
            Ok(()) => {
                self.debts.retain(|d| d != debt);
                self.record(RestoreEvent::Paid(debt.clone()))?;
            }
            // A place where nobody is holds nothing of ours, unless it comes back.
            Err(Unread::Nobody(_)) if debt.place == Side::Scratch => {
                self.debts.retain(|d| d != debt);
                self.record(RestoreEvent::Paid(debt.clone()))?;
            }
            Err(e) => {
                let what = format!(
                    "{} {} in the {} could not be removed: {}",
                    debt.what,
                    debt.id,
                    debt.place,
                    self.hide(e)
                );
                self.record(RestoreEvent::Noted(what))?;
            }
        }
        Ok(())
    }
}
