//! Which failures are definite, by real failures.

use harness::ports::PortError;

use super::*;

fn definite(done: &Result<(), PortError>) -> bool {
    matches!(done, Err(PortError::Definite(_)))
}

fn indefinite(done: &Result<(), PortError>) -> bool {
    matches!(done, Err(PortError::Indefinite(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_sent_or_plainly_refused_is_definite() {
    let Some(mut stand) = Stand::new() else { return };
    let corpus = corpus(50);
    let nobody = system(&stand.node("nobody"), &corpus);
    let refused = nobody.write(put(1, 1)).await;
    assert!(definite(&refused), "{refused:?}");
    let node = stand.single().await;
    let users = system(&node, &corpus);
    users.write(put(1, 1)).await.unwrap();
    let login = Login { password: Secret::new("wrong"), ..node.users().login().clone() };
    let stranger = PostgresSystem::new(Database::new(login, LIMIT), corpus.clone());
    let refused = stranger.write(put(1, 2)).await;
    assert!(definite(&refused), "{refused:?}");
    node.operators().run("ALTER TABLE entity_rows RENAME TO hidden").await.unwrap();
    let refused = users.write(put(1, 3)).await;
    assert!(definite(&refused), "{refused:?}");
    node.operators().run("ALTER TABLE hidden RENAME TO entity_rows").await.unwrap();
    assert_eq!(users.read(1).await.unwrap(), Some(Reading::Ver(1)));
    // A server that came back is met with a new connection, without an error in between.
    stand.kill(&node);
    let refused = users.write(put(1, 4)).await;
    assert!(definite(&refused), "{refused:?}");
    node.start().await.unwrap();
    users.write(put(1, 5)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_leaves_everybody_in_doubt() {
    let Some(mut stand) = Stand::new() else { return };
    let node = stand.single().await;
    let corpus = corpus(50);
    let hasty = PostgresSystem::new(node.users().within(Duration::from_millis(300)), corpus.clone());
    hasty.write(put(1, 1)).await.unwrap();
    let root = Path::new(&node.layout.root);
    let stopped = signal_all(root, Signal::STOP);
    let began = Instant::now();
    let hung = hasty.write(put(1, 2)).await;
    assert!(indefinite(&hung), "{hung:?}");
    // That connection is given up; the next one is not even made.
    let unmade = hasty.write(put(1, 3)).await;
    assert!(definite(&unmade), "{unmade:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
    stopped.iter().rev().for_each(|pid| kill_process(*pid, Signal::CONT).unwrap());
    hasty.write(put(2, 4)).await.unwrap();
    // It was sent, and done after all.
    assert_eq!(hasty.read(1).await.unwrap(), Some(Reading::Ver(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_no_standby_has_is_never_acknowledged() {
    let Some(mut stand) = Stand::new() else { return };
    let (east, west) = stand.pair().await;
    let corpus = corpus(50);
    let users = Arc::new(system(&east, &corpus));
    east.set_mode(&west, Mode::Synchronous).await.unwrap();
    users.write(put(1, 1)).await.unwrap();
    west.freeze_receiver().await.unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    for (end, key) in [("pg_cancel_backend", 2), ("pg_terminate_backend", 3)] {
        let writer = users.clone();
        let written = tokio::spawn(async move { writer.write(put(key, 1)).await });
        node::until("the writer waits for the standby", LIMIT, async || {
            let count: i64 = east.operators().value(waiting).await?;
            Ok((count == 1).then_some(()).ok_or("it does not".to_owned()))
        })
        .await
        .unwrap();
        let sql = format!("SELECT count({end}(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
        assert_eq!(east.operators().value::<i64>(&sql).await.unwrap(), 1);
        let written = written.await.unwrap();
        assert!(indefinite(&written), "{end}: {written:?}");
        // The trap: it is there, and only there.
        assert_eq!(users.read(key).await.unwrap(), Some(Reading::Ver(1)), "{end}");
    }
    // A server that shuts down while a writer waits.
    let writer = users.clone();
    let written = tokio::spawn(async move { writer.write(put(4, 1)).await });
    node::until("the writer waits for the standby", LIMIT, async || {
        let count: i64 = east.operators().value(waiting).await?;
        Ok((count == 1).then_some(()).ok_or("it does not".to_owned()))
    })
    .await
    .unwrap();
    stand.kill(&west);
    east.stop(false).await.unwrap();
    let written = written.await.unwrap();
    assert!(indefinite(&written), "{written:?}");
}
