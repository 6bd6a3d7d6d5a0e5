//! Rows on their way at the same time travel together: one request for all that have gathered while the one before was
//! under way, as clients of Milvus are advised to do. Used to fill a collection, never for writes whose time is taken.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Turn, oneshot};

use super::{Client, MilvusError, Row};

/// What became of the request that a row was in, for each of its rows.
type Fate = Result<(), (bool, String)>;

/// Rows that wait for the next request.
#[derive(Debug, Default)]
pub(super) struct Together {
    waiting: Mutex<Vec<(Row, oneshot::Sender<Fate>)>>,
    turn: Turn<()>,
}

impl Together {
    fn waiting(&self) -> MutexGuard<'_, Vec<(Row, oneshot::Sender<Fate>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a row whose key is new.
    pub(super) async fn insert(&self, client: &Client, row: Row) -> Result<(), MilvusError> {
        let (tell, mut told) = oneshot::channel();
        self.waiting().push((row, tell));
        let _turn = self.turn.lock().await;
        // Whoever had the turn before may have taken this row along.
        if let Ok(fate) = told.try_recv() {
            return outcome(fate);
        }
        let gathered = std::mem::take(&mut *self.waiting());
        let (rows, tellers): (Vec<Row>, Vec<_>) = gathered.into_iter().unzip();
        let fate = client.insert(&rows).await.map_err(|e| (e.is_definite(), e.to_string()));
        for tell in tellers {
            // One that nobody waits for any more was given up.
            let _ = tell.send(fate.clone());
        }
        // Its own row was among them, unless a request that was given up took it along and nobody knows its fate.
        told.try_recv().map_or_else(|e| Err(MilvusError::Broken(e.to_string())), outcome)
    }
}

fn outcome(fate: Fate) -> Result<(), MilvusError> {
    fate.map_err(
        |(definite, why)| if definite { MilvusError::NotSent(why) } else { MilvusError::Broken(why) },
    )
}
