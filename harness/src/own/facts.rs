//! What the events of a restore drill say, and whether they could have been written by one.
//!
//! The last reading of a pass counts: what is not right at once is read again. A journal whose events stand where no drill
//! writes them is read to its end and never a pass (the field `breach`).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    check,
    event::{
        Asked, Canaries, Debt, Event, FORMAT, Holds, Identified, Nonce, Pass, Place, Ran, RestoreBegan,
        RestoreEvent, Searched, Stage, Sum, Task, Witnessed,
    },
    load::Drill,
    stack::Product,
};
use crate::journal::{Ending, JournalError};

/// A command begins within this once its stage has.
const LATE_US: u64 = 1_000_000;

/// The name of the reading of what the source consists of beside its records.
pub const INVENTORY: &str = "(inventory)";

/// An event's content with its stamp and number.
#[derive(Clone, PartialEq, Debug)]
pub struct At<T> {
    /// What was written down.
    pub is: T,
    /// When.
    pub at_us: u64,
    /// The event's number.
    pub seq: u64,
}

/// A restore drill, read.
#[derive(Clone, PartialEq, Debug)]
pub struct Facts {
    /// How it was set up.
    pub began: RestoreBegan,
    /// Drill and stack.
    pub drill: Drill,
    /// Stages in order.
    pub stages: Vec<(Stage, u64)>,
    /// What places said of themselves.
    pub identified: Vec<At<Identified>>,
    /// Records that must not be seen at the other place.
    pub nonces: Vec<At<Nonce>>,
    /// What the scratch place held.
    pub holds: Vec<At<Holds>>,
    /// Commands that ended.
    pub ran: BTreeMap<Task, At<Ran>>,
    /// The last reading of each pass.
    pub canaries: BTreeMap<Pass, At<Canaries>>,
    /// The last reading of each pass, by witness.
    pub witnessed: BTreeMap<(Pass, String), At<Witnessed>>,
    /// The last answers to golden queries of each pass, by witness.
    pub searched: BTreeMap<(Pass, String), At<Searched>>,
    /// Questions of alarms.
    pub asked: Vec<At<Asked>>,
    /// What of ours was never seen to be gone.
    pub debts: Vec<Debt>,
    /// Notes.
    pub notes: Vec<String>,
    /// Why it was given up.
    pub aborted: Option<String>,
    /// How it ended; absent if the journal breaks off.
    pub ending: Option<Ending>,
    /// The last stamp.
    pub end_us: u64,
    /// Events.
    pub events: u64,
    /// The first thing that no drill would have written.
    pub breach: Option<String>,
}

impl Facts {
    /// Reads events.
    ///
    /// # Errors
    /// If the journal cannot be read, was altered, or holds no restore drill.
    pub fn of(events: impl IntoIterator<Item = Result<Event, JournalError>>) -> Result<Facts, JournalError> {
        let mut events = events.into_iter();
        let first = events.next().transpose()?.ok_or(JournalError::Empty)?;
        let RestoreEvent::RestoreBegan(began) = first.kind else { return Err(JournalError::Empty) };
        let whole =
            check::stack(&began.stack).is_empty() && check::restore(&began.drill, &began.stack).is_empty();
        if began.format != FORMAT || !whole {
            return Err(JournalError::Empty);
        }
        let mut facts = Facts::new(*began);
        let mut last_us = first.at_us;
        for event in events {
            let event = event?;
            if event.at_us < last_us {
                facts.breach(format!("event {} is stamped before the one before it", event.seq));
            }
            last_us = event.at_us.max(last_us);
            facts.take(event);
        }
        facts.close();
        Ok(facts)
    }

    fn new(began: RestoreBegan) -> Facts {
        let drill = Drill { restore: began.drill.clone(), stack: began.stack.clone() };
        Facts {
            began,
            drill,
            stages: Vec::new(),
            identified: Vec::new(),
            nonces: Vec::new(),
            holds: Vec::new(),
            ran: BTreeMap::new(),
            canaries: BTreeMap::new(),
            witnessed: BTreeMap::new(),
            searched: BTreeMap::new(),
            asked: Vec::new(),
            debts: Vec::new(),
            notes: Vec::new(),
            aborted: None,
            ending: None,
            end_us: 0,
            events: 1,
            breach: None,
        }
    }

    fn breach(&mut self, what: String) {
        self.breach.get_or_insert(what);
    }

    fn stage(&self) -> Option<Stage> {
        self.stages.last().map(|(stage, _)| *stage)
    }

    fn take(&mut self, event: Event) {
        let (at_us, seq) = (event.at_us, event.seq);
        self.events += 1;
        self.end_us = self.end_us.max(at_us);
        if !home(&event.kind, self.stage()) {
            self.breach(format!("event {seq} does not belong where it stands"));
        }
        match event.kind {
            RestoreEvent::RestoreBegan(_) => self.breach(format!("event {seq}: the drill begins twice")),
            RestoreEvent::Entered(stage) => {
                if self.stage().is_some_and(|last| last >= stage) {
                    self.breach(format!("event {seq}: {stage} comes too late"));
                }
                self.stages.push((stage, at_us));
            }
            // A name goes into questions to stores: nothing but those that a player makes may.
            RestoreEvent::Intended(debt) if !debt.is_plain() => {
                self.breach(format!("event {seq}: no record of ours has this name"));
            }
            RestoreEvent::Intended(debt) => self.debts.push(debt),
            RestoreEvent::Paid(debt) => match self.debts.iter().position(|d| *d == debt) {
                Some(i) => drop(self.debts.remove(i)),
                None => self.breach(format!("event {seq}: nobody intended this")),
            },
            RestoreEvent::Identified(is) => self.identified.push(At { is, at_us, seq }),
            RestoreEvent::Nonce(is) => {
                if !self.debts.iter().any(|d| d.place == is.written) {
                    self.breach(format!("event {seq}: nothing was about to be written there"));
                }
                self.nonces.push(At { is, at_us, seq });
            }
            RestoreEvent::Holds(is) => self.holds.push(At { is, at_us, seq }),
            RestoreEvent::Ran(is) => {
                let entered = self.stages.last().map_or(u64::MAX, |(_, entered)| *entered);
                let restores = matches!(is.what, Task::Restore | Task::Restart);
                let late = restores && is.began_us > entered.saturating_add(LATE_US);
                if is.began_us < entered || late || is.began_us > at_us || self.ran.contains_key(&is.what) {
                    self.breach(format!("event {seq}: this command cannot have run then"));
                }
                self.ran.insert(is.what, At { is, at_us, seq });
            }
            RestoreEvent::Canaries(is) => {
                if !canaries_are_whole(&is) {
                    self.breach(format!("event {seq}: this is no list of canaries"));
                }
                self.canaries.insert(is.pass, At { is: *is, at_us, seq });
            }
            RestoreEvent::Witnessed(is) => {
                if is.sum.is_some() == is.none.is_some() || is.sum.as_ref().is_some_and(|s| !s.is_whole()) {
                    self.breach(format!("event {seq}: this is no reading of a witness"));
                }
                self.witnessed.insert((is.pass, is.witness.clone()), At { is: *is, at_us, seq });
            }
            RestoreEvent::Searched(is) => {
                if !is.is_whole() {
                    self.breach(format!("event {seq}: these are no answers to golden queries"));
                }
                self.searched.insert((is.pass, is.witness.clone()), At { is: *is, at_us, seq });
            }
            RestoreEvent::Asked(is) => {
                if is.sent_us < is.due_us || is.done_us < is.sent_us || at_us < is.done_us {
                    self.breach(format!("event {seq}: a question was answered before it was asked"));
                }
                self.asked.push(At { is, at_us, seq });
            }
            RestoreEvent::Noted(note) => self.notes.push(note),
            RestoreEvent::Aborted(why) => {
                self.aborted.get_or_insert(why);
            }
            RestoreEvent::Ended(ending) => self.ending = Some(ending),
        }
    }

    fn close(&mut self) {
        if self.ending == Some(Ending::Complete)
            && self.stage() != Some(Stage::After)
            && !self.began.rehearsed
        {
            self.breach("it ended as complete without having looked at the source again".into());
        }
    }

    /// When restoring began: where the RTO begins.
    pub fn restore_began_us(&self) -> Option<u64> {
        self.stages.iter().find(|(stage, _)| *stage == Stage::Restore).map(|(_, at)| *at)
    }

    /// The reading of a witness.
    pub fn sum(&self, pass: Pass, witness: &str) -> Option<&At<Witnessed>> {
        self.witnessed.get(&(pass, witness.to_owned()))
    }

    /// The names of what must come back.
    pub fn witnesses(&self) -> BTreeSet<String> {
        self.drill.witnesses().map(|(id, _)| id.clone()).collect()
    }

    /// What a place said of itself.
    pub fn identity(&self, place: Place, after: bool) -> Option<&At<Identified>> {
        self.identified.iter().rev().find(|i| i.is.place == place && i.is.after == after)
    }

    /// Whether the store has an identity and a clock of its own.
    pub fn is_postgres(&self) -> bool {
        self.drill.source().product == Product::Postgres
    }

    /// Whether the store says when it was started, takes marks in a scratch place, and knows what it consists of.
    pub fn is_server(&self) -> bool {
        matches!(self.drill.source().product, Product::Postgres | Product::Milvus)
    }
}

/// Whether an event may stand in this stage.
fn home(event: &RestoreEvent, stage: Option<Stage>) -> bool {
    let pass = |pass: Pass| match pass {
        Pass::Before | Pass::Empty => Stage::Before,
        Pass::Restored => Stage::Verify,
        Pass::Restarted => Stage::VerifyAgain,
        Pass::After => Stage::After,
    };
    let wanted = match event {
        RestoreEvent::Nonce(n) if n.after => {
            return [Some(Stage::Verify), Some(Stage::Cleanup)].contains(&stage);
        }
        RestoreEvent::Nonce(_) => Stage::Prepare,
        RestoreEvent::Holds(h) if h.after => Stage::Cleanup,
        RestoreEvent::Holds(_) => Stage::Prepare,
        RestoreEvent::Ran(r) => match r.what {
            Task::CleanupBefore => Stage::Prepare,
            Task::Restore => Stage::Restore,
            Task::Restart => Stage::Restart,
            Task::CleanupAfter => Stage::Cleanup,
        },
        RestoreEvent::Canaries(c) => pass(c.pass),
        RestoreEvent::Witnessed(w) => pass(w.pass),
        // An empty place is asked nothing, and the source once.
        RestoreEvent::Searched(s) if matches!(s.pass, Pass::Empty | Pass::After) => return false,
        RestoreEvent::Searched(s) => pass(s.pass),
        _ => return true,
    };
    stage == Some(wanted)
}

impl Debt {
    /// Whether it has a name that a player gives.
    pub fn is_plain(&self) -> bool {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        (1..=16).contains(&self.id.len()) && self.id.bytes().all(plain)
    }
}

fn canaries_are_whole(c: &Canaries) -> bool {
    let ordered = c.list.is_sorted_by(|a, b| (a.at_unix_us, &a.id) < (b.at_unix_us, &b.id));
    let ids: BTreeSet<&String> = c.list.iter().map(|p| &p.id).collect();
    let empty = c.list.is_empty() && c.count == 0;
    ordered && ids.len() == c.list.len() && c.count >= c.list.len() as u64 && (c.none.is_none() || empty)
}

impl Sum {
    /// Groups of lines.
    pub const GROUPS: u16 = 1024;

    /// Whether it adds up.
    pub fn is_whole(&self) -> bool {
        let hex =
            |s: &String| s.len() == 64 && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let rows = self.groups.iter().try_fold(0u64, |sum, (_, n, _)| sum.checked_add(*n));
        rows == Some(self.rows)
            && self.groups.is_sorted_by(|a, b| a.0 < b.0)
            && self.groups.iter().all(|(g, n, sum)| *g < Sum::GROUPS && *n > 0 && hex(sum))
    }

    /// Lines that were changed, lost or added between two readings, at the least. A line that was changed has left its group
    /// and entered another one, or the same.
    pub fn differs_at_least(&self, other: &Sum) -> u64 {
        let mine: BTreeMap<u16, (u64, &String)> = self.groups.iter().map(|(g, n, s)| (*g, (*n, s))).collect();
        let theirs: BTreeMap<u16, (u64, &String)> =
            other.groups.iter().map(|(g, n, s)| (*g, (*n, s))).collect();
        let all: BTreeSet<&u16> = mine.keys().chain(theirs.keys()).collect();
        let (mut left, mut entered) = (0u64, 0u64);
        for g in all.into_iter().filter(|g| mine.get(g) != theirs.get(g)) {
            let n = |of: &BTreeMap<u16, (u64, &String)>| of.get(g).map_or(0, |(n, _)| *n);
            let (was, is) = (n(&mine), n(&theirs));
            left += was.saturating_sub(is) + u64::from(was == is);
            entered += is.saturating_sub(was) + u64::from(was == is);
        }
        left.max(entered)
    }

    /// Whether nothing of another reading is gone from this one: each of its groups is the same here, or has more lines.
    pub fn only_adds_to(&self, other: &Sum) -> bool {
        let mine: BTreeMap<u16, (u64, &String)> = self.groups.iter().map(|(g, n, s)| (*g, (*n, s))).collect();
        other.groups.iter().all(|(g, n, s)| mine.get(g).is_some_and(|(m, t)| m > n || (m, *t) == (n, s)))
    }

    /// Lines in groups that are the same in both.
    pub fn same_rows(&self, other: &Sum) -> u64 {
        let theirs: BTreeSet<&(u16, u64, String)> = other.groups.iter().collect();
        self.groups.iter().filter(|g| theirs.contains(g)).map(|(_, n, _)| *n).sum()
    }
}
