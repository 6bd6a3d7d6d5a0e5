//! `stack.toml`: what a person says once about a stack that gameday did not launch.
//!
//! Plain types. A secret is the name of a variable of the environment, never a value, so that the file can be kept where
//! everybody reads it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ask::Probe;
use crate::{
    ports::CountsAs,
    scenario::Priority,
    time::{Dur, Rate},
};

/// A stack.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stack {
    /// Its name: said on the command line as well (`--stack NAME`) before anything is run on it.
    #[schemars(example = &"shop_staging")]
    pub name: String,
    /// What a verdict about it counts as. Nobody but its owner knows, so it is signed with each run.
    pub level: Level,
    /// What runs it. `endpoints`: addresses alone.
    #[serde(default)]
    pub engine: Engine,
    /// What a drill may touch.
    #[serde(default)]
    pub allow: Allow,
    /// Probes that forbid the start, or end the run.
    #[serde(default)]
    pub alarm: Alarm,
    /// What it consists of, by name.
    #[schemars(example = serde_json::json!({ "db": { "product": "postgres", "dsn_env": "DB_DSN" } }))]
    pub component: BTreeMap<String, Component>,
    /// What users notice, by name.
    #[serde(default)]
    pub service: BTreeMap<String, Service>,
    /// Records of gameday's own in the stores of components, by the component's name. RPO is counted on them.
    #[serde(default)]
    pub canary: BTreeMap<String, Canary>,
    /// Data of users that must come back, by name.
    #[serde(default)]
    pub witness: BTreeMap<String, Witness>,
}

/// What a stack is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Made to be broken: nobody would miss it.
    Disposable,
    /// Like production, without its users.
    Staging,
    /// Its users are real.
    Production,
}

impl From<Level> for CountsAs {
    fn from(level: Level) -> CountsAs {
        match level {
            Level::Disposable => CountsAs::Disposable,
            Level::Staging => CountsAs::Staging,
            Level::Production => CountsAs::Production,
        }
    }
}

/// What runs a stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// Addresses alone: nothing can be started or stopped.
    #[default]
    Endpoints,
}

/// What a drill may touch. Whatever is not here is never touched.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// Components.
    #[serde(default)]
    pub components: Vec<String>,
    /// So many components may be broken by one drill.
    #[serde(default = "default_most")]
    pub most: u32,
    /// At level `production`: the faults that may be injected, by their names. Others are refused there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

impl Default for Allow {
    fn default() -> Self {
        Allow { components: Vec::new(), most: default_most(), faults: Vec::new() }
    }
}

fn default_most() -> u32 {
    1
}

/// Services whose probes decide whether a drill may begin, and whether it may go on.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alarm {
    /// A service that must answer well for five seconds before anything happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forbid_start: Option<String>,
    /// A service whose outage ends the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_run: Option<EndRun>,
}

/// When a run is given up.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndRun {
    /// A service.
    pub probe: String,
    /// It was bad for this long.
    pub bad_for: Dur,
}

/// A store, or anything else with an address.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// What it is.
    pub product: Product,
    /// `postgres`: the variable that holds its connection string, as `psql` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dsn_env: Option<String>,
    /// `s3`, `milvus`: its address, such as `http://127.0.0.1:9000` or `http://127.0.0.1:19530`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `s3`: its bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// `s3`: the variables that hold the access key and the secret key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = ["S3_ACCESS_KEY", "S3_SECRET_KEY"])]
    pub keys_env: Option<[String; 2]>,
    /// `milvus`: the variable that holds `user:password` or an API key; nothing is said of who asks if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// `milvus`: its database; the server's default if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// A file with the certificates (PEM) by which its server is known; those of the system if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Variables that its commands are given (`product = "command"`); each may hold a secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// `postgres`, for a scratch: it may be another database of the source's own server. Refused at level `production`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub same_server: bool,
    /// For a scratch: the restore command starts it, so that nobody answers there before. Without it a place that does not
    /// answer is refused: whoever answers later could be anybody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub started_by_restore: bool,
}

/// What a component is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Product {
    /// PostgreSQL, and whatever speaks its protocol and has its catalogue.
    Postgres,
    /// A bucket of any S3 server.
    S3,
    /// A database of a Milvus server.
    Milvus,
    /// Anything else: gameday asks it by the commands of its witnesses and canaries.
    Command,
}

impl Product {
    /// The word for it in a file.
    pub fn word(self) -> &'static str {
        match self {
            Product::Postgres => "postgres",
            Product::S3 => "s3",
            Product::Milvus => "milvus",
            Product::Command => "command",
        }
    }
}

impl Component {
    /// The variables of the environment that its credentials come from.
    pub fn secrets(&self) -> Vec<String> {
        let keys = self.keys_env.iter().flatten();
        self.dsn_env.iter().chain(keys).chain(&self.token_env).chain(&self.env).cloned().collect()
    }
}

/// What users notice.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The components that it needs.
    #[serde(default)]
    pub uses: Vec<String>,
    /// How much the business cares.
    #[serde(default)]
    pub priority: Priority,
    /// The question asked on its behalf, again and again.
    pub probe: Probe,
}

/// Records of gameday's own in a store: a moment and a random value each, planted ahead of time (`gameday canary plant`).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// `postgres`: a table of gameday's own, made by the first planting; `schema.table` or `table`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// `s3`: where its objects lie in the component's bucket, such as `gameday-canary/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// `milvus`: a collection of gameday's own, made by the first planting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// `postgres`: the variable with the connection string of a role that may write the table, where the component's may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dsn_env: Option<String>,
    /// `command`: stores one record. It is given GAMEDAY_CANARY_ID, GAMEDAY_CANARY_AT and GAMEDAY_CANARY_VALUE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plant: Option<Command>,
    /// `command`: prints all records, a line each: id, moment and value, with a blank between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<Command>,
    /// `command`: removes the record GAMEDAY_CANARY_ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove: Option<Command>,
    /// While a fault drill runs, so many are planted. They stay, as all canaries do, until they are pruned.
    #[serde(default = "default_rate")]
    pub rate: Rate,
    /// `gameday canary prune` removes what is older.
    #[serde(default = "default_keep")]
    pub keep: Dur,
}

fn default_rate() -> Rate {
    Rate::of(2.0)
}

fn default_keep() -> Dur {
    Dur::from_secs(7 * 24 * 3600)
}

/// A command of the user: a program and its arguments, run in the folder of the file that names it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The program and its arguments; no shell takes them apart.
    #[schemars(example = ["./restore.sh"])]
    pub run: Vec<String>,
    /// Variables that it is given, by name. All it has beside these: PATH, HOME, LANG, TMPDIR and those of gameday.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// It is ended after this.
    #[serde(default = "default_limit")]
    pub limit: Dur,
}

fn default_limit() -> Dur {
    Dur::from_secs(600)
}

/// Data of users that must come back: read of the source before a drill, compared with what was restored.
///
/// `$T0` stands for the moment before which everything must be back: the beginning of the drill less its RPO.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// Whose data it is.
    pub component: String,
    /// `postgres`: a query, read only. Its rows are compared whatever their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// `s3`: names, sizes and bytes of the objects under this prefix; all of the bucket if it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// `milvus`: the rows of a collection, with all fields and vectors, and its schema. Vectors of it are searched for as well:
    /// what was restored has to answer as the source does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// `milvus`: the share of the source's answers that has to come back; 0.95 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_recall: Option<f64>,
    /// Any product: prints one line for each thing that must come back. It is told which place to ask by the variables of
    /// that place, and GAMEDAY_PLACE (`source` or `scratch`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
    /// Reading it is given up after this.
    #[serde(default = "default_limit")]
    pub limit: Dur,
}

impl Witness {
    /// The share of the source's answers that has to come back.
    pub fn least_recall(&self) -> f64 {
        self.min_recall.unwrap_or(0.95)
    }

    /// Whether it leaves out what is newer than the moment before which all must be back.
    pub fn bounded(&self) -> bool {
        self.prefix.is_some() || self.sql.as_deref().is_some_and(|q| q.contains("$T0"))
    }
}
