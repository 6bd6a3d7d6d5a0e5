//! Workers that are lost, hang, lie or talk nonsense.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;

const LIMIT: Duration = Duration::from_secs(2);

async fn lie(region: &Region, worker: usize, wrong: bool) {
    region.client(worker).miscompute(wrong, LIMIT).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_liar_is_masked_whenever_it_begins() {
    for begins in [0, 1, 7] {
        let region = Region::new(3).await;
        let system = region.system();
        for n in 1..=20 {
            if n == begins + 1 {
                lie(&region, 1, true).await;
            }
            system.must(n).await;
        }
        region.is_undisturbed(20).await;
        // It is in quarantine, so it answers no inference either.
        let before = region.client(1).status(LIMIT).await.unwrap().inferences;
        for n in 0..10 {
            system.infer(&corpus().inference_input(n)).await.unwrap();
        }
        assert_eq!(region.client(1).status(LIMIT).await.unwrap().inferences, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_that_begins_in_the_middle_of_a_step_is_masked() {
    let region = Region::new(3).await;
    let system = region.system();
    for round in 0..20 {
        let write = system.write(step(round + 1));
        let begin = async {
            sleep(Duration::from_micros(400 * round)).await;
            lie(&region, 1, true).await;
        };
        let (written, ()) = tokio::join!(timeout(PATIENCE, write), begin);
        written.unwrap().unwrap();
        lie(&region, 1, false).await;
    }
    region.is_undisturbed(20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_that_is_cured_works_again() {
    let region = Region::new(3).await;
    let system = region.system();
    lie(&region, 2, true).await;
    system.must(2).await;
    lie(&region, 2, false).await;
    let shards = async || region.client(2).status(LIMIT).await.unwrap().shards;
    let (mut n, before) = (2, shards().await);
    until("it gets shards again", async || {
        n += 1;
        system.must(n).await;
        // A probe is one shard, and there may be one of each kind under way.
        shards().await > before + 10
    })
    .await;
    region.is_undisturbed(n).await;
    // Users of inference alone are enough to bring one back.
    lie(&region, 0, true).await;
    system.must(n + 2).await;
    lie(&region, 0, false).await;
    let inferences = async || region.client(0).status(LIMIT).await.unwrap().inferences;
    let before = inferences().await;
    until("it answers inferences again", async || {
        system.infer(&corpus().inference_input(0)).await.unwrap();
        inferences().await > before
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_lie_alike_it_is_seen_in_what_is_stored() {
    let region = Region::new(3).await;
    let system = region.system();
    system.must(3).await;
    for worker in 0..3 {
        lie(&region, worker, true).await;
    }
    system.must(8).await;
    let corrupt = (4..=8).map(|n| (n, Reading::Corrupt));
    let expected: Vec<_> = (1..=3).map(|n| (n, Reading::Ver(n))).chain(corrupt).collect();
    assert_eq!(system.all().await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_does_not_cure_a_broken_device() {
    let mut region = Region::new(1).await;
    region.workers[0].kill().await;
    region.start(0, true).await;
    let start = JOB.start();
    let client = region.client(0);
    for shard in 0..2 {
        let said = client.shard(start.bytes(), shard, LIMIT).await.unwrap();
        assert_ne!(said, JOB.shard(&start, shard));
    }
    let input = corpus().inference_input(1);
    let (said, known) = (client.infer(input.clone(), LIMIT).await.unwrap(), corpus().inference(&input));
    assert!(said.iter().zip(&known).all(|(a, b)| (a / b - 1.01).abs() < 1e-4), "{said:?} {known:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_workers_a_step_waits_and_one_worker_is_enough() {
    let mut region = Region::new(3).await;
    let system = region.system();
    region.kill_all().await;
    assert!(timeout(Duration::from_millis(300), system.write(step(1))).await.is_err());
    assert_eq!(system.read(1).await, Ok(None));
    region.start(2, false).await;
    system.must(3).await;
    region.is_undisturbed(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_driver_leaves_a_shard_out_and_it_is_seen() {
    let mut region = Region::new(3).await;
    let system = region.flawed(Some(Flaw::LostShard));
    system.must(3).await;
    region.workers[1].kill().await;
    // Which shard it is depends on who is first; that one is missing does not.
    system.must(6).await;
    let found = system.all().await;
    assert_eq!(found[..3], [(1, Reading::Ver(1)), (2, Reading::Ver(2)), (3, Reading::Ver(3))]);
    assert_eq!(found[5], (6, Reading::Corrupt));
}

/// In the place of a worker, something that takes connections and does this with them.
async fn impostor(region: &mut Region, worker: usize, says: Option<&'static [u8]>) {
    region.workers[worker].kill().await;
    let listener = TcpListener::bind(("127.0.0.1", region.workers[worker].port)).await.unwrap();
    region.workers[worker].task = Some(tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            if let Some(bytes) = says {
                let _ = stream.write_all(bytes).await;
            }
            held.push(stream);
        }
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn hung_workers_and_babblers_hold_nobody_up() {
    let nonsense: [Option<&[u8]>; 5] = [
        None,
        Some(b"HTTP/1.1 200 OK\r\n\r\n"),
        Some(&[0, 0, 0, 1, 0]),
        Some(&[0, 0, 0, 3, 2, 255, 255]),
        Some(&[255; 64]),
    ];
    for says in nonsense {
        let mut region = Region::new(3).await;
        let system = region.system();
        system.must(1).await;
        impostor(&mut region, 0, says).await;
        impostor(&mut region, 2, says).await;
        for n in 2..=6 {
            let began = Instant::now();
            system.must(n).await;
            // The limit of a user's write.
            assert!(began.elapsed() < Duration::from_secs(2), "{says:?}: {:?}", began.elapsed());
            let began = Instant::now();
            system.infer(&corpus().inference_input(n)).await.unwrap();
            assert!(began.elapsed() < Duration::from_secs(1), "{says:?}: {:?}", began.elapsed());
        }
        region.is_undisturbed(6).await;
    }
}
