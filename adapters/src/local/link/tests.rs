//! What a link promises, seen from both of its ends.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::probe::Probe;
use super::{Link, LinkError, Mode, Way};

const SOON: Duration = Duration::from_secs(5);
const DARK: Mode = Mode::Blackhole(Way::Both);

/// A link with a node behind it that hands out the connections it accepts.
async fn linked() -> (Link, TcpListener) {
    let node = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (Link::open(node.local_addr().unwrap()).unwrap(), node)
}

async fn connect(link: &Link, node: &TcpListener) -> (TcpStream, TcpStream) {
    let near = TcpStream::connect(link.addr()).await.unwrap();
    let (far, _) = timeout(SOON, node.accept()).await.expect("the node sees the connection").unwrap();
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    (near, far)
}

async fn expect(end: &mut TcpStream, what: &[u8]) {
    let mut got = vec![0; what.len()];
    timeout(SOON, end.read_exact(&mut got)).await.expect("bytes in time").unwrap();
    assert_eq!(got, what);
}

async fn silent(end: &mut TcpStream) {
    let mut byte = [0];
    let read = timeout(Duration::from_millis(100), end.read(&mut byte)).await;
    assert!(read.is_err(), "{read:?}");
}

#[tokio::test]
async fn bytes_and_the_end_of_a_stream_pass_both_ways() {
    let (link, node) = linked().await;
    let (mut near, mut far) = connect(&link, &node).await;
    near.write_all(b"question").await.unwrap();
    expect(&mut far, b"question").await;
    near.shutdown().await.unwrap();
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    far.write_all(b"answer").await.unwrap();
    expect(&mut near, b"answer").await;
    drop(far);
    assert_eq!(near.read(&mut [0]).await.unwrap(), 0);
    let stats = link.stats();
    assert_eq!((stats.to_node, stats.from_node), (8, 6));
}

#[tokio::test]
async fn refusing_resets_both_ends_and_mending_takes_the_same_port() {
    let (link, node) = linked().await;
    for _ in 0..3 {
        let (mut near, mut far) = connect(&link, &node).await;
        let seen = link.set(Mode::Refuse).await.unwrap();
        assert!(seen.as_str().contains("refused"), "{seen}");
        for end in [&mut near, &mut far] {
            assert_eq!(end.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
        let refused = TcpStream::connect(link.addr()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        link.set(Mode::Open).await.unwrap();
        let (mut near, mut far) = connect(&link, &node).await;
        near.write_all(b"again").await.unwrap();
        expect(&mut far, b"again").await;
    }
}

#[tokio::test]
async fn a_dark_link_holds_bytes_and_closes_nothing() {
    let (link, node) = linked().await;
    let (mut near, mut far) = connect(&link, &node).await;
    link.set(DARK).await.unwrap();
    near.write_all(b"held").await.unwrap();
    far.write_all(b"kept").await.unwrap();
    silent(&mut far).await;
    silent(&mut near).await;
    let mut late = TcpStream::connect(link.addr()).await.unwrap();
    late.write_all(b"late").await.unwrap();
    silent(&mut late).await;
    link.set(Mode::Open).await.unwrap();
    expect(&mut far, b"held").await;
    expect(&mut near, b"kept").await;
    let (mut far, _) = timeout(SOON, node.accept()).await.unwrap().unwrap();
    expect(&mut far, b"late").await;
}

#[tokio::test]
async fn ends_and_resets_wait_in_the_dark_too() {
    let (link, node) = linked().await;
    let (mut near, mut far) = connect(&link, &node).await;
    let (cut, mut beyond) = connect(&link, &node).await;
    link.set(DARK).await.unwrap();
    near.write_all(b"last words").await.unwrap();
    drop(near);
    cut.set_zero_linger().unwrap();
    drop(cut);
    silent(&mut far).await;
    silent(&mut beyond).await;
    link.set(Mode::Open).await.unwrap();
    expect(&mut far, b"last words").await;
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(beyond.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// Whether the end has been reset, without reading from it.
async fn reset(end: &TcpStream) {
    let ready = timeout(SOON, end.ready(tokio::io::Interest::ERROR)).await;
    assert!(ready.expect("a reset in time").unwrap().is_error());
}

#[tokio::test]
async fn a_reset_throws_away_what_was_held_in_the_dark() {
    let (link, node) = linked().await;
    let (mut near, mut far) = connect(&link, &node).await;
    link.set(DARK).await.unwrap();
    near.write_all(b"stale request").await.unwrap();
    silent(&mut far).await;
    near.set_zero_linger().unwrap();
    drop(near);
    silent(&mut far).await;
    link.set(Mode::Open).await.unwrap();
    assert_eq!(far.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_reset_overtakes_what_a_frozen_node_has_no_room_for() {
    let (link, node) = linked().await;
    for full in [false, true] {
        let (near, far) = connect(&link, &node).await;
        let chunk = vec![7; 1 << 20];
        let mut sent = 0;
        // Nobody reads at the far end: its buffers fill, then the link's, then those of the near end.
        while full || sent < 8 << 20 {
            if timeout(Duration::from_millis(300), near.writable()).await.is_err() {
                break;
            }
            sent += near.try_write(&chunk).unwrap_or(0);
        }
        near.set_zero_linger().unwrap();
        drop(near);
        reset(&far).await;
    }
}

#[tokio::test]
async fn a_connection_given_up_in_the_dark_never_reaches_the_node() {
    let (link, node) = linked().await;
    link.set(DARK).await.unwrap();
    let mut given_up = TcpStream::connect(link.addr()).await.unwrap();
    given_up.write_all(b"stale request").await.unwrap();
    drop(given_up);
    link.set(Mode::Open).await.unwrap();
    let (mut near, mut far) = connect(&link, &node).await;
    near.write_all(b"fresh").await.unwrap();
    expect(&mut far, b"fresh").await;
    assert!(timeout(Duration::from_millis(50), node.accept()).await.is_err());
}

#[tokio::test]
async fn one_direction_can_be_dark_alone() {
    let (link, node) = linked().await;
    let (mut near, mut far) = connect(&link, &node).await;
    link.set(Mode::Blackhole(Way::ToNode)).await.unwrap();
    near.write_all(b"a").await.unwrap();
    far.write_all(b"b").await.unwrap();
    expect(&mut near, b"b").await;
    silent(&mut far).await;
    link.set(Mode::Blackhole(Way::FromNode)).await.unwrap();
    expect(&mut far, b"a").await;
    far.write_all(b"c").await.unwrap();
    silent(&mut near).await;
    link.set(Mode::Open).await.unwrap();
    expect(&mut near, b"c").await;
}

#[tokio::test]
async fn a_delay_is_paid_once_per_byte_and_not_per_chunk() {
    let delay = Duration::from_millis(100);
    let (link, node) = linked().await;
    let (mut near, mut far) = connect(&link, &node).await;
    link.set(Mode::Delay(delay)).await.unwrap();
    let began = Instant::now();
    near.write_all(b"x").await.unwrap();
    expect(&mut far, b"x").await;
    let took = began.elapsed();
    assert!(took >= delay && took < delay * 2, "{took:?}");
    // A hundred chunks, 2 ms apart: late by one delay altogether, not by a hundred.
    let began = Instant::now();
    let writer = async {
        for i in 0..100u8 {
            near.write_all(&[i]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let reader = async {
        for i in 0..100u8 {
            assert_eq!(far.read_u8().await.unwrap(), i);
        }
    };
    tokio::join!(writer, reader);
    let took = began.elapsed();
    assert!(took >= delay && took < Duration::from_secs(2), "{took:?}");
    link.set(Mode::Open).await.unwrap();
}

#[tokio::test]
async fn a_delay_does_not_throttle() {
    let (link, node) = linked().await;
    let (mut near, mut far) = connect(&link, &node).await;
    link.set(Mode::Delay(Duration::from_millis(20))).await.unwrap();
    let bulk = vec![5u8; 16 << 20];
    let began = Instant::now();
    let mut got = vec![0; bulk.len()];
    let (sent, read) = tokio::join!(near.write_all(&bulk), far.read_exact(&mut got));
    sent.unwrap();
    read.unwrap();
    assert!(got == bulk);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_full_dark_link_holds_the_sender_back() {
    let (link, node) = linked().await;
    let (mut near, mut far) = connect(&link, &node).await;
    link.set(DARK).await.unwrap();
    let bulk = vec![9u8; 32 << 20];
    let mut sending = std::pin::pin!(near.write_all(&bulk));
    assert!(timeout(Duration::from_millis(300), &mut sending).await.is_err(), "the queue is bounded");
    link.set(Mode::Open).await.unwrap();
    let mut got = vec![0; bulk.len()];
    let (sent, read) = tokio::join!(sending, far.read_exact(&mut got));
    sent.unwrap();
    read.unwrap();
    assert!(got == bulk);
}

#[tokio::test]
async fn a_dead_node_shows_as_a_reset() {
    let (link, node) = linked().await;
    drop(node);
    let mut near = TcpStream::connect(link.addr()).await.unwrap();
    let end = timeout(SOON, near.read(&mut [0])).await.unwrap();
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn nothing_outlives_a_link() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let (link, node) = linked().await;
    let (mut near, mut far) = connect(&link, &node).await;
    link.set(DARK).await.unwrap();
    link.shutdown().await;
    assert_eq!(tasks(), before);
    for end in [&mut near, &mut far] {
        assert_eq!(end.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    let (link, node) = linked().await;
    let (mut near, _far) = connect(&link, &node).await;
    drop(link);
    assert!(timeout(SOON, near.read(&mut [0])).await.unwrap().is_err());
    let deadline = Instant::now() + SOON;
    while tasks() != before {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
}

/// Each observation, held against a link that did not do what was asked of it.
#[tokio::test]
async fn observations_can_fail() {
    let (link, _node) = linked().await;
    assert!(link.saw_delay(Duration::from_millis(50)).await.is_err());
    assert!(link.saw_refusal(None).await.is_err());
    let witness = Probe::open(link.addr(), &link.shared, Mode::Open).await.unwrap();
    assert!(link.saw_refusal(Some(witness)).await.is_err());
    for way in [Way::Both, Way::ToNode, Way::FromNode] {
        let witness = Probe::open(link.addr(), &link.shared, Mode::Open).await.unwrap();
        assert!(link.saw_darkness(way, Some(witness)).await.is_err());
        assert!(link.saw_darkness(way, None).await.is_err());
    }
    let witness = Probe::open(link.addr(), &link.shared, Mode::Open).await.unwrap();
    link.apply(DARK).await.unwrap();
    let dark = link.saw_darkness(Way::ToNode, Some(witness)).await;
    assert!(dark.is_err(), "darker than asked: {dark:?}");
    assert!(link.saw_open(Mode::Open).await.is_err());
    link.apply(Mode::Delay(Duration::from_millis(50))).await.unwrap();
    assert!(link.saw_open(Mode::Delay(Duration::from_millis(50))).await.is_err());
}

#[tokio::test]
async fn delays_that_nobody_could_see_or_wait_for_are_refused() {
    let (link, _node) = linked().await;
    for delay in [Duration::ZERO, Duration::from_micros(999), Duration::from_secs(61), Duration::MAX] {
        assert!(matches!(link.set(Mode::Delay(delay)).await, Err(LinkError::Delay { .. })));
    }
    assert_eq!(link.mode(), Mode::Open);
}

#[tokio::test]
async fn a_link_without_its_task_says_so() {
    let (link, _node) = linked().await;
    link.task.abort();
    let deadline = Instant::now() + SOON;
    while !link.task.is_finished() {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    assert!(matches!(link.set(Mode::Refuse).await, Err(LinkError::Gone { .. })));
}

async fn echo(at: TcpListener) {
    while let Ok((mut socket, _)) = at.accept().await {
        tokio::spawn(async move {
            let (mut from, mut to) = socket.split();
            tokio::io::copy(&mut from, &mut to).await
        });
    }
}

async fn sent_and_echoed(addr: SocketAddr, chunks: &[Vec<u8>]) -> Vec<u8> {
    let (mut from, mut to) = TcpStream::connect(addr).await.unwrap().into_split();
    let writer = async {
        for chunk in chunks {
            to.write_all(chunk).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let mut got = vec![0; chunks.iter().map(Vec::len).sum()];
    let (_, read) = tokio::join!(writer, from.read_exact(&mut got));
    read.unwrap();
    // Ending earlier would count as giving up if the link has been dark since the connection was made.
    to.shutdown().await.unwrap();
    from.read_to_end(&mut got).await.unwrap();
    got
}

fn modes() -> impl Strategy<Value = Vec<(Mode, u64)>> {
    let mode = prop_oneof![
        Just(Mode::Open),
        (0u64..8).prop_map(|ms| Mode::Delay(Duration::from_millis(ms))),
        Just(DARK),
        Just(Mode::Blackhole(Way::ToNode)),
        Just(Mode::Blackhole(Way::FromNode)),
    ];
    proptest::collection::vec((mode, 0u64..4), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_byte_is_lost_repeated_or_reordered(
        sizes in proptest::collection::vec(1usize..40_000, 1..60),
        switches in modes(),
        seed in any::<u8>(),
    ) {
        let mut next = seed;
        let chunks: Vec<Vec<u8>> = sizes
            .iter()
            .map(|&size| (0..size).map(|_| { next = next.wrapping_mul(5).wrapping_add(3); next }).collect())
            .collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let got = runtime.block_on(async {
            let node = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let link = Link::open(node.local_addr().unwrap()).unwrap();
            tokio::spawn(echo(node));
            let switching = async {
                for (mode, ms) in switches {
                    link.apply(mode).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
                link.apply(Mode::Open).await.unwrap();
            };
            let all = async { tokio::join!(switching, sent_and_echoed(link.addr(), &chunks)).1 };
            timeout(Duration::from_secs(20), all).await.expect("everything arrives")
        });
        prop_assert!(got == chunks.concat());
    }
}
