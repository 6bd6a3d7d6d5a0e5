//! Laws of roles and of convergence, without a network.

use super::super::Replicable;
use super::super::saved::{Saved, Wipe};
use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Order {
    Promote(u64, Option<Mode>),
    Fence(u64),
    Follow(bool, u64),
    HeardOf(u64),
    Adopt(u64),
    Wiped,
}

fn order() -> impl Strategy<Value = Order> {
    let mode = prop::option::of(prop::sample::select(vec![Mode::Async, Mode::Sync, Mode::Mutual]));
    prop_oneof![
        (0..8_u64, mode).prop_map(|(epoch, mode)| Order::Promote(epoch, mode)),
        (0..8_u64).prop_map(Order::Fence),
        (any::<bool>(), 0..8_u64).prop_map(|(wipe, epoch)| Order::Follow(wipe, epoch)),
        (0..8_u64).prop_map(Order::HeardOf),
        (0..8_u64).prop_map(Order::Adopt),
        Just(Order::Wiped),
    ]
}

fn obey(saved: &mut Saved, order: &Order) -> Result<(), String> {
    match *order {
        Order::Promote(epoch, mode) => saved.promote(epoch, mode),
        Order::Fence(epoch) => saved.fence(epoch),
        Order::Follow(wipe, epoch) => saved.follow(([127, 0, 0, 1], 9).into(), wipe, epoch),
        Order::HeardOf(epoch) => {
            saved.heard_of(epoch);
            Ok(())
        }
        Order::Adopt(epoch) => {
            saved.adopt(epoch);
            Ok(())
        }
        Order::Wiped => {
            saved.wiped(3);
            Ok(())
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write { at: usize, key: u64, ver: u64, value: Option<u8> },
    Pull { by: usize, limit: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..2_usize, 0..6_u64, 1..5_u64, prop::option::of(any::<u8>()))
            .prop_map(|(at, key, ver, value)| Step::Write { at, key, ver, value }),
        (0..2_usize, 1..4_usize).prop_map(|(by, limit)| Step::Pull { by, limit }),
    ]
}

proptest! {
    #[test]
    fn a_node_reigns_only_by_a_higher_epoch(
        second: bool,
        orders in prop::collection::vec(order(), 0..30),
    ) {
        let [east, west] = sites_config(second);
        let mut saved = Saved::new(if second { &west } else { &east });
        for order in orders {
            let before = saved.clone();
            let obeyed = obey(&mut saved, &order);
            prop_assert!(saved.epoch >= before.epoch);
            if obeyed.is_err() {
                prop_assert_eq!(&saved, &before);
            }
            if (saved.role, before.role) != (Role::Primary, Role::Primary) && saved.role == Role::Primary {
                prop_assert!(matches!(order, Order::Promote(epoch, _) if epoch > before.epoch));
            }
            if saved.role != before.role && before.role == Role::Primary {
                prop_assert!(saved.epoch > before.epoch, "it gave way to nobody");
            }
            if saved.role == Role::Primary {
                prop_assert!(saved.follow.as_ref().is_none_or(|source| source.wipe != Wipe::Pending));
            }
            if obeyed.is_ok() && !matches!(order, Order::Wiped) {
                let once = saved.clone();
                prop_assert!(obey(&mut saved, &order).is_ok() || matches!(order, Order::Fence(_)));
                prop_assert_eq!(&saved, &once, "twice is as good as once");
            }
        }
    }

    #[test]
    fn two_that_follow_each_other_converge(steps in prop::collection::vec(step(), 0..60)) {
        let toys = [Toy::in_memory(), Toy::in_memory()];
        let mut since = [0, 0];
        let mut pull = |by: usize, limit| {
            let batch = toys[1 - by].tell(since[by], limit);
            toys[by].take(&batch.ops).unwrap();
            let moved = since[by] != batch.upto;
            since[by] = batch.upto;
            moved
        };
        for step in steps {
            match step {
                Step::Write { at, key, ver, value } => {
                    toys[at].set(key, (ver, value.map(|value| value.to_string())));
                }
                Step::Pull { by, limit } => _ = pull(by, limit),
            }
        }
        let mut rounds = 0;
        while [pull(0, 2), pull(1, 2)] != [false, false] {
            rounds += 1;
            prop_assert!(rounds < 1000, "they echo");
        }
        prop_assert_eq!(toys[0].contents(), toys[1].contents());
        prop_assert_eq!(toys[0].position().lsn, since[1]);
    }
}

fn sites_config(second: bool) -> [ReplicaConfig; 2] {
    let config = |start_as| ReplicaConfig {
        port: 0,
        mode: if second { Mode::Async } else { Mode::Mutual },
        start_as,
        follow: Some(([127, 0, 0, 1], 9).into()),
        degrade_after_ms: 1,
    };
    [config(Role::Primary), config(Role::Standby)]
}
