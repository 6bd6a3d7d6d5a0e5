//! The contract between client and server, and what the client makes of servers that break it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Keys, S3, S3Error, Server, ServerConfig};

fn keys() -> Keys {
    Keys::new("gameday", "not-a-secret")
}

/// A real server on a free port, over `data`; it stops when the guard is dropped.
async fn start(data: &Path) -> (SocketAddr, DropGuard) {
    let config =
        ServerConfig { port: 0, data: data.to_owned(), keys: keys(), lifeline: false, replica: None };
    let server = Server::bind(config).await.unwrap();
    let addr = server.addr();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(server.run(async move { stopped.cancelled().await }));
    (addr, stop.drop_guard())
}

fn client(addr: SocketAddr) -> S3 {
    S3::new(&format!("http://{addr}"), "drill", &keys()).unwrap()
}

async fn node() -> (tempfile::TempDir, S3, DropGuard) {
    let dir = tempfile::tempdir().unwrap();
    let (addr, guard) = start(dir.path()).await;
    let s3 = client(addr);
    s3.create_bucket().await.unwrap();
    (dir, s3, guard)
}

#[tokio::test]
async fn what_was_put_is_got_listed_and_deleted() {
    let (_dir, s3, _guard) = node().await;
    s3.create_bucket().await.expect("a bucket of ours may be made twice");
    assert_eq!(s3.get("a/b").await.unwrap(), None);
    assert_eq!(s3.head("a/b").await.unwrap(), None);
    let tag = s3.put("a/b", "hello").await.unwrap();
    assert_eq!(s3.get("a/b").await.unwrap().unwrap(), "hello");
    let head = s3.head("a/b").await.unwrap().unwrap();
    assert_eq!((head.size, head.etag), (5, tag.clone()));
    assert_ne!(s3.put("a/b", "other").await.unwrap(), tag);
    assert_eq!(s3.get("a/b").await.unwrap().unwrap(), "other");
    assert_eq!(s3.list("a/", None).await.unwrap().objects.len(), 1);
    s3.delete("a/b").await.unwrap();
    s3.delete("a/b").await.expect("deleting twice is fine");
    assert_eq!(s3.get("a/b").await.unwrap(), None);
    assert!(s3.list("", None).await.unwrap().objects.is_empty());
    s3.put("empty", Bytes::new()).await.unwrap();
    assert_eq!(s3.get("empty").await.unwrap().unwrap(), Bytes::new());
}

#[tokio::test]
async fn odd_keys_survive_the_journey() {
    let (_dir, s3, _guard) = node().await;
    let odd = ["a b", "a+b", "a%2Bb", "a&b=c?d#e", "umlaut-ä-雪", "quote'\"<>", "x/y.z/~"];
    for key in odd {
        s3.put(key, key.to_owned()).await.unwrap();
    }
    for key in odd {
        assert_eq!(s3.get(key).await.unwrap().unwrap(), key.as_bytes(), "{key}");
    }
    let mut sorted = odd.to_vec();
    sorted.sort_unstable();
    let listed = s3.list_all("", 100).await.unwrap();
    assert_eq!(listed.iter().map(|o| o.key.as_str()).collect::<Vec<_>>(), sorted);
    for key in ["", "/a", "a//b", "a/../b", "..", "a/", "nul\0"] {
        assert!(matches!(s3.put(key, "x").await, Err(S3Error::Key { .. })), "{key:?}");
    }
}

#[tokio::test]
async fn a_folder_is_no_object() {
    let (_dir, s3, _guard) = node().await;
    s3.put("a/b", "x").await.unwrap();
    assert_eq!(s3.get("a").await.unwrap(), None);
    assert_eq!(s3.get("a/b/c").await.unwrap(), None);
    s3.delete("a").await.unwrap();
    assert_eq!(s3.get("a/b").await.unwrap().unwrap(), "x");
}

#[tokio::test]
async fn long_listings_come_in_pages() {
    let (dir, s3, _guard) = node().await;
    for i in 0..2_345 {
        std::fs::write(dir.path().join("drill").join(format!("k{i:05}")), "x").unwrap();
    }
    let first = s3.list("k", None).await.unwrap();
    assert_eq!((first.objects.len(), first.more), (1000, true));
    let all = s3.list_all("k", 10_000).await.unwrap();
    assert_eq!(all.len(), 2_345);
    assert_eq!(s3.list("k0234", Some("k02343")).await.unwrap().objects.len(), 1);
    assert!(matches!(s3.list_all("", 2_000).await, Err(S3Error::TooLarge { .. })));
}

#[tokio::test]
async fn large_objects_pass_and_the_limit_holds() {
    let (_dir, s3, _guard) = node().await;
    let large = Bytes::from(vec![7u8; 20 << 20]);
    s3.put("large", large.clone()).await.unwrap();
    assert_eq!(s3.get("large").await.unwrap().unwrap(), large);
    let strict = s3.max_object(1 << 20);
    assert!(matches!(strict.get("large").await, Err(S3Error::TooLarge { .. })));
}

#[tokio::test]
async fn a_restarted_server_has_what_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (addr, guard) = start(dir.path()).await;
    client(addr).create_bucket().await.unwrap();
    client(addr).put("k", "kept").await.unwrap();
    drop(guard);
    let (addr, _guard) = start(dir.path()).await;
    assert_eq!(client(addr).get("k").await.unwrap().unwrap(), "kept");
}

#[tokio::test]
async fn wrong_keys_and_missing_buckets_are_definite_refusals() {
    let dir = tempfile::tempdir().unwrap();
    let (addr, _guard) = start(dir.path()).await;
    client(addr).create_bucket().await.unwrap();
    let intruder = S3::new(&format!("http://{addr}"), "drill", &Keys::new("gameday", "guess")).unwrap();
    let refused = intruder.put("k", "x").await.unwrap_err();
    assert!(refused.definite() && matches!(refused, S3Error::Refused { status: 403, .. }), "{refused}");
    let elsewhere = S3::new(&format!("http://{addr}"), "wiped", &keys()).unwrap();
    let refused = elsewhere.put("k", "x").await.unwrap_err();
    assert!(refused.definite(), "{refused}");
    assert_eq!(elsewhere.get("k").await.unwrap(), None);
}

#[tokio::test]
async fn damaged_files_are_served_as_they_are_and_links_are_not_followed() {
    let (dir, s3, _guard) = node().await;
    s3.put("k", "whole").await.unwrap();
    let path = dir.path().join("drill/k");
    std::fs::write(&path, "ho").unwrap();
    assert_eq!(s3.get("k").await.unwrap().unwrap(), "ho", "the reader's checksum has to notice");
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(outside.path(), &path).unwrap();
    assert_eq!(s3.get("k").await.unwrap(), None);
}

#[tokio::test]
async fn nobody_listening_is_definite() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = client(free).put("k", "x").await.unwrap_err();
    assert!(matches!(error, S3Error::Connect { .. }) && error.definite(), "{error}");
    assert!(!error.to_string().contains("X-Amz"), "no signature in messages: {error}");
}

/// A server that treats each connection with `answer` after it has read the head of a request.
async fn rogue<F, Fut>(answer: F) -> S3
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.windows(4).any(|w| w == b"\r\n\r\n") {
                if socket.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            tokio::spawn(answer(socket));
        }
    });
    client(addr).within(Duration::from_secs(5))
}

async fn says(answer: &'static [u8]) -> S3 {
    rogue(move |mut socket| async move {
        let _ = socket.write_all(answer).await;
    })
    .await
}

#[tokio::test]
async fn garbage_is_never_an_answer() {
    let rubbish: &[&[u8]] = &[
        b"",
        b"\0\xff\xfe garbage",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot here!",
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 36\r\n\r\n<Error><Code>RequestTimeout</Code>!!!",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 Busy\r\nContent-Length: 41\r\n\r\n<Error><Code>SlowDownWrite</Code></Error>",
        b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ];
    for answer in rubbish {
        let s3 = says(answer).await;
        let shown = String::from_utf8_lossy(answer);
        let put = s3.put("k", "x").await.expect_err(&shown);
        assert!(!put.definite(), "{shown}: {put}");
        s3.get("k").await.expect_err(&shown);
        if !answer.starts_with(b"HTTP/1.1 204") {
            s3.delete("k").await.expect_err(&shown);
        }
        s3.list("", None).await.expect_err(&shown);
    }
}

#[tokio::test]
async fn slow_down_is_a_definite_refusal() {
    let s3 =
        says(b"HTTP/1.1 503 Busy\r\nContent-Length: 36\r\n\r\n<Error><Code>SlowDown</Code></Error>").await;
    assert!(s3.put("k", "x").await.unwrap_err().definite());
}

#[tokio::test]
async fn bodies_cut_short_or_without_a_length_are_errors() {
    let cut = says(b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 10\r\n\r\nabc").await;
    assert!(matches!(cut.get("k").await, Err(S3Error::Broken { .. })));
    let open = says(b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nConnection: close\r\n\r\nabc").await;
    assert!(matches!(open.get("k").await, Err(S3Error::Protocol { .. })));
}

#[tokio::test]
async fn endless_answers_are_bounded() {
    let s3 = rogue(|mut socket| async move {
        let head = b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 99999999999\r\n\r\n";
        let _ = socket.write_all(head).await;
        while socket.write_all(&[0; 65536]).await.is_ok() {}
    })
    .await;
    assert!(matches!(s3.get("k").await, Err(S3Error::TooLarge { .. })));
    let s3 = rogue(|mut socket| async move {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let _ = socket.write_all(head).await;
        let chunk = [b"10000\r\n".as_slice(), &[b'x'; 65536], b"\r\n"].concat();
        while socket.write_all(&chunk).await.is_ok() {}
    })
    .await;
    assert!(matches!(s3.list("", None).await, Err(S3Error::TooLarge { .. })));
}

#[tokio::test]
async fn a_server_that_hangs_is_left_at_the_limit() {
    let limit = Duration::from_millis(200);
    let silent = rogue(|socket| async move {
        std::future::pending::<()>().await;
        drop(socket);
    })
    .await
    .within(limit);
    let dripping = rogue(|mut socket| async move {
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 1000\r\n\r\n").await;
        while socket.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .within(limit);
    for s3 in [silent, dripping] {
        let began = Instant::now();
        let error = s3.get("k").await.unwrap_err();
        assert!(matches!(error, S3Error::Timeout { .. }) && !error.definite(), "{error}");
        assert!(began.elapsed() >= limit && began.elapsed() < limit * 5, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_reset_after_the_request_is_indefinite() {
    let s3 = rogue(|socket| async move {
        let _ = socket.set_zero_linger();
    })
    .await;
    let error = s3.put("k", Bytes::from(vec![1; 1 << 20])).await.unwrap_err();
    assert!(!error.definite(), "{error}");
}

/// The same client, before, while and after its server is away: no call is poisoned by an older connection.
#[tokio::test]
async fn a_client_outlives_its_server() {
    let dir = tempfile::tempdir().unwrap();
    let (addr, guard) = start(dir.path()).await;
    let s3 = client(addr);
    s3.create_bucket().await.unwrap();
    s3.put("k", "1").await.unwrap();
    drop(guard);
    let deadline = Instant::now() + Duration::from_secs(5);
    let error = loop {
        match s3.put("k", "2").await {
            Err(error) => break error,
            Ok(_) => assert!(Instant::now() < deadline, "the server never went away"),
        }
    };
    assert!(error.definite(), "{error}");
    let config = ServerConfig {
        port: addr.port(),
        data: dir.path().to_owned(),
        keys: keys(),
        lifeline: false,
        replica: None,
    };
    let server = Server::bind(config).await.unwrap();
    tokio::spawn(server.run(std::future::pending()));
    s3.put("k", "3").await.unwrap();
    assert_eq!(s3.get("k").await.unwrap().unwrap(), "3");
}

#[tokio::test]
async fn strangers_are_listed_and_hide_nothing() {
    use super::{ObjectSystem, name_of};
    use harness::ports::{Page, Reading, System as _, Write};
    let (dir, s3, _guard) = node().await;
    let system = ObjectSystem::new(s3.clone(), crate::trials::corpus(1));
    for key in 0..5 {
        system.write(Write { key, ver: 0, delete: false }).await.unwrap();
    }
    let before = system.inventory().await.unwrap().unwrap();
    assert_eq!(system.survivors(None, 10).await.unwrap().next, None);
    for stranger in ["!a", "00000000000000000001x", "99999999999999999999", "x/y.bin"] {
        s3.put(stranger, "x").await.unwrap();
    }
    s3.delete(&name_of(3)).await.unwrap();
    for limit in [1, 2, 1000] {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let Page { items, next } = system.survivors(after, limit).await.unwrap();
            all.extend(items);
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let keys: Vec<u64> = all.iter().filter(|(_, r)| *r == Reading::Ver(0)).map(|(key, _)| *key).collect();
        assert_eq!(keys, [0, 1, 2, 4]);
        assert_eq!(all.iter().filter(|(_, r)| *r == Reading::Corrupt).count(), 4, "{all:?}");
    }
    std::fs::create_dir(dir.path().join("loot")).unwrap();
    let after = system.inventory().await.unwrap().unwrap();
    assert_eq!((before.get("bucket drill"), before.get("bucket loot")), (Some(""), None));
    assert_eq!(after.get("bucket loot"), Some(""));
    assert!(after.get("stranger \"x/y.bin\" in bucket drill").is_some(), "{after:?}");
    assert_eq!(after.len(), before.len() + 5, "{after:?}");
}
