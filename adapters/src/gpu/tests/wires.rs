//! What a worker makes of frames that nobody should send.

use harness::job::{SHARDS, Sums};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::CallError;
use super::*;

const LIMIT: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn garbage_ends_its_connection_and_nothing_else() {
    let region = Region::new(1).await;
    let mut noise = Vec::new();
    for n in 0..64u32 {
        noise.push(n.wrapping_mul(2_654_435_761).to_be_bytes().repeat(n as usize + 1));
    }
    noise.push([u32::MAX.to_be_bytes().to_vec(), vec![7; 100]].concat());
    noise.push(vec![0, 0, 0, 1, 250]);
    noise.push(b"GET / HTTP/1.1\r\n\r\n".to_vec());
    let good = region.client(0);
    for bytes in noise {
        let mut stream = TcpStream::connect(("127.0.0.1", region.workers[0].port)).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let read = timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("the connection ends");
        assert!(read.is_err() || answer.is_empty(), "{bytes:?}: {answer:?}");
        good.ping(LIMIT).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_without_sense_are_refused() {
    let region = Region::new(1).await;
    let client = region.client(0);
    let start = JOB.start();
    let mut questions = vec![
        (start.bytes(), SHARDS),
        (start.bytes(), u32::MAX),
        (Vec::new(), 0),
        (b"gameday checkpoint 1\n".to_vec(), 0),
        (Checkpoint { step: u64::MAX, ..start.clone() }.bytes(), 0),
    ];
    for extreme in [i64::MAX, i64::MIN, i64::from(i32::MAX), i64::from(i32::MIN)] {
        let total = Sums { sums: [[extreme; 16]; 8], counts: [1; 8] };
        questions.push((Checkpoint { step: 1, total }.bytes(), 0));
    }
    for (before, shard) in questions {
        let said = client.shard(before.clone(), shard, LIMIT).await;
        // What is beyond the range of a coordinate reads as zero, which is a place like any other.
        let saturated = Checkpoint::parse(&before)
            .is_some_and(|c| shard < SHARDS && c.step == 1 && c.centroids() == [[0; 16]; 8]);
        assert!(matches!(said, Err(CallError::Refused { .. })) || saturated, "{said:?}");
    }
    for len in [0, 1, 15, 17, 1000] {
        let said = client.infer(vec![1.0; len], LIMIT).await;
        assert!(matches!(said, Err(CallError::Refused { .. })), "{len}: {said:?}");
    }
    let huge = client.infer(vec![1.0; 1 << 20], LIMIT).await;
    assert!(matches!(huge, Err(CallError::NoAnswer { .. })), "{huge:?}");
    // It is sound all the same.
    assert_eq!(client.shard(start.bytes(), 3, LIMIT).await, Ok(JOB.shard(&start, 3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_are_all_answered() {
    let region = Region::new(1).await;
    let (client, start) = (region.client(0), JOB.start());
    let calls = (0..32).map(|n| client.shard(start.bytes(), n % SHARDS, PATIENCE));
    for (n, said) in (0..).zip(futures::future::join_all(calls).await) {
        assert_eq!(said, Ok(JOB.shard(&start, n % SHARDS)));
    }
}
