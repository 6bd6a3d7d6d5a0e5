//! Client and server: garbage, silence, restarts, many calls at once.

use super::*;
use crate::vectordb::{BuildEngine, CallError, Client, Server, State};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const LIMIT: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(200);

struct Node {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn node(config: Config) -> Node {
    let server = Server::bind(Engine::open(config).unwrap()).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    Node { addr: server.addr(), stop, task: tokio::spawn(server.run(async move { drop(stopped.await) })) }
}

impl Node {
    async fn end(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_over_the_wire() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(config(dir.path())).await;
    let client = Client::new(node.addr, LIMIT);
    client.ping().await.unwrap();
    for key in 0..20 {
        assert_eq!(client.put(record(key, 1)).await.unwrap(), key + 1);
    }
    assert_eq!(client.delete(3, 2).await.unwrap(), 21);
    let timeline = client.status().await.unwrap().point.timeline;
    let told = client.changes(Point { timeline, lsn: 19 }, 1).await.unwrap();
    assert_eq!((told.records, told.point.lsn, told.more), (vec![record(19, 1).at(20)], 20, true));
    let told = client.changes(told.point, 9).await.unwrap();
    assert_eq!(told.records, [super::super::Change { lsn: 21, key: 3, ver: 2, vector: None }]);
    assert_eq!((told.more, told.census.unwrap().live), (false, 19));
    assert_eq!(client.apply(told.records).await.unwrap().stored, 0);
    let other = client.changes(Point { timeline: !timeline, lsn: 0 }, 9).await.unwrap_err();
    assert!(other.is_definite() && matches!(other, CallError::Resync(_)), "{other}");
    assert_eq!(client.get(3).await.unwrap(), None);
    assert_eq!(client.get(4).await.unwrap(), Some(record(4, 1)));
    assert_eq!(client.flush().await.unwrap(), 21);
    assert_eq!(client.build_index(spec(), BuildEngine::Cpu).await.unwrap().records, 19);
    assert_eq!(client.search(record(5, 1).vector, 2).await.unwrap()[0].key, 5);
    let page = client.survivors(Some(4), 3).await.unwrap();
    assert_eq!(page.records, vec![record(5, 1), record(6, 1), record(7, 1)]);
    assert_eq!(page.next, Some(7));
    assert_eq!(client.rebuild_index(BuildEngine::Cpu).await.unwrap().lsn, 21);
    let status = client.reload().await.unwrap();
    assert_eq!((status.state, status.live, status.unindexed), (State::Healthy, 19, 0));
    let import = client.import_begin().await.unwrap();
    assert_eq!(client.import_page(import, vec![record(9, 9).at(1)]).await.unwrap(), 1);
    assert_eq!(client.import_commit(import, None).await.unwrap().live, 1);
    let short = Record { key: 1, ver: 1, vector: vec![1.0] };
    let refused = client.put(short).await.unwrap_err();
    assert!(refused.is_definite() && matches!(refused, CallError::Refused { .. }), "{refused}");
    node.end().await;
    assert_eq!(contents(&open(dir.path())).unwrap(), model([(9, 9)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_share_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(config(dir.path())).await;
    let client = Client::new(node.addr, LIMIT);
    let began = Instant::now();
    let writers = (0..64_u64).map(|writer| {
        let client = client.clone();
        tokio::spawn(async move {
            for round in 0..50 {
                client.put(record(writer * 1000 + round, 1)).await.unwrap();
            }
        })
    });
    futures::future::try_join_all(writers.collect::<Vec<_>>()).await.unwrap();
    let seconds = began.elapsed().as_secs_f64();
    let status = client.status().await.unwrap();
    println!("{:.0} acks/s, {} writes, {} syncs", 3200.0 / seconds, status.writes, status.fsyncs);
    assert_eq!((status.writes, status.live), (3200, 3200));
    assert!(status.fsyncs < 1600, "{} syncs", status.fsyncs);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_closes_its_connection_only() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(config(dir.path())).await;
    let client = Client::new(node.addr, LIMIT);
    client.put(record(1, 1)).await.unwrap();
    let frames: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 64],
        &[0, 0, 0, 0],
        &[0, 0, 0, 3, 1, 200, 7],
        &[0, 0, 0, 6, 1, 0, 0, 0, 0, 0],
    ];
    for frame in frames {
        let mut stream = TcpStream::connect(node.addr).await.unwrap();
        stream.write_all(frame).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await;
        // A reset is an end as well: the server left bytes unread.
        closed.unwrap_or_else(|_| panic!("{frame:?} left the connection open")).ok();
        assert!(rest.is_empty());
    }
    assert_eq!(client.get(1).await.unwrap(), Some(record(1, 1)));
    node.end().await;
}

/// A peer that treats every connection as `behave` says.
async fn peer<F>(behave: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(behave(stream));
        }
    });
    addr
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_answers_are_indefinite() {
    for garbage in [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &[0xff; 100], &[0, 0, 0, 2, 1, 99], &[0, 0, 0, 0], &[]] {
        let addr = peer(move |mut stream| async move {
            let mut first = [0; 8];
            stream.read_exact(&mut first).await.unwrap();
            stream.write_all(garbage).await.unwrap();
        })
        .await;
        let client = Client::new(addr, LIMIT);
        for _ in 0..2 {
            let error = client.put(record(1, 1)).await.unwrap_err();
            assert!(matches!(&error, CallError::Indefinite(why) if why.contains("broke")), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_another_question_is_indefinite() {
    let addr = peer(|mut stream| async move {
        let mut request = [0; 8];
        stream.read_exact(&mut request).await.unwrap();
        // The first call has id 1; variant 0 is the answer to a ping.
        stream.write_all(&[0, 0, 0, 2, 1, 0]).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let error = Client::new(addr, LIMIT).put(record(1, 1)).await.unwrap_err();
    assert!(matches!(&error, CallError::Indefinite(why) if why.contains("another question")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listening_is_definite() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let error = Client::new(addr, LIMIT).put(record(1, 1)).await.unwrap_err();
    assert!(matches!(error, CallError::NotSent(_)), "{error}");
    assert!(error.is_definite());
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_by_the_limit_and_poisons_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(config(dir.path())).await;
    let (first, to) = (Arc::new(std::sync::atomic::AtomicBool::new(true)), node.addr);
    // The first connection is a black hole, later ones lead to the node.
    let addr = peer(move |mut stream| {
        let hole = first.swap(false, std::sync::atomic::Ordering::Relaxed);
        async move {
            if hole {
                std::future::pending::<()>().await;
            }
            let mut node = TcpStream::connect(to).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut node).await;
        }
    })
    .await;
    let client = Client::new(addr, SHORT);
    let began = Instant::now();
    let error = client.put(record(1, 1)).await.unwrap_err();
    assert!(matches!(error, CallError::Indefinite(_)), "{error}");
    assert!((SHORT..SHORT * 5).contains(&began.elapsed()), "{:?}", began.elapsed());
    client.within(LIMIT).put(record(2, 1)).await.unwrap();
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_calls_leave_the_connection_good() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(config(dir.path())).await;
    let client = Client::new(node.addr, LIMIT);
    client.ping().await.unwrap();
    for key in 0..200_u64 {
        // Polled once and dropped, at whatever point that leaves it: on a busy machine the answer may be there already.
        let mut call = Box::pin(client.put(record(key, 1)));
        let _ = futures::poll!(call.as_mut());
        drop(call);
        assert_eq!(client.get(9999).await.unwrap(), None);
    }
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let first = node(config(dir.path())).await;
    let addr = first.addr;
    let client = Client::new(addr, LIMIT);
    client.put(record(1, 1)).await.unwrap();
    first.end().await;
    assert!(client.put(record(2, 1)).await.is_err());
    let second = node(Config { port: addr.port(), ..config(dir.path()) }).await;
    let deadline = Instant::now() + LIMIT;
    while client.put(record(3, 1)).await.is_err() {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(client.get(1).await.unwrap(), Some(record(1, 1)));
    second.end().await;
}

/// A peer that answers pings and nothing else, and counts its connections.
async fn picky() -> (SocketAddr, Arc<AtomicUsize>) {
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let addr = peer(move |mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut frame = [0; 4];
            while stream.read_exact(&mut frame).await.is_ok() {
                let mut body = vec![0; u32::from_be_bytes(frame) as usize];
                stream.read_exact(&mut body).await.unwrap();
                // Ids stay below 128, one byte each; variant 0 is a ping, and its answer.
                if body[1] == 0 {
                    stream.write_all(&[0, 0, 0, 2, body[0], 0]).await.unwrap();
                }
            }
        }
    })
    .await;
    (addr, made)
}

async fn abandon(client: &Client, calls: usize) {
    for _ in 0..calls {
        let mut call = Box::pin(client.get(1));
        // Not its first poll: connecting needs some.
        let waits = tokio::time::timeout(Duration::from_millis(2), call.as_mut());
        assert!(waits.await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_silence_spends_a_connection() {
    let (addr, made) = picky().await;
    let client = Client::new(addr, LIMIT);
    for _ in 0..4 {
        client.ping().await.unwrap();
        abandon(&client, 15).await;
    }
    client.ping().await.unwrap();
    assert_eq!(made.load(Ordering::SeqCst), 1);
    abandon(&client, 16).await;
    assert_eq!(made.load(Ordering::SeqCst), 1);
    client.ping().await.unwrap();
    assert_eq!(made.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_on_a_spent_connection_is_indefinite() {
    let (addr, made) = picky().await;
    let client = Client::new(addr, LIMIT);
    client.ping().await.unwrap();
    let write = tokio::spawn({
        let client = client.within(SHORT * 2);
        async move { client.put(record(1, 1)).await }
    });
    abandon(&client, 16).await;
    client.ping().await.unwrap();
    assert_eq!(made.load(Ordering::SeqCst), 2);
    let error = write.await.unwrap().unwrap_err();
    assert!(!error.is_definite(), "{error}");
}

/// The longer the silence, the more calls a connection has to collect: the queue of a frozen node's listener is finite.
#[tokio::test(flavor = "multi_thread")]
async fn silence_makes_few_connections() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let addr = peer(move |mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
    })
    .await;
    let client = Client::new(addr, LIMIT);
    for _ in 0..200 {
        let calls = futures::future::join_all((0..100).map(|_| client.ping()));
        assert!(tokio::time::timeout(Duration::from_millis(5), calls).await.is_err());
    }
    let made = made.load(Ordering::SeqCst);
    assert!((2..150).contains(&made), "{made} connections");
}
