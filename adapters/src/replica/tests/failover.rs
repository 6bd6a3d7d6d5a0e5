//! Promotion, fencing and rejoining: what was acknowledged is there, and nobody else acknowledges.

use super::super::ReplicaError;
use super::super::saved::Disk;
use super::*;
use crate::local::link::{Mode as LinkMode, Way};
use std::collections::BTreeSet;

/// Writes keys from `first` on, one after the other, until a write fails; answers those acknowledged.
async fn write_from(node: &Node, first: u64) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    let deadline = Instant::now() + LIMIT;
    for key in first.. {
        assert!(Instant::now() < deadline, "no write ever fails");
        if node.write(key, 1).await.is_err() {
            break;
        }
        acknowledged.push(key);
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn in_sync_nothing_acknowledged_is_lost_whenever_the_primary_goes() {
    for round in 0..3_u64 {
        let [east, west] = sites(Mode::Sync, Role::Standby);
        let (primary, standby) = (Arc::new(east.start().await), west.start().await);
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let primary = primary.clone();
                tokio::spawn(async move { write_from(&primary, writer * 1_000_000).await })
            })
            .collect();
        primary.until("busy", |status| status.position.lsn > 40 * (round + 1)).await;
        // The network goes first, in the middle of whatever is in flight: the writers are left without an answer.
        east.link.set(LinkMode::Blackhole(Way::Both)).await.unwrap();
        let promoted = standby.client.promote(2, None).await.unwrap();
        assert_eq!((promoted.role, promoted.epoch), (Role::Primary, 2));
        let acknowledged: Vec<u64> =
            futures::future::try_join_all(writers).await.unwrap().into_iter().flatten().collect();
        assert!(acknowledged.len() as u64 > 20 * (round + 1), "only {}", acknowledged.len());
        let there: BTreeSet<u64> = standby.toy.contents().into_keys().collect();
        let lost: Vec<_> = acknowledged.iter().filter(|key| !there.contains(key)).collect();
        assert!(lost.is_empty(), "{} of {} lost", lost.len(), acknowledged.len());
        assert!(
            primary.toy.contents().len() > acknowledged.len(),
            "each writer was stopped by a write in flight"
        );
        standby.write(9, 9).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_async_the_loss_is_the_lag() {
    let [east, west] = sites(Mode::Async, Role::Standby);
    let (primary, standby) = (east.start().await, west.start().await);
    for key in 0..20 {
        primary.write(key, 1).await.unwrap();
    }
    standby.has_all_of(&primary).await;
    east.link.set(LinkMode::Blackhole(Way::Both)).await.unwrap();
    for key in 20..50 {
        primary.write(key, 1).await.unwrap();
    }
    let lag = primary.status().follower.unwrap().lag;
    primary.kill().await;
    standby.client.promote(2, None).await.unwrap();
    assert_eq!((lag, standby.toy.contents().len()), (30, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_node_acknowledges_nothing_for_ever() {
    let [east, west] = sites(Mode::Sync, Role::Standby);
    let primary = Arc::new(east.start().await);
    // Nobody follows yet, so this write waits.
    let waiting = tokio::spawn({
        let primary = primary.clone();
        async move { primary.write(1, 1).await }
    });
    primary.until("written", |status| status.position.lsn == 1).await;
    let begun = primary.replica.standing().may_write().unwrap();
    let fenced = primary.client.fence(2).await.unwrap();
    assert_eq!((fenced.role, fenced.epoch, fenced.position.lsn), (Role::Fenced, 2, 1));
    let standby = west.start().await;
    standby.has_all_of(&primary).await;
    primary
        .until("confirmed", |status| status.follower.as_ref().is_some_and(|seen| seen.confirmed == 1))
        .await;
    assert!(waiting.await.unwrap().unwrap_err().contains("stopped being primary"));
    assert_eq!(begun.confirmed(1).await, Err(super::super::Unconfirmed::Demoted));
    assert_eq!(
        primary.write(2, 1).await.unwrap_err(),
        "fenced by epoch 2: write to the primary of that epoch"
    );
    let Ok(primary) = Arc::try_unwrap(primary) else { panic!("somebody holds the node") };
    primary.kill().await;
    let primary = east.start().await;
    assert!(primary.write(2, 1).await.unwrap_err().starts_with("fenced by epoch 2"));
    // A planned switch-over ends here: the standby has all the fenced node has.
    standby.client.promote(2, None).await.unwrap();
    standby.write(2, 1).await.unwrap();
    // Twice is as good as once, and late orders are refused.
    standby.client.promote(2, None).await.unwrap();
    let late = standby.client.fence(2).await.unwrap_err();
    assert!(matches!(&late, ReplicaError::Refused { status, .. } if status.role == Role::Primary), "{late}");
    assert!(primary.client.promote(2, None).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_primary_is_told_when_the_link_is_back_and_rejoins() {
    let [east, west] = sites(Mode::Async, Role::Standby);
    let (old, new) = (east.start().await, west.start().await);
    old.write(1, 1).await.unwrap();
    new.has_all_of(&old).await;
    east.link.set(LinkMode::Blackhole(Way::Both)).await.unwrap();
    new.client.promote(2, None).await.unwrap();
    // Split brain, as long as nobody tells.
    old.write(2, 1).await.unwrap();
    new.write(3, 1).await.unwrap();
    east.link.set(LinkMode::Open).await.unwrap();
    let fenced = old.until("told", |status| status.role == Role::Fenced).await;
    assert_eq!(fenced.epoch, 2);
    // Nothing is dropped while nobody answers for it.
    west.link.set(LinkMode::Refuse).await.unwrap();
    let follows = old.client.follow(west.link.addr(), true, 2).await.unwrap();
    assert_eq!((follows.role, follows.following.unwrap().wipe_pending), (Role::Standby, true));
    old.until("in trouble", |status| status.following.as_ref().is_some_and(|s| s.error.is_some())).await;
    assert_eq!(old.toy.contents().len(), 2);
    assert!(old.client.promote(3, None).await.is_err(), "about to be dropped");
    let id = old.status().id;
    west.link.set(LinkMode::Open).await.unwrap();
    old.has_all_of(&new).await;
    assert_eq!(old.toy.contents(), new.toy.contents());
    assert_ne!(old.status().id, id);
    // Asked again, it drops nothing again.
    let timeline = old.status().position.timeline;
    old.client.follow(west.link.addr(), true, 2).await.unwrap();
    new.write(4, 1).await.unwrap();
    old.has_all_of(&new).await;
    assert_eq!(old.status().position.timeline, timeline);
    // And back.
    new.client.fence(3).await.unwrap();
    old.client.promote(3, Some(Mode::Sync)).await.unwrap();
    new.client.follow(east.link.addr(), true, 3).await.unwrap();
    old.write(5, 1).await.unwrap();
    assert_eq!(new.toy.contents(), old.toy.contents());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_old_primary_that_comes_back_is_told_too() {
    let [east, west] = sites(Mode::Async, Role::Standby);
    let (old, new) = (east.start().await, west.start().await);
    old.write(1, 1).await.unwrap();
    new.has_all_of(&old).await;
    old.kill().await;
    new.client.promote(2, None).await.unwrap();
    std::fs::remove_file(east.file()).unwrap();
    let old = east.start().await;
    old.until("told", |status| (status.role, status.epoch) == (Role::Fenced, 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_of_a_higher_epoch_fences_its_source() {
    let [east, west] = sites(Mode::Async, Role::Standby);
    let (primary, standby) = (east.start().await, west.start().await);
    standby.client.follow(east.link.addr(), false, 7).await.unwrap();
    primary.until("fenced", |status| (status.role, status.epoch) == (Role::Fenced, 7)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_role_is_damaged_does_not_start() {
    let [east, _west] = sites(Mode::Async, Role::Standby);
    east.start().await.kill().await;
    let text = std::fs::read_to_string(east.file()).unwrap();
    for damaged in
        [text.replace("primary", "standby"), text.replace("\"epoch\": 1", "\"epoch\": 9"), String::new()]
    {
        assert_ne!(damaged, text);
        std::fs::write(east.file(), damaged).unwrap();
        let error = east.try_start().await.map(|_| ()).unwrap_err();
        assert!(matches!(error, StartError::Saved { .. }), "{error}");
    }
}

/// As when a primary that tells another one of its epoch hears of a higher one: its own demotion ends the telling.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_nobody_waits_for_is_stored_before_the_next_and_never_after() {
    let [east, _] = sites(Mode::Async, Role::Standby);
    let node = east.start().await;
    let standing = node.replica.standing();
    for epoch in (2..200).step_by(2) {
        let mut given_up = Box::pin(standing.change(|saved| saved.promote(epoch, None)));
        assert!(futures::poll!(&mut given_up).is_pending());
        drop(given_up);
        standing.change(|saved| saved.promote(epoch + 1, None)).await.unwrap();
        let stored = Disk::new(east.dir.path()).load().unwrap();
        assert_eq!(stored, Some(standing.saved()));
    }
}
