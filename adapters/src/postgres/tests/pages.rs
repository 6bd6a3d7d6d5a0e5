//! Bytes of pages damaged on disk: what hides it, what shows it, what mends it.

use super::*;
use crate::features::Operated as _;
use crate::features::{Holder as _, Rules};

const ENTITIES: u64 = 2000;

async fn filled(stand: &mut Stand) -> (Node, PostgresSystem, Vec<crate::features::Item>) {
    let node = stand.single().await;
    let corpus = corpus(ENTITIES);
    let system = system(&node, &corpus);
    seed(&system, &corpus).await;
    let (rows, _) = node.users().page(0, u64::MAX, 10_000).await.unwrap();
    let records = node.users().catalogue().await.unwrap();
    let all = rows.into_iter().chain(records).map(|stored| stored.item).collect();
    (node, system, all)
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_heap_pages_show_after_a_restart_and_a_restore_mends_them() {
    let Some(mut stand) = Stand::new() else { return };
    let (node, system, all) = filled(&mut stand).await;
    let damaged = node.damage_pages(Pages::Heap, 0.1, 7).await.unwrap();
    assert!(damaged.blocks.len() as u64 * 10 >= damaged.pages && damaged.pages > 20, "{damaged:?}");
    assert_eq!(damaged.seen, Seen::Latent, "memory serves");
    assert_eq!(survivors(&system, 1000).await.len(), all.len());
    node.stop(false).await.unwrap();
    let checked = node.shell.run(node.layout.checksums()).await.unwrap();
    let said = String::from_utf8(checked.stdout).unwrap();
    // Fewer than were damaged, where the server wrote some of them again.
    let bad = said.lines().find_map(|line| line.strip_prefix("Bad checksums:")?.trim().parse::<usize>().ok());
    assert!(checked.code == 1 && bad.is_some_and(|bad| bad > 0 && bad <= damaged.blocks.len()), "{said}");
    node.start().await.unwrap();
    let Seen::Invalid(words) = node.scan(Pages::Heap).await.unwrap() else { panic!("no page is invalid") };
    assert!(words.contains("invalid page in block") && words.contains(&damaged.file), "{words}");
    assert!(system.survivors(None, 2000).await.is_err());
    assert!(node.health().await.is_err());
    // Mended from elsewhere: whatever the damaged pages held is missing, and comes back.
    let restore = node.operators().begin().await.unwrap();
    node.operators().stage(restore, all.clone()).await.unwrap();
    let done = node.operators().replace(restore, Rules::default()).await.unwrap();
    assert!(done.repaired > 0 && done.refused == 0 && done.items == all.len() as u64, "{done:?}");
    let lines = survivors(&system, 1000).await;
    assert!(lines.len() == all.len() && lines.iter().all(|(_, reading)| *reading == Reading::Ver(0)));
    let health = node.health().await.unwrap();
    assert!(health.checksum_failures > 0, "{health:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_index_pages_show_after_a_crash_and_reindexing_mends_them() {
    let Some(mut stand) = Stand::new() else { return };
    let (node, system, all) = filled(&mut stand).await;
    let damaged = node.damage_pages(Pages::Index, 1.0, 7).await.unwrap();
    assert_eq!(damaged.blocks.len() as u64, damaged.pages);
    // Written again by nobody: the log since the last checkpoint touches none of them.
    stand.kill(&node);
    node.start().await.unwrap();
    assert!(matches!(node.scan(Pages::Index).await.unwrap(), Seen::Invalid(_)));
    let refused = system.write(put(3, 1)).await;
    assert!(matches!(refused, Err(harness::ports::PortError::Definite(_))), "{refused:?}");
    node.operators().run("REINDEX TABLE entity_rows").await.unwrap();
    assert_eq!(node.scan(Pages::Index).await.unwrap(), Seen::Latent);
    assert_eq!(survivors(&system, 1000).await.len(), all.len());
    system.write(put(3, 1)).await.unwrap();
    // A restore mends it, too, and loses nothing that was written since the backup.
    node.damage_pages(Pages::Index, 1.0, 8).await.unwrap();
    node.stop(true).await.unwrap();
    node.start().await.unwrap();
    assert!(matches!(node.scan(Pages::Index).await.unwrap(), Seen::Invalid(_)));
    let restore = node.operators().begin().await.unwrap();
    node.operators().stage(restore, all.clone()).await.unwrap();
    let done = node.operators().replace(restore, Rules::default()).await.unwrap();
    assert_eq!((done.repaired, done.refused, done.replayed), (0, 0, 1));
    assert_eq!(system.read(3).await.unwrap(), Some(Reading::Ver(1)));
}
