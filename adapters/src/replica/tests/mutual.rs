//! Active-active: two primaries that follow each other.

use super::*;
use crate::local::link::{Mode as LinkMode, Way};

async fn settled(nodes: [&Node; 2]) {
    for _ in 0..2 {
        nodes[0].has_all_of(nodes[1]).await;
        nodes[1].has_all_of(nodes[0]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_write_is_on_both() {
    let [east, west] = sites(Mode::Mutual, Role::Primary);
    let (a, b) = (east.start().await, west.start().await);
    settled([&a, &b]).await;
    for key in 0..50 {
        a.write(key, 1).await.unwrap();
        assert!(b.toy.contents().contains_key(&key) || a.status().degraded);
        b.write(key, 2).await.unwrap();
        assert!(a.toy.contents()[&key].0 == 2 || b.status().degraded);
    }
    settled([&a, &b]).await;
    assert_eq!(a.toy.contents(), b.toy.contents());
    // Nothing echoes.
    let positions = [&a, &b].map(|node| node.status().position);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!([&a, &b].map(|node| node.status().position), positions);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_partition_both_converge() {
    let [east, west] = sites(Mode::Mutual, Role::Primary);
    let (a, b) = (east.start().await, west.start().await);
    a.write(0, 1).await.unwrap();
    settled([&a, &b]).await;
    for (cut, round) in [(LinkMode::Refuse, 1), (LinkMode::Blackhole(Way::Both), 2)] {
        east.link.set(cut).await.unwrap();
        west.link.set(cut).await.unwrap();
        let began = Instant::now();
        for key in 0..200 {
            a.write(key, 10 * round + key % 3).await.unwrap();
            b.write(100 + key, 10 * round + key % 5).await.unwrap();
        }
        assert!(began.elapsed() < LIMIT / 4, "only the first write waits: {:?}", began.elapsed());
        assert!(a.status().degraded && b.status().degraded);
        // The same version of one key, differently.
        a.toy.set(7, (90 + round, Some("a".into())));
        b.toy.set(7, (90 + round, Some("b".into())));
        east.link.set(LinkMode::Open).await.unwrap();
        west.link.set(LinkMode::Open).await.unwrap();
        a.until("together again", |status| !status.degraded).await;
        b.until("together again", |status| !status.degraded).await;
        settled([&a, &b]).await;
        assert_eq!(a.toy.contents(), b.toy.contents());
        assert_eq!(a.toy.contents()[&7].1.as_deref(), Some("b"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_without_its_peer_goes_on_and_the_peer_comes_back() {
    let [east, west] = sites(Mode::Mutual, Role::Primary);
    let (a, b) = (east.start().await, west.start().await);
    a.write(1, 1).await.unwrap();
    settled([&a, &b]).await;
    b.kill().await;
    for key in 2..20 {
        a.write(key, 1).await.unwrap();
    }
    assert!(a.status().degraded);
    // Its disk is new.
    std::fs::remove_file(west.file()).unwrap();
    std::fs::remove_file(west.dir.path().join("toy")).unwrap();
    let b = west.start().await;
    a.until("together again", |status| !status.degraded).await;
    assert_eq!(a.toy.contents(), b.toy.contents());
    b.write(30, 1).await.unwrap();
    a.has_all_of(&b).await;
    assert_eq!(a.toy.contents(), b.toy.contents());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_epoch_fences_no_mutual_primary_but_an_order_does() {
    let [east, west] = sites(Mode::Mutual, Role::Primary);
    let (a, b) = (east.start().await, west.start().await);
    a.client.promote(5, None).await.unwrap();
    b.until("of the same reign", |status| status.epoch == 5).await;
    assert_eq!(b.status().role, Role::Primary);
    b.client.fence(6).await.unwrap();
    assert!(b.write(1, 1).await.unwrap_err().starts_with("fenced"));
    a.write(1, 1).await.unwrap();
}
