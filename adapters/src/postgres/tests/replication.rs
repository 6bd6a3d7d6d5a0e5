//! What a failover loses, counted to the row: a ledger of what was acknowledged against what is read back.

use std::collections::BTreeSet;

use super::*;

/// Writes keys of a range, each once, and answers which were acknowledged.
async fn acknowledged(system: &PostgresSystem, keys: std::ops::Range<u64>) -> BTreeSet<u64> {
    let writes = keys.map(async |key| system.write(put(key, key + 1)).await.is_ok().then_some(key));
    futures::future::join_all(writes).await.into_iter().flatten().collect()
}

/// Keys that are read back as they were written.
async fn read_back(system: &PostgresSystem) -> BTreeSet<u64> {
    let all = survivors(system, 1000).await;
    assert!(all.iter().all(|(key, reading)| *reading == Reading::Ver(key + 1)), "{all:?}");
    all.into_iter().map(|(key, _)| key).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_standby_that_receives_nothing_loses_every_row_since_then() {
    let Some(mut stand) = Stand::new() else { return };
    let (east, west) = stand.pair().await;
    let corpus = corpus(2000);
    let (old, new) = (system(&east, &corpus), system(&west, &corpus));
    let mut acked = acknowledged(&old, 0..100).await;
    east.caught_up(&west, LIMIT).await.unwrap();
    west.freeze_receiver().await.unwrap();
    let late = acknowledged(&old, 100..700).await;
    acked.extend(&late);
    assert_eq!((acked.len(), late.len()), (700, 600));
    // It looks well, and is stale.
    let lag = east.lag(&west).await.unwrap().unwrap();
    assert!(lag.unflushed > 600 * 100 && lag.sync == "async", "{lag:?}");
    assert_eq!(west.health().await.unwrap().entities, 100);
    // Nobody promotes beside a primary that lives, nor one twice.
    assert!(matches!(Fenced::prove(&east).await, Err(NodeError::Refused(_))));
    stand.kill(&east);
    let promoted = west.promote(Fenced::prove(&east).await.unwrap()).await.unwrap();
    assert!(promoted.receiver_was_frozen, "{promoted:?}");
    assert!(west.promote(Fenced::by_host("east is dead")).await.is_err());
    let there = read_back(&new).await;
    let lost: BTreeSet<u64> = acked.difference(&there).copied().collect();
    assert_eq!(lost, late, "lost {} of {}", lost.len(), acked.len());
    println!("asynchronous: {} of {} acknowledged rows lost", lost.len(), acked.len());
    println!("promoted after {:.3} s", promoted.seconds);
    // The old one comes back as a standby, without what nobody else has.
    assert_eq!(acknowledged(&new, 1000..1010).await.len(), 10);
    east.rejoin(&west).await.unwrap();
    west.caught_up(&east, LIMIT).await.unwrap();
    assert_eq!(read_back(&old).await, read_back(&new).await);
    assert!(Fenced::prove(&east).await.is_ok(), "it is a standby");
    assert!(matches!(old.write(put(5, 9)).await, Err(harness::ports::PortError::Definite(_))));
    // And back again.
    west.stop(false).await.unwrap();
    east.promote(Fenced::prove(&west).await.unwrap()).await.unwrap();
    assert_eq!(acknowledged(&old, 1010..1020).await.len(), 10);
    west.rejoin(&east).await.unwrap();
    east.caught_up(&west, LIMIT).await.unwrap();
    assert_eq!(read_back(&old).await, read_back(&new).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_standby_loses_nothing() {
    let Some(mut stand) = Stand::new() else { return };
    let (east, west) = stand.pair().await;
    let corpus = corpus(2000);
    east.set_mode(&west, Mode::Synchronous).await.unwrap();
    let (old, new) = (system(&east, &corpus), system(&west, &corpus));
    let mut acked = acknowledged(&old, 0..200).await;
    assert_eq!(acked.len(), 200);
    // Frozen: nothing is acknowledged any more, and nobody knows what became of it.
    let pid = west.freeze_receiver().await.unwrap();
    let hasty = PostgresSystem::new(east.users().within(Duration::from_millis(300)), corpus.clone());
    let unanswered = futures::future::join_all((200..205).map(|key| hasty.write(put(key, key + 1)))).await;
    let nobody_knows = |done: &_| matches!(done, Err(harness::ports::PortError::Indefinite(_)));
    assert!(unanswered.iter().all(nobody_knows), "{unanswered:?}");
    west.thaw_receiver(pid).await.unwrap();
    // Killed in the middle of its work.
    let (enough, reached) = tokio::sync::oneshot::channel();
    let writers = tokio::spawn(async move {
        let (mut acked, mut enough) = (BTreeSet::new(), Some(enough));
        for from in (300..1900).step_by(8) {
            let done = acknowledged(&old, from..from + 8).await;
            if done.is_empty() {
                break;
            }
            acked.extend(done);
            if acked.len() >= 80
                && let Some(enough) = enough.take()
            {
                enough.send(()).unwrap();
            }
        }
        acked
    });
    reached.await.unwrap();
    stand.kill(&east);
    acked.extend(writers.await.unwrap());
    west.promote(Fenced::prove(&east).await.unwrap()).await.unwrap();
    let there = read_back(&new).await;
    let lost: Vec<u64> = acked.difference(&there).copied().collect();
    assert!(lost.is_empty(), "{lost:?} of {}", acked.len());
    println!("synchronous: none of {} acknowledged rows lost", acked.len());
    // It waits for nobody.
    assert_eq!(acknowledged(&new, 1900..1910).await.len(), 10);
    east.rejoin(&west).await.unwrap();
    west.set_mode(&east, Mode::Synchronous).await.unwrap();
    assert_eq!(acknowledged(&new, 1910..1920).await.len(), 10);
}
