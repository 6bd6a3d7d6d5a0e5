use proptest::prelude::*;

use super::*;
use crate::topology::Role;

fn wrote(key: u64, ver: u64, sent_us: u64, outcome: Acked) -> Wrote {
    let done_us = sent_us + 10;
    Wrote { store: Role::Vector, key, ver, delete: false, due_us: sent_us, sent_us, done_us, outcome }
}

fn held(seeded: &[(u64, u64)], written: &[(u64, u64)]) -> Survivors {
    let mut s = Survivors::default();
    s.page(&ReadBack {
        pass: 1,
        seeded: seeded.to_vec(),
        written: written.to_vec(),
        end: Some(ReadEnd::Complete),
        ..ReadBack::default()
    });
    s
}

fn ledger(seeded: u64, writes: &[Wrote]) -> Ledger {
    let mut l = Ledger::default();
    l.seeded(seeded);
    writes.iter().for_each(|w| l.wrote(w));
    l
}

#[test]
fn nothing_lost_is_intact() {
    let l = ledger(10, &[wrote(100, 1, 50, Acked::Ok), wrote(3, 2, 60, Acked::Ok)]);
    let a = l.account(&held(&[(0, 2), (4, 9)], &[(3, 2), (100, 1)]));
    assert_eq!((a.acked, a.intact, a.lost.len(), a.unexpected.len()), (11, 11, 0, 0));
    assert_eq!(a.oldest_loss_us, None);
}

#[test]
fn latency_counts_from_the_due_time_and_is_never_cut_off() {
    let slow = Wrote { done_us: 90_000_000, ..wrote(1, 1, 50, Acked::Ok) };
    let l = ledger(0, &[slow, wrote(2, 2, 60, Acked::Ok), wrote(3, 3, 60, Acked::Fail)]);
    let latency = l.latency().unwrap();
    assert_eq!(latency.p50_us, 10);
    assert!(latency.max_us.abs_diff(90_000_000) < 100_000, "{latency:?}");
    assert_eq!(ledger(0, &[]).latency(), None);
}

#[test]
fn an_absent_or_older_value_is_a_loss() {
    let l = ledger(10, &[wrote(100, 1, 50, Acked::Ok), wrote(3, 2, 60, Acked::Ok)]);
    let a = l.account(&held(&[(0, 9)], &[]));
    assert_eq!((a.lost.as_slice(), a.oldest_loss_us, a.newest_loss_us), (&[3, 100][..], Some(60), Some(70)));
    assert!(!a.scattered);
    let a = l.account(&held(&[(1, 9)], &[(100, 1)]));
    assert_eq!((a.lost.as_slice(), a.oldest_loss_us, a.scattered), (&[0, 3][..], Some(0), true));
}

#[test]
fn a_refused_write_must_not_appear() {
    let l = ledger(0, &[wrote(100, 1, 50, Acked::Fail)]);
    assert_eq!(l.account(&held(&[], &[(100, 1)])).unexpected, [100]);
    assert_eq!(l.account(&held(&[], &[])), Account::default());
    // Nor may a record that nobody wrote.
    assert_eq!(l.account(&held(&[], &[(7, 3)])).unexpected, [7]);
}

#[test]
fn an_unknown_write_may_go_either_way() {
    let l = ledger(5, &[wrote(100, 1, 50, Acked::Info), wrote(2, 2, 50, Acked::Info)]);
    let seen = l.account(&held(&[(0, 1), (3, 4)], &[(2, 2), (100, 1)]));
    assert_eq!((seen.recovered.as_slice(), seen.acked, seen.intact), (&[2, 100][..], 5, 5));
    let unseen = l.account(&held(&[(0, 4)], &[]));
    assert_eq!((unseen.recovered.len(), unseen.intact, unseen.lost.len()), (0, 5, 0));
    assert_eq!(l.certain().1, [2, 100]);
}

#[test]
fn a_deletion_that_comes_undone_is_a_loss() {
    let l = ledger(5, &[Wrote { delete: true, ..wrote(2, 9, 50, Acked::Ok) }]);
    assert_eq!(l.account(&held(&[(0, 1), (3, 4)], &[])).intact, 5);
    assert_eq!(l.account(&held(&[(0, 4)], &[])).lost, [2]);
}

#[test]
fn concurrent_acknowledged_writes_may_end_either_way() {
    let l =
        ledger(0, &[wrote(1, 1, 50, Acked::Ok), wrote(1, 2, 55, Acked::Ok), wrote(1, 3, 200, Acked::Fail)]);
    for ver in [1, 2] {
        assert_eq!(l.account(&held(&[], &[(1, ver)])).intact, 1);
    }
    let a = l.account(&held(&[], &[(1, 3)]));
    assert_eq!((a.lost.as_slice(), a.unexpected.as_slice()), (&[1][..], &[1][..]));
}

prop_compose! {
    fn some_write()(key in 0u64..12, ver in 1u64..1000, sent in 0u64..500, o in 0..3, delete: bool) -> Wrote {
        let outcome = [Acked::Ok, Acked::Fail, Acked::Info][o as usize];
        Wrote { delete, ..wrote(key, ver, sent, outcome) }
    }
}

proptest! {
    #[test]
    fn acked_is_intact_plus_corrupt_plus_lost(
        seeded in 0u64..8,
        writes in prop::collection::vec(some_write(), 0..30),
        found in prop::collection::btree_map(0u64..12, 0u64..1000, 0..12),
        corrupt in prop::collection::btree_set(0u64..12, 0..4),
    ) {
        let l = ledger(seeded, &writes);
        let mut s = Survivors::default();
        let (zero, written): (Vec<_>, Vec<_>) = found.into_iter().filter(|(k, _)| !corrupt.contains(k)).partition(|(_, v)| *v == 0);
        s.page(&ReadBack {
            seeded: zero.into_iter().map(|(k, _)| (k, k)).collect(),
            written,
            corrupt: corrupt.into_iter().collect(),
            ..ReadBack::default()
        });
        let a = l.account(&s);
        prop_assert_eq!(a.acked, a.intact + a.lost.len() as u64 + a.corrupt.len() as u64);
        prop_assert_eq!(a.oldest_loss_us.is_some(), !a.lost.is_empty() || !a.corrupt.is_empty());
    }

    #[test]
    fn a_store_that_holds_what_is_certain_loses_nothing(
        seeded in 0u64..8,
        writes in prop::collection::vec(some_write(), 0..30),
    ) {
        // Write numbers are unique in a real run.
        let writes: Vec<Wrote> = writes.into_iter().enumerate().map(|(i, w)| Wrote { ver: i as u64 + 1, ..w }).collect();
        let l = ledger(seeded, &writes);
        let (certain, aside) = l.certain();
        let (zero, written): (Vec<_>, Vec<_>) = certain.into_iter().partition(|(_, v)| *v == 0);
        let mut s = Survivors::default();
        s.page(&ReadBack { seeded: zero.into_iter().map(|(k, _)| (k, k)).collect(), written, ..ReadBack::default() });
        let a = l.account(&s);
        prop_assert!(a.lost.iter().all(|k| aside.contains(k)), "{:?} {:?}", a.lost, aside);
        prop_assert_eq!(a.unexpected.len(), 0);
    }
}
