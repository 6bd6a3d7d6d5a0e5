//! Workers in containers: each fault on one of them is seen, and the others mask it.

use std::time::Duration;

use adapters::docker::Engine;
use adapters::docker::images::{Choices, companion};
use adapters::gpu::Client;
use harness::act::{Act, Outcome};
use harness::diagnose::load;
use harness::ports::INFERENCE_TOLERANCE;
use harness::topology::{NodeId, Role};
use tokio::time::{Instant, sleep, timeout};

use crate::common::block_on;
use crate::stand::{Stand, docker};

const GPU: &[u8] = include_bytes!("../../../scenarios/gpu_cluster_failure.toml");
const PATIENCE: Duration = Duration::from_secs(20);

fn worker(member: u16) -> NodeId {
    NodeId { member: Some(member), ..NodeId::new("east", Role::Gpu) }
}

pub(crate) fn workers_break_and_are_seen_to() {
    block_on(async {
        let stand = Stand::of(load(GPU, &[]).unwrap().plan, None, Choices::new());
        let lines = stand.host.launch().await.unwrap();
        assert!(lines.iter().any(|l| l.contains("east/gpu/2") && l.contains("gameday/node:")), "{lines:#?}");
        let (users, corpus) = (stand.host.system(Role::Gpu).unwrap(), stand.corpus());
        let right = async || {
            let input = corpus.inference_input(3);
            let said = timeout(PATIENCE, users.infer(&input)).await.unwrap().unwrap();
            let off = said.iter().zip(corpus.inference(&input)).map(|(a, b)| (a - b).abs());
            assert!(off.fold(0.0, f32::max) <= INFERENCE_TOLERANCE);
        };
        right().await;
        stand.must(Act::Kill { node: worker(0) }).await;
        stand.must(Act::Pause { node: worker(1) }).await;
        right().await;
        stand.must(Act::Resume { node: worker(1) }).await;
        stand.must(Act::Start { node: worker(0) }).await;
        stand.must(Act::Miscompute { node: worker(2) }).await;
        // A broken device stays broken, whoever starts the worker again.
        stand.must(Act::Restart { node: worker(2) }).await;
        stand.must(Act::Compute { node: worker(2) }).await;
        stand.must(Act::Stop { node: worker(2) }).await;
        let gone = stand.host.act(&Act::Miscompute { node: worker(2) }).await.outcome;
        assert!(matches!(gone, Outcome::NotObserved(_)), "{gone:?}");
        right().await;
        stand.tear_down().await;
    });
}

/// A device is opened beside the work, and a first one compiles its program.
const DEVICE_LIMIT: Duration = Duration::from_secs(90);

pub(crate) fn workers_compute_on_a_device_where_there_is_one() {
    block_on(async {
        if companion(&Engine::connect().await.unwrap()).await.unwrap().is_none() {
            println!("skipped: no OpenCL engine beside this program, or no image with a device");
            return;
        }
        let stand = Stand::of(load(GPU, &[]).unwrap().plan, None, Choices::new());
        stand.host.launch().await.unwrap();
        let label = format!("label=gameday.run={}", stand.run);
        let ports = docker(&["ps", "--filter", &label, "--format", "{{.Ports}}"]);
        let addr = ports.lines().find_map(|line| line.strip_suffix("->9400/tcp")).expect("a worker's port");
        let client = Client::new(addr.parse().unwrap());
        let began = Instant::now();
        loop {
            let engine = client.status(PATIENCE).await.unwrap().engine;
            if engine.starts_with("opencl on ") {
                break;
            }
            let waits = engine.contains("is being opened") || engine.starts_with("opencl, at work");
            assert!(waits && began.elapsed() < DEVICE_LIMIT, "{engine}");
            sleep(Duration::from_millis(100)).await;
        }
        stand.tear_down().await;
    });
}
