//! The end of a drill: records of ours are removed, the scratch place is emptied where it is proved to be one, and what is
//! still running is ended.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use harness::own::event::{Debt, Holds, Place as Side, RestoreEvent, Stage, Task};
use harness::own::stack::Product;

use super::{Player, pair};
use crate::local::sweep::sweep;
use crate::own::config::Halt;
use crate::own::place::Unread;

/// How long paying a debt, or asking once more at the end, may take in all.
const LAST: Duration = Duration::from_secs(60);

impl Player<'_> {
    /// Removes every record of ours that still stands somewhere.
    async fn pay_all(&mut self) -> Result<(), Halt> {
        let journal = self.journal;
        let record = |event| journal.record(event);
        let pair = pair(&self.c, (&*self.source, &*self.scratch), &record);
        for debt in self.debts.clone() {
            let paid = tokio::time::timeout(LAST, pair.pay(&debt, &mut self.debts)).await;
            paid.unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    pub(super) async fn holds(&self, after: bool) -> Result<Holds, Halt> {
        let (things, count, unreachable) = match self.scratch.holds(&self.witnesses, self.t0_unix_us).await {
            Ok((count, things)) => (things, Some(count), None),
            Err(Unread::Nobody(why)) => (Vec::new(), None, Some(self.hide(why))),
            Err(Unread::Failed(why)) => {
                let note = format!("the scratch place could not be looked into: {}", self.hide(why));
                self.record(RestoreEvent::Noted(note))?;
                (Vec::new(), None, None)
            }
        };
        let holds = Holds { after, things, count, unreachable };
        self.record(RestoreEvent::Holds(holds.clone()))?;
        Ok(holds)
    }

    /// Removes what is ours, has the scratch place emptied, and ends what is still running.
    pub(super) async fn end(&mut self, rehearsed: bool, halted: bool) -> io::Result<()> {
        let journal = |halt: Halt| match halt {
            Halt::Journal(e) => e,
            Halt::Abort(why) => io::Error::other(why),
        };
        // What was cut short may still be at work: it must not restore beside its clean-up.
        if halted {
            self.sweep().await?;
        }
        if !rehearsed || !self.debts.is_empty() {
            self.record(RestoreEvent::Entered(Stage::Cleanup))?;
        }
        self.pay_all().await.map_err(journal)?;
        let mut answers = false;
        if self.restored {
            answers = self.clean().await.map_err(journal)?;
        }
        // A server that the restore started, and that still answers, is its owner's.
        if !answers {
            self.sweep().await?;
        }
        Ok(())
    }

    /// Has the scratch place emptied, if at this moment it is proved to be another one than the source. Answers whether anybody
    /// answers there afterwards.
    async fn clean(&mut self) -> Result<bool, Halt> {
        let told = match self.tell_apart(true).await {
            Ok(told) => told,
            Err(Halt::Abort(why)) => {
                self.record(RestoreEvent::Noted(self.hide(format!("the clean-up was not run: {why}"))))?;
                return Ok(true);
            }
            Err(e) => return Err(e),
        };
        if !told.apart {
            let who = if told.nobody {
                "nobody answers at the scratch place"
            } else {
                "nobody could tell it from the source"
            };
            let command = self.c.drill.restore.cleanup.run.join(" ");
            let note = format!(
                "the clean-up was not run, {who}: see what is left there, and run `{command}` by hand"
            );
            self.record(RestoreEvent::Noted(self.hide(note)))?;
            // A place where nobody is keeps nothing running.
            return Ok(!told.nobody);
        }
        let marked = self.mark_copy().await?;
        if let Err(Halt::Abort(why)) = self.still_apart().await {
            self.record(RestoreEvent::Noted(self.hide(format!("the clean-up was not run: {why}"))))?;
            return Ok(true);
        }
        let cleanup = self.c.drill.restore.cleanup.clone();
        self.run(Task::CleanupAfter, &cleanup).await?;
        if marked.is_some() {
            self.pay_all().await?;
        }
        let holds = self.holds(true).await?;
        Ok(holds.unreachable.is_none() && self.c.drill.source().product != Product::Command)
    }

    /// Marks the copy that is about to be removed: a clean-up that only stops its server, and a restore that only starts it again,
    /// would pass for ever. A copy that bears a mark was there before.
    async fn mark_copy(&mut self) -> Result<Option<Debt>, Halt> {
        if !matches!(self.c.drill.source().product, Product::Postgres | Product::Milvus) {
            return Ok(None);
        }
        self.marks += 1;
        let word: String = self.c.run.chars().rev().filter(char::is_ascii_alphanumeric).take(8).collect();
        let id = format!("{}{}", word.to_lowercase(), self.marks);
        let debt = Debt { id: id.clone(), place: Side::Scratch, what: "marker".into() };
        self.record(RestoreEvent::Intended(debt.clone()))?;
        self.debts.push(debt.clone());
        // A copy that is read only cannot be marked, and is gone all the same.
        let _ = self.scratch.mark(&id).await;
        Ok(Some(debt))
    }

    /// Ends whatever carries the run's mark.
    async fn sweep(&self) -> io::Result<()> {
        let run = self.c.run.clone();
        let swept = tokio::task::spawn_blocking(move || sweep(&run)).await.map_err(io::Error::other)?;
        let note = match swept {
            Ok(killed) if killed.is_empty() => return Ok(()),
            Ok(killed) => {
                let names: BTreeSet<String> = killed.into_iter().map(|k| k.name).collect();
                format!("still running, and ended: {}", names.into_iter().collect::<Vec<_>>().join(", "))
            }
            Err(e) => e.to_string(),
        };
        self.record(RestoreEvent::Noted(note))
    }
}
