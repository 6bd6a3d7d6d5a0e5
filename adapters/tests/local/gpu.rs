//! Workers as real processes, reached over real links: broken one by one, and in whole drills.

use std::time::Duration;

use adapters::local::sweep::find;
use harness::act::{Act, CutMode, Direction, Outcome};
use harness::diagnose::load;
use harness::plan::Plan;
use harness::ports::{INFERENCE_TOLERANCE, Reading, System, Write};
use harness::topology::{NodeId, Role};
use harness::verdict::Verdict::Pass;
use tokio::time::timeout;

use crate::common::block_on;
use crate::drills::{only_fails, play_until};
use crate::stand::Stand;

/// The drill that is shipped, with a shorter stable window.
fn plan() -> Plan {
    let stable = ("objectives.stable_for".to_owned(), "\"1s\"".to_owned());
    load(include_bytes!("../../../scenarios/gpu_cluster_failure.toml"), &[stable]).unwrap().plan
}

fn worker(member: u16) -> NodeId {
    NodeId { member: Some(member), ..NodeId::new("east", Role::Gpu) }
}

fn stand(flaw: Option<&str>) -> Stand {
    Stand::for_plan(plan(), std::env::current_exe().unwrap(), flaw).unwrap()
}

impl Stand {
    /// Runs the job up to a step.
    async fn step(&self, n: u64) {
        let gpu = self.gpu();
        timeout(Duration::from_secs(30), gpu.write_step(n)).await.expect("the job goes on");
    }

    fn gpu(&self) -> Gpu {
        Gpu(self.host.system(Role::Gpu).unwrap())
    }

    /// Whether an inference comes back right.
    async fn infers(&self, n: u64) -> bool {
        let corpus = self.corpus();
        let input = corpus.inference_input(n);
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= INFERENCE_TOLERANCE;
        match timeout(Duration::from_secs(1), self.gpu().0.infer(&input)).await {
            Ok(Ok(said)) => said.len() == 4 && said.iter().zip(&corpus.inference(&input)).all(near),
            _ => false,
        }
    }
}

struct Gpu(std::sync::Arc<dyn System>);

impl Gpu {
    async fn write_step(&self, n: u64) {
        self.0.write(Write { key: n, ver: n, delete: false }).await.unwrap();
    }

    async fn stored(&self) -> Vec<(u64, Reading)> {
        let page = self.0.survivors(None, 10_000).await.unwrap();
        assert_eq!(page.next, None);
        page.items
    }
}

fn right(steps: u64) -> Vec<(u64, Reading)> {
    (1..=steps).map(|n| (n, Reading::Ver(n))).collect()
}

pub(crate) fn broken_workers_are_masked_until_all_are() {
    block_on(async {
        let stand = stand(None);
        stand.host.launch().await.unwrap();
        stand.step(3).await;
        let said = stand.must(Act::Miscompute { node: worker(1) }).await;
        assert!(said.contains("differ"), "{said}");
        stand.step(10).await;
        // Started anew it has the same device.
        stand.must(Act::Restart { node: worker(1) }).await;
        stand.step(15).await;
        for n in 0..10 {
            assert!(stand.infers(n).await, "{n}");
        }
        assert_eq!(stand.gpu().stored().await, right(15));
        stand.must(Act::Compute { node: worker(1) }).await;
        // Cured while it is dead, it is known to be when it lives again.
        stand.must(Act::Miscompute { node: worker(2) }).await;
        stand.must(Act::Kill { node: worker(2) }).await;
        let dead = stand.host.act(&Act::Compute { node: worker(2) }).await;
        assert!(matches!(dead.outcome, Outcome::NotObserved(_)), "{dead:?}");
        stand.must(Act::Start { node: worker(2) }).await;
        stand.must(Act::Compute { node: worker(2) }).await;
        stand.step(20).await;
        assert_eq!(stand.gpu().stored().await, right(20));
        for member in 0..3 {
            stand.must(Act::Miscompute { node: worker(member) }).await;
        }
        assert!(!stand.infers(0).await);
        stand.step(25).await;
        let stored = stand.gpu().stored().await;
        assert_eq!(stored[..20], right(20));
        assert_eq!(stored.last(), Some(&(25, Reading::Corrupt)));
        stand.tear_down().await;
    });
}

pub(crate) fn a_job_goes_on_whatever_becomes_of_its_workers() {
    let (mode, direction) = (CutMode::Blackhole, Direction::Both);
    let by = harness::time::Dur::from_millis(150);
    let cut = |member| Act::Cut { from: None, to: worker(member), mode, direction };
    let mend = |member| Act::Mend { from: None, to: worker(member) };
    let faults: [(&[Act], &[Act]); 5] = [
        (&[Act::Kill { node: worker(0) }, cut(1)], &[Act::Start { node: worker(0) }, mend(1)]),
        (
            &[Act::Pause { node: worker(0) }, Act::Pause { node: worker(2) }],
            &[Act::Resume { node: worker(0) }, Act::Resume { node: worker(2) }],
        ),
        (&[cut(0), cut(2)], &[mend(0), mend(2)]),
        (
            &[Act::Delay { from: None, to: worker(1), by }, Act::Kill { node: worker(2) }],
            &[mend(1), Act::Start { node: worker(2) }],
        ),
        (
            &[Act::Delay { from: None, to: worker(0), by }, Act::Delay { from: None, to: worker(1), by }],
            &[mend(0), mend(1)],
        ),
    ];
    block_on(async {
        let stand = stand(None);
        stand.host.launch().await.unwrap();
        stand.step(2).await;
        let mut n = 2;
        for (inject, undo) in faults {
            for act in inject {
                stand.must(act.clone()).await;
            }
            for _ in 0..5 {
                n += 1;
                stand.step(n).await;
                assert!(stand.infers(n).await, "{inject:?}");
            }
            for act in undo {
                stand.must(act.clone()).await;
            }
        }
        for member in 0..3 {
            stand.must(Act::Kill { node: worker(member) }).await;
        }
        assert!(!stand.infers(0).await);
        let mut write = Box::pin(stand.step(n + 5));
        assert!(timeout(Duration::from_millis(400), &mut write).await.is_err(), "there are no workers");
        stand.must(Act::Start { node: worker(1) }).await;
        write.await;
        assert_eq!(stand.gpu().stored().await, right(n + 5));
        assert_eq!(find(&stand.run).unwrap().len(), 2, "the object store and one worker");
        stand.tear_down().await;
    });
}

pub(crate) fn the_loss_of_all_workers_passes() {
    play_until(&plan(), None, |report| {
        report.verdict == Pass && report.services.iter().all(|service| service.bad > 0)
    });
}

pub(crate) fn a_driver_that_drops_a_shard_is_found() {
    play_until(&plan(), Some("lost-shard"), |report| only_fails(report, "rpo gpu"));
}
