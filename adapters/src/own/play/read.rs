//! Readings: of the source before and after, and of what was restored until it is right.

use std::collections::BTreeSet;
use std::time::Duration;

use harness::own::event::{Answers, Canaries, Pass, RestoreEvent, Searched, Stage, Sum, Witnessed};
use harness::own::facts::INVENTORY;
use harness::own::stack::Witness;
use tokio::time::sleep;

use super::Player;
use crate::own::config::Halt;
use crate::own::place::{Listed, Unread};

/// How long what was not right is left alone before it is asked again.
const AGAIN: Duration = Duration::from_millis(500);
impl Player<'_> {
    pub(super) async fn read_before(&mut self) -> Result<(), Halt> {
        self.record(RestoreEvent::Entered(Stage::Before))?;
        self.read_source(Pass::Before).await?;
        if self.before.keys().all(|id| id == INVENTORY) {
            let why = "no witness could be read in the source: nothing could be proved";
            return Err(Halt::Abort(why.into()));
        }
        Ok(())
    }

    /// What reads in the empty scratch place as it does in the source would prove nothing later.
    pub(super) async fn read_empty(&mut self) -> Result<(), Halt> {
        for (id, w) in self.witnesses.clone() {
            let mut newer = self.newer.get(&id).cloned().unwrap_or_default();
            let read = self.scratch.witness(&w, self.t0_unix_us, &mut newer).await;
            self.reading(&id, Pass::Empty, read).await?;
        }
        Ok(())
    }

    pub(super) async fn read_source(&mut self, pass: Pass) -> Result<(), Halt> {
        for (id, w) in self.witnesses.clone() {
            let newer = self.newer.entry(id.clone()).or_default();
            let mut now = if pass == Pass::Before { BTreeSet::new() } else { newer.clone() };
            let read = self.source.witness(&w, self.t0_unix_us, &mut now).await;
            if pass == Pass::Before {
                *newer = now;
            }
            self.reading(&id, pass, read).await?;
            if pass == Pass::Before {
                self.search_source(&id, &w).await?;
            }
        }
        match self.source.inventory().await {
            Ok(None) => {}
            read => self.reading(INVENTORY, pass, read.map(Option::unwrap_or_default)).await.map(drop)?,
        }
        if pass == Pass::Before && self.c.drill.canary().is_some() {
            let read = self.source.canaries().await;
            self.planted = read.as_ref().is_ok_and(|l| !l.list.is_empty());
            self.canaries(pass, read)?;
        }
        Ok(())
    }

    /// Writes a reading down; answers whether it is that of the source before.
    async fn reading(&mut self, id: &str, pass: Pass, read: Result<Sum, Unread>) -> Result<bool, Halt> {
        let (sum, none) = match read {
            Ok(sum) => (Some(sum), None),
            Err(e) => (None, Some(self.hide(e))),
        };
        if let (Pass::Before, Some(sum)) = (pass, &sum) {
            self.before.insert(id.to_owned(), sum.clone());
        }
        let same = sum.is_some() && sum.as_ref() == self.before.get(id);
        let witnessed = Witnessed { witness: id.to_owned(), pass, sum, none };
        self.record(RestoreEvent::Witnessed(Box::new(witnessed)))?;
        Ok(same)
    }

    /// Chooses golden queries of a witness, and asks them in the source.
    async fn search_source(&mut self, id: &str, w: &Witness) -> Result<(), Halt> {
        let queries = match self.source.queries(w).await {
            Ok(None) => return Ok(()),
            Ok(Some(queries)) => queries,
            Err(e) => {
                self.searched(id, Pass::Before, Err(e))?;
                return Ok(());
            }
        };
        let answers = self.source.answers(w, &queries).await;
        let searched = self.searched(id, Pass::Before, answers)?;
        if searched.none.is_none() {
            self.queries.insert(id.to_owned(), queries);
            self.answered.insert(id.to_owned(), searched);
        }
        Ok(())
    }

    /// Asks the golden queries of a witness in the scratch place; answers whether they are answered as in the source.
    async fn search_scratch(&self, id: &str, w: &Witness, pass: Pass) -> Result<bool, Halt> {
        let Some((queries, before)) = self.queries.get(id).zip(self.answered.get(id)) else {
            return Ok(true);
        };
        let answers = self.scratch.answers(w, queries).await;
        let now = self.searched(id, pass, answers)?;
        Ok(before.share(&now).is_some_and(|(share, _)| share >= w.least_recall()))
    }

    /// Writes answers to golden queries down.
    fn searched(
        &self,
        id: &str,
        pass: Pass,
        answers: Result<Vec<Answers>, Unread>,
    ) -> Result<Searched, Halt> {
        let (answers, none) = match answers {
            Ok(answers) if answers.is_empty() => (answers, Some("it has no field to search".into())),
            Ok(answers) => (answers, None),
            Err(e) => (Vec::new(), Some(self.hide(e))),
        };
        let searched = Searched { witness: id.to_owned(), pass, answers, none };
        self.record(RestoreEvent::Searched(Box::new(searched.clone())))?;
        Ok(searched)
    }

    /// Writes canaries down; answers whether there are any.
    fn canaries(&self, pass: Pass, read: Result<Listed, Unread>) -> Result<bool, Halt> {
        let canaries = match read {
            Ok(Listed { list, count, clock_ahead_us }) => {
                Canaries { pass, list, count, clock_ahead_us, none: None }
            }
            Err(e) => {
                Canaries { pass, list: Vec::new(), count: 0, clock_ahead_us: None, none: Some(self.hide(e)) }
            }
        };
        let some = canaries.none.is_none() && (!canaries.list.is_empty() || !self.planted);
        self.record(RestoreEvent::Canaries(Box::new(canaries)))?;
        Ok(some)
    }

    /// Reads what was restored until it is right, or for as long as the drill allows; answers whether it is.
    pub(super) async fn verify(&mut self, pass: Pass) -> Result<bool, Halt> {
        let until_us = self.clock.now_us() + self.c.drill.restore.settle().us();
        let mut open: Vec<(String, Witness)> =
            self.witnesses.iter().filter(|(id, _)| self.before.contains_key(id)).cloned().collect();
        let mut mute = self.witnesses.clone();
        let mut canaries = self.c.drill.canary().is_some();
        loop {
            let mut left = Vec::new();
            for (id, w) in open {
                let mut newer = self.newer.get(&id).cloned().unwrap_or_default();
                let read = self.scratch.witness(&w, self.t0_unix_us, &mut newer).await;
                if !self.reading(&id, pass, read).await? {
                    left.push((id, w));
                }
            }
            let mut still = Vec::new();
            for (id, w) in mute {
                if !self.search_scratch(&id, &w, pass).await? {
                    still.push((id, w));
                }
            }
            mute = still;
            if canaries {
                let read = self.scratch.canaries().await;
                canaries = !self.canaries(pass, read)?;
            }
            if left.is_empty() && mute.is_empty() && !canaries {
                return Ok(true);
            }
            if self.clock.now_us() >= until_us {
                return Ok(false);
            }
            open = left;
            sleep(AGAIN).await;
        }
    }
}
