//! Workers, an object store and a driver in one process; workers are lost by dropping them, connections and all.

mod faults;
mod jobs;
mod wires;

use std::time::{Duration, Instant};

use harness::corpus::Corpus;
use harness::diagnose::load;
use harness::job::{Checkpoint, Job};
use harness::ports::{Page, PortError, Reading, System, Write};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::checkpoints::Checkpoints;
use super::{Client, Config, Flaw, GpuSystem, Server};
use crate::s3::{self, Keys, S3};

const JOB: Job = Job { seed: 9 };
const PATIENCE: Duration = Duration::from_secs(20);

fn corpus() -> Corpus {
    let text = include_str!("../../../../scenarios/gpu_cluster_failure.toml");
    Corpus::of(&load(text.as_bytes(), &[]).unwrap().scenario)
}

/// Checkpoints of an undisturbed job, by step.
fn undisturbed(steps: u64) -> Vec<Checkpoint> {
    let mut all = vec![JOB.start()];
    for _ in 0..steps {
        all.push(JOB.step(all.last().unwrap()));
    }
    all
}

fn step(n: u64) -> Write {
    Write { key: n, ver: n, delete: false }
}

/// Something that listens on a port of its own, whoever runs there.
#[derive(Debug)]
struct Slot {
    port: u16,
    task: Option<JoinHandle<()>>,
}

impl Slot {
    /// Gone, with all its connections.
    async fn kill(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }
}

/// A region: workers and an object store.
#[derive(Debug)]
struct Region {
    workers: Vec<Slot>,
    store: Slot,
    keys: Keys,
    dir: TempDir,
}

impl Region {
    async fn new(workers: usize) -> Self {
        let slots = (0..workers).map(|_| Slot { port: 0, task: None }).collect();
        let store = Slot { port: 0, task: None };
        let mut region = Self {
            workers: slots,
            store,
            keys: Keys::new("key", "secret"),
            dir: tempfile::tempdir().unwrap(),
        };
        region.start_store().await;
        for worker in 0..workers {
            region.start(worker, false).await;
        }
        region
    }

    async fn start(&mut self, worker: usize, miscompute: bool) {
        let slot = &mut self.workers[worker];
        let config = Config { port: slot.port, miscompute, ..Config::new(corpus(), JOB) };
        let server = Server::bind(config).await.unwrap();
        slot.port = server.addr().port();
        slot.task = Some(tokio::spawn(server.run(std::future::pending())));
    }

    async fn start_store(&mut self) {
        let (port, data, keys) = (self.store.port, self.dir.path().into(), self.keys.clone());
        let config = s3::ServerConfig { port, data, keys, lifeline: false, replica: None };
        let server = s3::Server::bind(config).await.unwrap();
        self.store.port = server.addr().port();
        self.store.task = Some(tokio::spawn(server.run(std::future::pending())));
    }

    async fn kill_all(&mut self) {
        for worker in &mut self.workers {
            worker.kill().await;
        }
    }

    fn client(&self, worker: usize) -> Client {
        Client::new(([127, 0, 0, 1], self.workers[worker].port).into())
    }

    fn s3(&self) -> S3 {
        S3::new(&format!("http://127.0.0.1:{}", self.store.port), "checkpoints", &self.keys).unwrap()
    }

    fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(self.s3())
    }

    fn flawed(&self, flaw: Option<Flaw>) -> GpuSystem {
        let workers: Vec<_> = self.workers.iter().map(|w| ([127, 0, 0, 1], w.port).into()).collect();
        GpuSystem::new(&workers, self.s3(), JOB, flaw)
    }

    /// A driver of its own.
    fn system(&self) -> GpuSystem {
        self.flawed(None)
    }

    /// Every checkpoint up to a step is stored, with the bytes of an undisturbed job.
    async fn is_undisturbed(&self, steps: u64) {
        for (step, known) in (0..).zip(undisturbed(steps)).skip(1) {
            let stored = self.checkpoints().stored(step).await.unwrap().map(|(body, _)| body);
            assert!(
                stored.as_deref() == Some(known.bytes().as_slice()),
                "step {step}: {} bytes",
                stored.map_or(0, |b| b.len())
            );
        }
    }
}

impl GpuSystem {
    async fn must(&self, n: u64) {
        timeout(PATIENCE, self.write(step(n))).await.expect("the job goes on").unwrap();
    }

    async fn all(&self) -> Vec<(u64, Reading)> {
        let page = timeout(PATIENCE, self.survivors(None, 10_000)).await.unwrap().unwrap();
        assert_eq!(page.next, None);
        page.items
    }
}

/// Waits for what no event tells.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_stored_before_it_is_acknowledged_and_read_by_its_bytes() {
    let region = Region::new(3).await;
    let system = region.system();
    assert_eq!(system.all().await, []);
    for n in 1..=5 {
        system.must(n).await;
        region.is_undisturbed(n).await;
        assert_eq!(system.read(n).await, Ok(Some(Reading::Ver(n))));
    }
    assert_eq!(system.read(6).await, Ok(None));
    // A step far away takes all the steps to it; one that was done is there at once.
    system.must(12).await;
    system.must(3).await;
    region.is_undisturbed(12).await;
    assert_eq!(system.all().await, (1..=12).map(|n| (n, Reading::Ver(n))).collect::<Vec<_>>());
    let first = system.survivors(None, 5).await.unwrap();
    assert_eq!((first.items.len(), first.next), (5, Some(5)));
    let second = system.survivors(Some(5), 7).await.unwrap();
    assert_eq!((second.items.first(), second.next), (Some(&(6, Reading::Ver(6))), None));
    for wrong in [
        Write { key: 0, ver: 0, delete: false },
        Write { key: 13, ver: 12, delete: false },
        Write { key: 13, ver: 13, delete: true },
        step(u64::MAX),
    ] {
        assert!(matches!(system.write(wrong).await, Err(PortError::Definite(_))), "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_step_has_is_told() {
    let region = Region::new(2).await;
    let system = region.system();
    system.must(3).await;
    let s3 = region.s3();
    s3.put("checkpoints/intruder", "x").await.unwrap();
    s3.put("checkpoints/00000000000000000007", undisturbed(6)[6].bytes()).await.unwrap();
    s3.put("checkpoints/00000000000000000002", "y").await.unwrap();
    let found = system.all().await;
    let (bad, good) = (Reading::Corrupt, Reading::Ver);
    assert_eq!(found, [(1, good(1)), (2, bad), (3, good(3)), (7, bad), (1 << 52, bad)]);
    assert_eq!(system.survivors(Some(7), 10).await, Ok(Page { items: vec![(1 << 52, bad)], next: None }));
}

#[tokio::test(flavor = "multi_thread")]
async fn inference_is_right_and_outlives_all_workers_but_one() {
    let mut region = Region::new(3).await;
    let (system, corpus) = (region.system(), corpus());
    for lost in 0..3 {
        for n in 0..20 {
            let input = corpus.inference_input(n);
            let said = system.infer(&input).await.unwrap();
            let off =
                said.iter().zip(corpus.inference(&input)).map(|(a, b)| (a - b).abs()).fold(0., f32::max);
            assert!(off <= harness::ports::INFERENCE_TOLERANCE && said.len() == 4, "{off}");
        }
        region.workers[lost].kill().await;
    }
    assert!(system.infer(&corpus.inference_input(0)).await.is_err());
    region.start(1, false).await;
    assert!(system.infer(&corpus.inference_input(0)).await.is_ok());
}
