//! Questions that anybody can write: what is asked of a service, and which answer is a good one.
//!
//! Exactly one kind of question stands in a probe. Each is asked on a connection of its own, and a late answer is a bad one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Dur;

/// A question on a schedule.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// How often.
    #[serde(default = "default_every")]
    pub every: Dur,
    /// After this, the answer is a bad one.
    #[serde(default = "default_timeout")]
    pub timeout: Dur,
    /// Ask an HTTP server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,
    /// Connect, and no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Tcp>,
    /// Run a command: good if it returns 0 and prints what is expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Run>,
    /// Ask a component of product `postgres`; the first value of the first row is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<Sql>,
    /// Read an object of a component of product `s3`, whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
    /// Search a collection of a component of product `milvus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// Ask a gRPC server by the standard protocol (`grpc.health.v1.Health/Check`): good if it says SERVING.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc_health: Option<GrpcHealth>,
    /// Ask a Prometheus: its answer is one number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promql: Option<PromQl>,
}

fn default_every() -> Dur {
    Dur::from_millis(500)
}

fn default_timeout() -> Dur {
    Dur::from_secs(2)
}

/// An HTTP request, and what makes its answer a good one: everything that is given must hold.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// `http://` or `https://`.
    pub url: String,
    /// The method.
    #[serde(default = "default_method")]
    pub method: String,
    /// Headers; `$NAME` in a value stands for the variable NAME, and is a secret: `"Bearer $TOKEN"`.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub headers: std::collections::BTreeMap<String, String>,
    /// The body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The status; any of 200 to 299 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// A JSON pointer (RFC 6901), such as `/hits/0/id`, into the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<String>,
    /// What stands there, as text, is one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// This text stands in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Follow redirects, at most ten; without it a redirect is the answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redirects: bool,
    /// A file with the certificates (PEM) by which the server is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Keep the connection from one probe to the next; otherwise each makes its own, as a new user would.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_connection: bool,
}

fn default_method() -> String {
    "GET".into()
}

impl Http {
    /// A plain request of an address.
    pub fn plain(url: &str) -> Http {
        Http {
            url: url.to_owned(),
            method: default_method(),
            headers: std::collections::BTreeMap::new(),
            body: None,
            status: None,
            json: None,
            one_of: Vec::new(),
            text: None,
            redirects: false,
            ca_file: None,
            keep_connection: false,
        }
    }
}

/// A TCP connection.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tcp {
    /// `host:port`.
    pub address: String,
}

/// A command as a question.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The program and its arguments, run in the folder of the stack file.
    pub run: Vec<String>,
    /// Variables that it is given, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// This text stands in what it prints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A query as a question.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sql {
    /// Which component is asked.
    pub component: String,
    /// The query, read only.
    pub query: String,
    /// The first value of the first row, as text, is one of these; any row at all if none is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
}

/// An object as a question.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    /// Which component is asked.
    pub component: String,
    /// The object's key.
    pub key: String,
    /// Its SHA-256, in lower-case hexadecimal; any bytes if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A search as a question: good if the best hit is one of those that are named, or if anything is found where none is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Which component is asked.
    pub component: String,
    /// The collection; it has to be loaded.
    pub collection: String,
    /// The field of vectors; the collection's only one if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anns_field: Option<String>,
    /// The vector whose nearest are looked for: one of floats.
    pub vector: Vec<f32>,
    /// How many are looked for.
    #[serde(default = "default_k")]
    pub k: u32,
    /// The primary key of the best hit, as text, is one of these; any hit at all if none is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
}

fn default_k() -> u32 {
    10
}

/// A question of the gRPC health checking protocol.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcHealth {
    /// `http://host:port` (no TLS) or `https://host:port`.
    pub url: String,
    /// The service that is asked about; the server as a whole if it is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// A file with the certificates (PEM) by which the server is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
}

/// A query to a Prometheus, or whatever speaks its HTTP interface. No sample is a bad answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PromQl {
    /// Its address, such as `http://127.0.0.1:9090`.
    pub url: String,
    /// The query; it must give one sample.
    pub query: String,
    /// The answer is at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// The answer is at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// A file with the certificates (PEM) by which the server is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
}

impl Probe {
    /// The kinds of question that stand in it.
    pub fn kinds(&self) -> Vec<&'static str> {
        let all = [
            ("http", self.http.is_some()),
            ("tcp", self.tcp.is_some()),
            ("command", self.command.is_some()),
            ("sql", self.sql.is_some()),
            ("s3", self.s3.is_some()),
            ("search", self.search.is_some()),
            ("grpc_health", self.grpc_health.is_some()),
            ("promql", self.promql.is_some()),
        ];
        all.into_iter().filter_map(|(word, there)| there.then_some(word)).collect()
    }
}
