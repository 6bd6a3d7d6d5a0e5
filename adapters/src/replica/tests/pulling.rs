//! A standby catches up, whatever happens to the link, to itself and to its source.

use super::*;
use crate::local::link::{Mode as LinkMode, Way};

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_catches_up_and_keeps_up() {
    let [east, west] = sites(Mode::Async, Role::Standby);
    let primary = east.start().await;
    for key in 0..3000 {
        primary.toy.put(key, 1);
    }
    let standby = west.start().await;
    standby.has_all_of(&primary).await;
    assert_eq!(standby.toy.contents(), primary.toy.contents());
    for key in 0..50 {
        primary.toy.put(key * 100, 2);
        primary.toy.set(key, (3, None));
    }
    standby.has_all_of(&primary).await;
    assert_eq!(standby.toy.contents(), primary.toy.contents());
    let caught_up = |status: &Status| status.following.as_ref().is_some_and(|source| source.caught_up);
    let status = standby.until("told so", caught_up).await;
    assert_eq!((status.role, status.following.unwrap().lag), (Role::Standby, Some(0)));
    let known = |status: &Status| status.follower.as_ref().is_some_and(|follower| follower.caught_up);
    let status = primary.until("known to the source", known).await;
    assert_eq!(status.follower.unwrap().lag, 0);
    assert_eq!(
        standby.write(1, 9).await.unwrap_err(),
        "standby: not writable, write to the primary or promote this node"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cuts_and_restarts_cost_only_time() {
    let [east, mut west] = sites(Mode::Async, Role::Standby);
    let east = &mut { east };
    let mut primary = east.start().await;
    let mut standby = west.start().await;
    let mut key = 0;
    for mode in [LinkMode::Refuse, LinkMode::Blackhole(Way::Both), LinkMode::Blackhole(Way::FromNode)] {
        for _ in 0..20 {
            key += 1;
            primary.toy.put(key, 1);
        }
        east.link.set(mode).await.unwrap();
        primary.toy.put(1, key);
        primary.toy.put(1_000_000 + key, 1);
        standby.kill().await;
        standby = west.start().await;
        assert_ne!(standby.toy.contents(), primary.toy.contents());
        east.link.set(LinkMode::Open).await.unwrap();
        standby.has_all_of(&primary).await;
        assert_eq!(standby.toy.contents(), primary.toy.contents());
        primary.kill().await;
        primary = east.start().await;
    }
    west.config.start_as = Role::Primary;
    standby.kill().await;
    assert_eq!(
        west.start().await.status().role,
        Role::Standby,
        "the file is the truth after the first start"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_link_is_followed_too() {
    let [east, west] = sites(Mode::Async, Role::Standby);
    east.link.set(LinkMode::Delay(Duration::from_millis(100))).await.unwrap();
    let (primary, standby) = (east.start().await, west.start().await);
    (0..100).for_each(|key| _ = primary.toy.put(key, 1));
    standby.has_all_of(&primary).await;
    assert_eq!(standby.toy.contents(), primary.toy.contents());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_history_is_followed_from_its_beginning() {
    let [east, west] = sites(Mode::Async, Role::Standby);
    let (primary, standby) = (east.start().await, west.start().await);
    (0..100).for_each(|key| _ = primary.toy.put(key, 1));
    standby.has_all_of(&primary).await;
    // The standby's own data are replaced under it.
    standby.toy.clear();
    primary.toy.put(5, 2);
    standby.until("back", |status| status.position.lsn == 100).await;
    assert_eq!(standby.toy.contents(), primary.toy.contents());
    // The source's are; what it lost is not dropped.
    primary.toy.clear();
    primary.toy.put(7, 3);
    standby.has_all_of(&primary).await;
    assert_eq!((standby.toy.contents().len(), standby.toy.contents()[&7].0), (100, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_standby_knows_how_far_behind_it_is() {
    let [east, west] = sites(Mode::Async, Role::Standby);
    let (primary, standby) = (east.start().await, west.start().await);
    primary.toy.put(0, 1);
    standby.has_all_of(&primary).await;
    assert!(standby.client.stall(true).await.unwrap().stalled);
    // What is in flight may still arrive.
    let asked = primary.status().follower.map(|follower| follower.id);
    assert_eq!(asked, Some(standby.status().id));
    tokio::time::sleep(Duration::from_millis(700)).await;
    (1..31).for_each(|key| _ = primary.toy.put(key, 1));
    let lag = |status: &Status| status.following.as_ref().is_some_and(|source| source.lag == Some(30));
    let status = standby.until("behind", lag).await;
    assert!(!status.following.unwrap().caught_up);
    assert_eq!(standby.toy.contents().len(), 1);
    let behind = |status: &Status| status.follower.as_ref().is_some_and(|follower| follower.lag == 30);
    primary.until("aware of it", behind).await;
    assert!(!standby.client.stall(false).await.unwrap().stalled);
    standby.has_all_of(&primary).await;
    assert_eq!(standby.toy.contents(), primary.toy.contents());
}
