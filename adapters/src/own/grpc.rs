//! Connections to gRPC servers: each made anew, over TLS by the same certificates as elsewhere, and the standard question whether
//! a server is healthy.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// Bytes that may be under way in one answer: with HTTP/2's own 64 KiB a large page would come in by drops.
const WINDOW: u32 = 8 << 20;

/// A server's address, and whom to believe there.
#[derive(Clone)]
pub(super) struct Address {
    endpoint: Endpoint,
    tls: Option<Tls>,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address").field("uri", self.endpoint.uri()).finish_non_exhaustive()
    }
}

/// Why no connection was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreached {
    /// Nobody listens there.
    pub(super) refused: bool,
    /// In words.
    pub(super) why: String,
}

impl Address {
    /// Of `http://host:port` or `https://host:port`.
    ///
    /// # Errors
    /// If it is no address, or there is no certificate to check the server's against.
    pub(super) fn new(url: &str, ca_file: Option<&Path>) -> Result<Address, String> {
        let wrong = |e: &dyn std::fmt::Display| format!("`{url}` is no address of a gRPC server: {e}");
        let uri: Uri = url.parse().map_err(|e| wrong(&e))?;
        let host = uri.host().ok_or_else(|| wrong(&"it names no host"))?;
        if !matches!(uri.path(), "" | "/") {
            return Err(wrong(&"a path stands in it"));
        }
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        // The transport sees a plain address: TLS is made by our connector, with our certificates.
        let plain = format!("http://{host}:{port}");
        let endpoint = Endpoint::from_shared(plain).map_err(|e| wrong(&e))?;
        let mut endpoint = endpoint
            .tcp_nodelay(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        let mut tls = None;
        if secure {
            endpoint = endpoint.origin(uri.clone());
            let mut config = (*super::tls::config(ca_file)?).clone();
            config.alpn_protocols = vec![b"h2".to_vec()];
            let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let name = ServerName::try_from(bare.clone()).map_err(|e| wrong(&e))?;
            tls = Some(Tls {
                connector: TlsConnector::from(std::sync::Arc::new(config)),
                name,
                host: bare,
                port,
            });
        }
        Ok(Address { endpoint, tls })
    }

    /// A connection of its own, made now.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn connect(&self, limit: Duration) -> Result<Channel, Unreached> {
        let endpoint = self.endpoint.clone().connect_timeout(limit);
        let connect = async {
            match &self.tls {
                None => endpoint.connect().await,
                Some(tls) => endpoint.connect_with_connector(tls.clone()).await,
            }
        };
        match tokio::time::timeout(limit, connect).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(e)) => Err(unreached(&e)),
            Err(_) => Err(Unreached { refused: false, why: format!("no connection within {limit:?}") }),
        }
    }
}

fn unreached(e: &tonic::transport::Error) -> Unreached {
    let mut refused = false;
    let mut cause: Option<&dyn std::error::Error> = Some(e);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        refused |= io.is_some_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused);
        cause = error.source();
    }
    Unreached { refused, why: causes(e) }
}

/// All causes of an error, each once.
pub(super) fn causes(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(cause) = source {
        let why = cause.to_string();
        if !text.contains(&why) {
            text = format!("{text}: {why}");
        }
        source = cause.source();
    }
    text
}

/// Makes TLS connections.
#[derive(Clone)]
struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
    host: String,
    port: u16,
}

type Io = TokioIo<TlsStream<TcpStream>>;

impl Service<Uri> for Tls {
    type Response = Io;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Io>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Tls { connector, name, host, port } = self.clone();
        Box::pin(async move {
            let tcp = TcpStream::connect((host, port)).await?;
            tcp.set_nodelay(true)?;
            let stream = connector.connect(name, tcp).await?;
            match stream.get_ref().1.alpn_protocol() {
                None | Some(b"h2") => Ok(TokioIo::new(stream)),
                Some(_) => Err(std::io::Error::other("it does not speak HTTP/2, which gRPC needs")),
            }
        })
    }
}

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    pub(super) service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthCheckResponse {
    /// `UNKNOWN`, `SERVING`, `NOT_SERVING`, `SERVICE_UNKNOWN`.
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

/// Whether a server calls a service healthy; itself, if none is named.
///
/// # Errors
/// Why it is not.
pub(super) async fn health(address: &Address, service: &str, limit: Duration) -> Result<(), String> {
    let channel = address.connect(limit).await.map_err(|e| e.why)?;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|e| causes(&e))?;
    let codec = tonic::codec::ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    let ask = tonic::Request::new(HealthCheckRequest { service: service.to_owned() });
    let answer = client.unary(ask, path, codec).await.map_err(|status| said(&status, service))?;
    match answer.into_inner().status {
        1 => Ok(()),
        2 => Err("it says NOT_SERVING".into()),
        3 => Err(format!("it says SERVICE_UNKNOWN: it knows no service `{service}`")),
        other => Err(format!("it says that its health is unknown ({other})")),
    }
}

/// An error of a call, in words.
fn said(status: &Status, service: &str) -> String {
    match status.code() {
        Code::NotFound => format!("it knows no service `{service}`"),
        Code::Unimplemented => {
            format!("it does not speak grpc.health.v1, or is no gRPC server: {}", status.message())
        }
        code => {
            let more = std::error::Error::source(status).map(|e| format!(": {}", causes(e)));
            format!("{code:?}: {}{}", status.message(), more.unwrap_or_default())
        }
    }
}
