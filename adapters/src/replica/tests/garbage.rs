//! What is no frame of this protocol closes its connection and nothing more.

use super::super::wire::{Answer, Ask, Changes, MAX_FRAME, Position, Request, decode, encode};
use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_closes_its_connection_only() {
    let [east, _west] = sites(Mode::Async, Role::Standby);
    let node = east.start().await;
    let addr = node.replica.addr();
    let promote = encode(&Request::Promote { epoch: 9, mode: None }).unwrap();
    let mut foreign = promote.to_vec();
    foreign[0] ^= 1;
    let too_long = u32::try_from(MAX_FRAME + 1).unwrap().to_be_bytes().to_vec();
    let trailing = [promote.as_ref(), b"x"].concat();
    for garbage in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        framed(b"\xff\xff\xff"),
        framed(&foreign),
        framed(&trailing),
        too_long,
    ] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(&garbage).await.unwrap();
        let mut rest = Vec::new();
        let read = tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await.expect("closed in time");
        assert!(read.is_err() || rest.is_empty(), "{rest:?}");
    }
    let status = node.client.status().await.unwrap();
    assert_eq!((status.role, status.epoch), (Role::Primary, 1));
}

/// A source that answers nonsense, or nothing, does a standby no harm, and is asked again.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_survives_a_source_of_garbage() {
    let liar = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let [_east, mut west] = sites(Mode::Async, Role::Standby);
    west.config.follow = Some(liar.local_addr().unwrap());
    let standby = west.start().await;
    standby.toy.put(1, 1);
    let lie = |from, upto, ops: &[&'static [u8]]| {
        let ops = ops.iter().map(|op| Bytes::from_static(op)).collect();
        let changes =
            Changes { epoch: 1, role: Role::Primary, timeline: 3, from, ops, upto, more: false, head: 9 };
        framed(&encode(&Answer::Changes(changes)).unwrap())
    };
    let answers = [
        Vec::new(),
        framed(b"no"),
        lie(5, 9, &[]),
        lie(0, 10, &[]),
        lie(0, 9, &[b"not an op"]),
        framed(&[0xff; 100]),
    ];
    for answer in answers {
        let (mut stream, _) = tokio::time::timeout(LIMIT, liar.accept()).await.expect("asked again").unwrap();
        let mut question = [0; 4];
        stream.read_exact(&mut question).await.unwrap();
        stream.write_all(&answer).await.unwrap();
    }
    let status =
        standby.until("in trouble", |s| s.following.as_ref().is_some_and(|f| f.error.is_some())).await;
    assert_eq!(status.following.unwrap().upto, Position::default());
    assert_eq!(standby.toy.contents().len(), 1);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), magic: bool) {
        let mut frame = if magic { encode(&()).unwrap().to_vec() } else { Vec::new() };
        frame.extend(bytes);
        let _ = (decode::<Request>(&frame), decode::<Answer>(&frame));
    }

    #[test]
    fn messages_survive_their_bytes(
        ops in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20),
        numbers: [u64; 5],
        cut: prop::sample::Index,
    ) {
        let [epoch, timeline, from, upto, head] = numbers;
        let ops = ops.into_iter().map(Bytes::from).collect();
        let answer =
            Answer::Changes(Changes { epoch, role: Role::Standby, timeline, from, ops, upto, more: true, head });
        let bytes = encode(&answer).unwrap();
        prop_assert_eq!(decode::<Answer>(&bytes).unwrap(), answer);
        prop_assert!(decode::<Answer>(&bytes[..cut.index(bytes.len())]).is_err());
        let since = Position { timeline, lsn: from };
        let ask = Request::Changes(Ask { epoch, since, limit: 7, wait_ms: 9, follower: head });
        prop_assert_eq!(decode::<Request>(&encode(&ask).unwrap()).unwrap(), ask);
    }
}
