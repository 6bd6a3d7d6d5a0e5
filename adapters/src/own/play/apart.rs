//! Source and scratch are two: what both say of themselves, and records of ours that must not be seen at the other place.
//!
//! The clean-up command empties the scratch place, so this is asked directly before each clean-up, and by `heal` as well. Only
//! what was proved a moment ago counts: an address may lead elsewhere a moment later. What could not be proved is not apart.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use harness::own::Drill;
use harness::own::event::{Debt, Holds, Identified, Nonce, Place as Side, RestoreEvent};
use tokio::time::sleep;

use crate::own::config::Halt;
use crate::own::place::{Place, Unread};
use crate::own::secrets::Secrets;

/// How far a place that follows another one may lag.
const LAG: Duration = Duration::from_secs(1);

/// Writes an event down.
pub(in crate::own) type Record<'a> = dyn Fn(RestoreEvent) -> io::Result<()> + Send + Sync + 'a;

/// Both places of a drill, and who writes down what they say.
pub(in crate::own) struct Pair<'a> {
    pub(in crate::own) source: &'a dyn Place,
    pub(in crate::own) scratch: &'a dyn Place,
    pub(in crate::own) drill: &'a Drill,
    pub(in crate::own) run: &'a str,
    pub(in crate::own) secrets: &'a Secrets,
    pub(in crate::own) record: &'a Record<'a>,
}

/// What came of asking.
#[derive(Debug)]
pub(in crate::own) struct Told {
    /// They were proved to be two, now.
    pub(in crate::own) apart: bool,
    /// Nobody answers at the scratch place.
    pub(in crate::own) nobody: bool,
    /// What the source says of itself.
    pub(in crate::own) source: BTreeMap<String, String>,
    /// What the scratch place says of itself; nothing where nobody answers.
    pub(in crate::own) scratch: BTreeMap<String, String>,
}

impl Pair<'_> {
    fn at(&self, side: Side) -> &dyn Place {
        if side == Side::Source { self.source } else { self.scratch }
    }

    fn hide(&self, text: impl std::fmt::Display) -> String {
        self.secrets.hide(&text.to_string())
    }

    /// Asks a place who it is, and writes that down.
    pub(in crate::own) async fn identify(
        &self,
        side: Side,
        after: bool,
    ) -> Result<Result<BTreeMap<String, String>, Unread>, Halt> {
        let said = self.at(side).identify().await;
        let (facts, none) = match &said {
            Ok(facts) => (facts.clone(), None),
            Err(e) => (BTreeMap::new(), Some(self.hide(e))),
        };
        (self.record)(RestoreEvent::Identified(Identified { place: side, after, facts, none }))?;
        Ok(said)
    }

    /// Asks both places who they are, and looks in each for what was written in the other. `debts` are records of ours that
    /// stand somewhere; `marks` counts them.
    ///
    /// # Errors
    /// If they are one, or if before the restore nobody could tell.
    pub(in crate::own) async fn tell(
        &self,
        after: bool,
        (debts, marks): (&mut Vec<Debt>, &mut usize),
    ) -> Result<Told, Halt> {
        let source = self.identify(Side::Source, after).await?;
        let source = source.map_err(|e| Halt::Abort(format!("the source cannot be asked: {e}")))?;
        let mut told = Told { apart: false, nobody: false, source, scratch: BTreeMap::new() };
        let scratch = match self.identify(Side::Scratch, after).await? {
            Ok(facts) => facts,
            Err(Unread::Nobody(why)) => {
                told.nobody = true;
                self.nobody(after, &why)?;
                return Ok(told);
            }
            Err(e) if after => {
                let note = format!("the scratch place cannot be asked: {}", self.hide(e));
                (self.record)(RestoreEvent::Noted(note))?;
                return Ok(told);
            }
            Err(e) => return Err(Halt::Abort(format!("the scratch place cannot be asked: {e}"))),
        };
        self.compare(&told.source, &scratch, after)?;
        told.apart = self.nonces(after, debts, marks).await?;
        told.scratch = scratch;
        if !told.apart && !after {
            let why = "nobody could tell the scratch place from the source, and nothing was run: see the findings on `apart`";
            return Err(Halt::Abort(why.into()));
        }
        Ok(told)
    }

    /// Asks once more, as the last thing before a clean-up, who answers at both places: an address may lead elsewhere by now.
    ///
    /// # Errors
    /// If they are one, or either cannot be asked.
    pub(in crate::own) async fn still_apart(&self) -> Result<(), Halt> {
        let source = self.source.identify().await;
        let source = source.map_err(|e| Halt::Abort(format!("the source cannot be asked: {e}")))?;
        let scratch = self.scratch.identify().await;
        let scratch = scratch.map_err(|e| Halt::Abort(format!("the scratch place cannot be asked: {e}")))?;
        self.compare(&source, &scratch, true)
    }

    /// A place where nobody answers could be anybody's a moment later, unless the drill itself starts it.
    fn nobody(&self, after: bool, why: &str) -> Result<(), Halt> {
        if after {
            let note = format!("nobody answers at the scratch place: {}", self.hide(why));
            return Ok((self.record)(RestoreEvent::Noted(note))?);
        }
        if !self.drill.restore.scratch.started_by_restore {
            return Err(Halt::Abort(format!(
                "nobody answers at the scratch place: {why}. Start it first; if the restore command starts it, say \
                 `started_by_restore = true`"
            )));
        }
        let unreachable = Some(self.hide(why));
        let holds = Holds { after, things: Vec::new(), count: None, unreachable };
        Ok((self.record)(RestoreEvent::Holds(holds))?)
    }

    fn compare(
        &self,
        source: &BTreeMap<String, String>,
        scratch: &BTreeMap<String, String>,
        after: bool,
    ) -> Result<(), Halt> {
        let equal = |key: &str| source.get(key).is_some_and(|v| scratch.get(key) == Some(v));
        let follows = |of: &BTreeMap<String, String>| of.get("in_recovery").is_some_and(|v| v == "true");
        let both = |key: &str| source.contains_key(key) && scratch.contains_key(key);
        // Behind a standby, what is written in its primary is not seen for as long as it lags.
        let kin = equal("system_identifier") || (both("started") && !both("system_identifier"));
        let canary = self.drill.canary().is_some();
        let why = if equal("started") && (equal("database_oid") || equal("database")) {
            "is the source itself"
        } else if equal("started") && !self.drill.restore.scratch.same_server {
            "is a database of the source's own server; restore to another one, or say `same_server = true`"
        } else if (!after && equal("system_identifier") && (follows(source) || follows(scratch)))
            || (!canary && kin && follows(source))
        {
            "and the source are copies of which one follows the other"
        } else {
            return Ok(());
        };
        let more = if after { "its clean-up is not run" } else { "nothing was run" };
        Err(Halt::Abort(format!("the scratch place {why}: {more}")))
    }

    /// Whether records of ours prove that there are two places.
    async fn nonces(&self, after: bool, debts: &mut Vec<Debt>, marks: &mut usize) -> Result<bool, Halt> {
        let canary = self.drill.canary().is_some();
        let mut unseen = [false, false];
        for (i, written) in [Side::Source, Side::Scratch].into_iter().enumerate() {
            if written == Side::Source && !canary {
                continue;
            }
            let seen = self.nonce(written, after, debts, marks).await?;
            if seen == Some(true) {
                let (other, what) = match written {
                    Side::Source => ("scratch place", "source"),
                    Side::Scratch => ("source", "scratch place"),
                };
                return Err(Halt::Abort(format!(
                    "what was written in the {what} was seen in the {other}: they are one place, or one follows the other"
                )));
            }
            unseen[i] = seen == Some(false);
        }
        // Where the source has canaries, its record is the one that counts: a scratch place may be read only by then.
        Ok(if canary { unseen[0] } else { unseen[1] })
    }

    /// Writes a record in one place, looks for it in the other, and removes it. Answers whether it was seen.
    async fn nonce(
        &self,
        written: Side,
        after: bool,
        debts: &mut Vec<Debt>,
        marks: &mut usize,
    ) -> Result<Option<bool>, Halt> {
        *marks += 1;
        let word: String = self.run.chars().rev().filter(char::is_ascii_alphanumeric).take(8).collect();
        let id = format!("{}{marks}", word.to_lowercase());
        let what = if written == Side::Source { "canary" } else { "marker" };
        let debt = Debt { id: id.clone(), place: written, what: what.into() };
        (self.record)(RestoreEvent::Intended(debt.clone()))?;
        debts.push(debt.clone());
        let other = if written == Side::Source { Side::Scratch } else { Side::Source };
        let made = self.at(written).mark(&id).await;
        let unseen =
            |side: Side, e: &Unread| (None, format!("the {side} could not be looked into: {}", self.hide(e)));
        let (seen, why) = match &made {
            Err(e) => (None, format!("nothing could be written in the {written}: {}", self.hide(e))),
            // A store that swallows records would prove anything, so it is looked for where it was written as well.
            Ok(()) => match self.at(written).marked(&id).await {
                Err(e) => unseen(written, &e),
                Ok(false) => (None, format!("what was written in the {written} is not seen there itself")),
                Ok(true) => match self.seen(other, &id).await {
                    Ok(seen) => (Some(seen), format!("looked for in the {other}")),
                    Err(e) => unseen(other, &e),
                },
            },
        };
        (self.record)(RestoreEvent::Nonce(Nonce { written, after, seen, why }))?;
        self.pay(&debt, debts).await?;
        Ok(seen)
    }

    /// Whether a record is seen in a place: at once, and a little later as well, since a place that follows the other may lag.
    async fn seen(&self, side: Side, id: &str) -> Result<bool, Unread> {
        let seen = self.at(side).marked(id).await?;
        if seen || !self.at(side).may_lag() {
            return Ok(seen);
        }
        sleep(LAG).await;
        self.at(side).marked(id).await
    }

    /// Removes a record of ours; what could not be removed stays a debt, unless it is plainly not there.
    pub(in crate::own) async fn pay(&self, debt: &Debt, debts: &mut Vec<Debt>) -> Result<(), Halt> {
        let place = self.at(debt.place);
        let gone = match place.unmark(&debt.id).await {
            Ok(()) => Ok(()),
            // A place where nobody is holds nothing of ours, unless it comes back.
            Err(Unread::Nobody(_)) if debt.place == Side::Scratch => Ok(()),
            Err(e) => match place.marked(&debt.id).await {
                Ok(false) => Ok(()),
                _ => Err(e),
            },
        };
        match gone {
            Ok(()) => {
                debts.retain(|d| d != debt);
                (self.record)(RestoreEvent::Paid(debt.clone()))?;
            }
            Err(e) => {
                let Debt { what, id, place } = debt;
                let note = format!("{what} {id} in the {place} could not be removed: {}", self.hide(e));
                (self.record)(RestoreEvent::Noted(note))?;
            }
        }
        Ok(())
    }
}
