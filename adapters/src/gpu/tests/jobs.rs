//! Jobs that are disturbed end, bit for bit, where an undisturbed one ends.

use std::sync::Arc;

use super::*;

/// A small source of chance, the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    async fn pause(&mut self, millis: u64) {
        sleep(Duration::from_micros(self.below(millis * 1000))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_all_workers_at_fifty_moments_changes_nothing() {
    let mut region = Region::new(3).await;
    let system = Arc::new(region.system());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writer = tokio::spawn({
        let system = system.clone();
        async move {
            let mut n = 0;
            while !*stopped.borrow() {
                n += 1;
                system.must(n).await;
            }
            n
        }
    });
    let mut chance = Chance(1);
    for _ in 0..50 {
        chance.pause(80).await;
        region.kill_all().await;
        chance.pause(20).await;
        for worker in 0..3 {
            region.start(worker, false).await;
        }
    }
    stop.send_replace(true);
    let steps = writer.await.unwrap();
    assert!(steps > 4, "only {steps} steps were disturbed");
    region.is_undisturbed(steps).await;
    assert_eq!(system.all().await, (1..=steps).map(|n| (n, Reading::Ver(n))).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_restarted_in_the_middle_goes_on_from_the_newest_checkpoint() {
    let region = Region::new(3).await;
    let mut chance = Chance(2);
    for round in 1..=15 {
        let system = region.system();
        // The call is given up, and the driver lost, somewhere in the middle.
        let _ = timeout(Duration::from_millis(5 + chance.below(60)), system.write(step(5 * round))).await;
    }
    let system = region.system();
    system.must(80).await;
    region.is_undisturbed(80).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_checkpoint_is_not_resumed_from_and_is_made_anew() {
    let region = Region::new(2).await;
    region.system().must(6).await;
    let s3 = region.s3();
    let mut bent = undisturbed(6)[6].bytes();
    bent[100] ^= 1;
    s3.put("checkpoints/00000000000000000006", bent).await.unwrap();
    s3.delete("digests/00000000000000000005").await.unwrap();
    let next = region.system();
    assert_eq!(next.read(6).await, Ok(Some(Reading::Corrupt)));
    assert_eq!(region.checkpoints().newest(None, 100).await.unwrap().map(|c| c.step), Some(4));
    next.must(8).await;
    region.is_undisturbed(8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_whose_checkpoint_is_gone_is_run_again_when_asked_for() {
    let region = Region::new(2).await;
    let system = region.system();
    system.must(6).await;
    region.s3().delete("checkpoints/00000000000000000004").await.unwrap();
    assert_eq!(system.read(4).await, Ok(None));
    system.must(4).await;
    system.must(7).await;
    region.is_undisturbed(7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_give_up_stop_nothing() {
    let region = Region::new(2).await;
    let system = region.system();
    for n in 1..=9 {
        let _ = timeout(Duration::ZERO, system.write(step(n))).await;
    }
    until("step 9 is stored", async || system.read(9).await == Ok(Some(Reading::Ver(9)))).await;
    region.is_undisturbed(9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_object_store_nothing_is_acknowledged_and_with_it_everything_goes_on() {
    let mut region = Region::new(2).await;
    let system = region.system();
    system.must(2).await;
    region.store.kill().await;
    assert!(timeout(Duration::from_millis(300), system.write(step(3))).await.is_err());
    assert!(matches!(system.read(1).await, Err(PortError::Indefinite(_))));
    assert!(matches!(system.survivors(None, 10).await, Err(PortError::Indefinite(_))));
    region.start_store().await;
    system.must(4).await;
    region.is_undisturbed(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_drivers_of_one_job_agree() {
    let region = Region::new(3).await;
    let (one, other) = (region.system(), region.system());
    one.must(4).await;
    other.must(9).await;
    tokio::join!(one.must(15), other.must(14));
    region.is_undisturbed(15).await;
}
