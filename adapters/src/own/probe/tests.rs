//! Probes against servers that answer well, badly, without end, or not at all.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A server that gives the same answer to every request, and counts connections; the answer is followed by `more` MiB.
async fn server(answer: &'static str, more: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut buf = [0; 4096];
                while stream.read(&mut buf).await.is_ok_and(|n| n > 0) {
                    if answer.is_empty() {
                        continue;
                    }
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                    let mib = vec![b'x'; 1 << 20];
                    for _ in 0..more {
                        if stream.write_all(&mib).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    (address, connections)
}

fn asker(probe: &str) -> Asker {
    let stack = format!(
        "name = \"s\"\nlevel = \"staging\"\n[component]\nx = {{ product = \"command\" }}\n[service.ask]\nprobe = {probe}\n"
    );
    let stack = harness::own::stack(stack.as_bytes()).unwrap_or_else(|e| panic!("{e:?}"));
    Asker::new(&stack, "ask", &Arc::default(), Path::new("/"), "own-probe-test").unwrap()
}

async fn http(address: &str, rest: &str) -> Result<(), String> {
    let ask = format!("{{ timeout = \"2s\", http = {{ url = \"http://{address}/a?b=c\"{rest} }} }}");
    asker(&ask).ask().await
}

const JSON: &str = "HTTP/1.1 200 OK\r\ncontent-length: 35\r\n\r\n{\"hits\":[{\"id\":42,\"t\":\"a refund\"}]}";

#[tokio::test]
async fn an_answer_is_good_only_if_all_that_is_said_of_it_holds() {
    let (address, _) = server(JSON, 0).await;
    for (rest, bad) in [
        ("", None),
        (", status = 200", None),
        (", status = 201", Some("status 200")),
        (", json = \"/hits/0/id\", one_of = [\"41\", \"42\"]", None),
        (", json = \"/hits/0/id\", one_of = [\"41\"]", Some("it is not 41")),
        (", json = \"/hits/1/id\"", Some("nothing stands at /hits/1/id")),
        (", text = \"refund\"", None),
        (", text = \"invoice\"", Some("lacks the text")),
        (", method = \"POST\", body = \"{}\", headers = { accept = \"application/json\" }", None),
    ] {
        let answer = http(&address, rest).await;
        match bad {
            None => assert_eq!(answer, Ok(()), "{rest}"),
            Some(why) => assert!(answer.as_ref().is_err_and(|e| e.contains(why)), "{rest}: {answer:?}"),
        }
    }
}

#[tokio::test]
async fn redirects_are_the_answer_unless_they_are_followed() {
    let (there, _) = server(JSON, 0).await;
    let moved = format!("HTTP/1.1 302 Found\r\nlocation: http://{there}/\r\ncontent-length: 0\r\n\r\n");
    let (address, _) = server(Box::leak(moved.into_boxed_str()), 0).await;
    assert!(http(&address, "").await.unwrap_err().contains("status 302"));
    assert_eq!(http(&address, ", status = 302").await, Ok(()));
    assert_eq!(http(&address, ", redirects = true, json = \"/hits/0/id\", one_of = [\"42\"]").await, Ok(()));
    let (around, _) = server("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", 0).await;
    assert!(http(&around, ", redirects = true").await.is_err());
}

#[tokio::test]
async fn what_never_ends_or_never_comes_is_bad_in_time() {
    let began = Instant::now();
    // A gigabyte is announced; no more of it is read than is looked through.
    let (large, _) = server("HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n", 1024).await;
    assert!(http(&large, ", text = \"needle\"").await.unwrap_err().contains("larger than 1 MiB"));
    assert_eq!(http(&large, "").await, Ok(()), "its status was all that was asked");
    let (silent, _) = server("", 0).await;
    assert!(http(&silent, "").await.unwrap_err().contains("no answer within 2s"));
    let (garbage, _) = server("no server of HTTP\r\n\r\n", 0).await;
    assert!(http(&garbage, "").await.is_err());
    assert!(began.elapsed() < Duration::from_secs(15));
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert!(http(&closed.to_string(), "").await.unwrap_err().contains("refused"));
}

#[tokio::test]
async fn each_probe_makes_a_connection_of_its_own_unless_asked_otherwise() {
    let (address, connections) = server(JSON, 0).await;
    let ask = |rest: &str| {
        asker(&format!("{{ http = {{ url = \"http://{address}/\", text = \"refund\"{rest} }} }}"))
    };
    let (own, kept) = (ask(""), ask(", keep_connection = true"));
    for _ in 0..5 {
        own.ask().await.unwrap();
    }
    assert_eq!(connections.load(Ordering::Relaxed), 5);
    for _ in 0..5 {
        kept.ask().await.unwrap();
    }
    assert_eq!(connections.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn tcp_and_commands_are_asked_and_bounded() {
    let (address, _) = server("", 0).await;
    assert_eq!(asker(&format!("{{ tcp = {{ address = \"{address}\" }} }}")).ask().await, Ok(()));
    assert!(asker("{ tcp = { address = \"127.0.0.1:1\" } }").ask().await.is_err());
    let command = |script: &str, rest: &str| {
        asker(&format!(
            "{{ timeout = \"1s\", command = {{ run = [\"/bin/sh\", \"-c\", \"{script}\"]{rest} }} }}"
        ))
    };
    assert_eq!(command("echo it is well", ", text = \"well\"").ask().await, Ok(()));
    assert!(command("echo it is ill", ", text = \"well\"").ask().await.unwrap_err().contains("lacks"));
    assert!(command("exit 3", "").ask().await.unwrap_err().contains("exit code 3"));
    assert!(command("sleep 1000", "").ask().await.is_err());
    assert!(command("yes", "").ask().await.is_err());
    // Killed, and gone as soon as the kernel has reaped them.
    let began = Instant::now();
    while !crate::local::sweep::find("own-probe-test").unwrap().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_number_of_prometheus_is_held_against_both_limits() {
    let answer = |body: &str| -> &'static str {
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        Box::leak(text.into_boxed_str())
    };
    let vector = |samples: &str| {
        format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":[{samples}]}}}}")
    };
    let one = vector("{\"metric\":{},\"value\":[1,\"0.25\"]}");
    let two = vector("{\"value\":[1,\"0.25\"]},{\"value\":[1,\"3\"]}");
    for (body, rest, good) in [
        (one.as_str(), "at_most = 0.5", true),
        (&one, "at_least = 0.5", false),
        (&one, "at_least = 0.1, at_most = 0.2", false),
        (&vector(""), "at_most = 1", false),
        (&two, "at_most = 9", false),
        (&vector("{\"value\":[1,\"NaN\"]}"), "at_most = 9", false),
        ("{\"status\":\"error\",\"error\":\"parse error\"}", "at_most = 9", false),
        (
            "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"2\"]}}",
            "at_most = 2",
            true,
        ),
        ("<html>", "at_most = 9", false),
    ] {
        let (address, _) = server(answer(body), 0).await;
        let ask = format!("{{ promql = {{ url = \"http://{address}\", query = \"up == 1\", {rest} }} }}");
        let answered = asker(&ask).ask().await;
        assert_eq!(answered.is_ok(), good, "{body} {rest}: {answered:?}");
    }
}

/// Each question in its time, whatever becomes of the one before; and an outage is as long as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_waits_for_no_answer() {
    let (silent, _) = server("", 0).await;
    let asker = asker(&format!(
        "{{ every = \"20ms\", timeout = \"300ms\", http = {{ url = \"http://{silent}/\" }} }}"
    ));
    let clock = Clock::real();
    let mut asked: Vec<Answer> = Vec::new();
    drop(asker.watch(clock, |answer| asked.push(answer), |bad_us, _| bad_us >= 1_000_000).await);
    assert!(asked.len() >= 25, "{} questions in a second and more", asked.len());
    assert!(asked.iter().all(|a| a.bad.is_some() && a.done_us - a.sent_us < 2_000_000));
    let mut due: Vec<u64> = asked.iter().map(|a| a.due_us).collect();
    due.sort_unstable();
    assert!(due.windows(2).all(|w| w[1] - w[0] == 20_000), "{due:?}");
}

/// A gRPC server of the health protocol: the service `search` is of this health, and of others it knows nothing.
#[derive(Clone)]
struct Health(i32);

impl tonic::server::NamedService for Health {
    const NAME: &'static str = "grpc.health.v1.Health";
}

impl tonic::server::UnaryService<grpc::HealthCheckRequest> for Health {
    type Response = grpc::HealthCheckResponse;
    type Future = std::future::Ready<Result<tonic::Response<Self::Response>, tonic::Status>>;

    fn call(&mut self, ask: tonic::Request<grpc::HealthCheckRequest>) -> Self::Future {
        std::future::ready(match ask.into_inner().service.as_str() {
            "" | "search" => Ok(tonic::Response::new(grpc::HealthCheckResponse { status: self.0 })),
            _ => Err(tonic::Status::not_found("unknown service")),
        })
    }
}

impl tonic::codegen::Service<tonic::codegen::http::Request<tonic::body::Body>> for Health {
    type Response = tonic::codegen::http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = tonic::codegen::BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), std::convert::Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, ask: tonic::codegen::http::Request<tonic::body::Body>) -> Self::Future {
        let health = self.clone();
        let codec =
            tonic::codec::ProstCodec::<grpc::HealthCheckResponse, grpc::HealthCheckRequest>::default();
        Box::pin(async move { Ok(tonic::server::Grpc::new(codec).unary(health, ask).await) })
    }
}

async fn grpc_server(health: i32) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tokio::spawn(
        tonic::transport::Server::builder().add_service(Health(health)).serve_with_incoming(incoming),
    );
    address
}

async fn health(address: &str, rest: &str) -> Result<(), String> {
    let ask = format!("{{ timeout = \"1s\", grpc_health = {{ url = \"http://{address}\"{rest} }} }}");
    asker(&ask).ask().await
}

#[tokio::test]
async fn a_grpc_server_is_healthy_only_if_it_says_so() {
    let (good, bad, odd) = (grpc_server(1).await, grpc_server(2).await, grpc_server(0).await);
    assert_eq!(health(&good, "").await, Ok(()));
    assert_eq!(health(&good, ", service = \"search\"").await, Ok(()));
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let (silent, _) = server("", 0).await;
    let (http, _) = server(JSON, 0).await;
    let table = [
        (&good, ", service = \"other\"", "knows no service `other`"),
        (&bad, "", "NOT_SERVING"),
        (&odd, "", "health is unknown"),
        (&silent, "", "no answer within 1s"),
        (&http, "", ""),
        (&closed, "", "refused"),
    ];
    let began = Instant::now();
    for (address, rest, why) in table {
        let answer = health(address, rest).await;
        assert!(answer.as_ref().is_err_and(|e| !e.is_empty() && e.contains(why)), "{why}: {answer:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(10));
    // A server of gRPC that knows nothing of health.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let nothing = tonic::service::Routes::default();
    tokio::spawn(tonic::transport::Server::builder().add_routes(nothing).serve_with_incoming(incoming));
    assert!(health(&address, "").await.unwrap_err().contains("does not speak grpc.health.v1"));
}
