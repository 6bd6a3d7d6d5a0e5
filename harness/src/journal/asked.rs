//! What was asked while the load ran: probes of services, and writes to stores.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::topology::Role;

/// One question to a service.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probed {
    /// Which service.
    pub service: String,
    /// The probe's number on its schedule: 0, 1, 2, ... Gaps are found by this.
    pub n: u64,
    /// When the schedule wanted it sent.
    pub due_us: u64,
    /// When it was sent; later than due only if the harness was slow.
    pub sent_us: u64,
    /// When the answer came, or the deadline passed.
    pub done_us: u64,
    /// Why the answer was a bad one; absent if it was good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<String>,
    /// What a good answer showed, so that the ledger can say whether that was new enough.
    #[serde(default, skip_serializing_if = "Shown::is_empty")]
    pub shown: Shown,
}

/// By store: keys with the number of the write whose value was shown, in the order in which they were asked for.
pub type Shown = BTreeMap<Role, Vec<(u64, u64)>>;

/// One write's end.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrote {
    /// Which store.
    pub store: Role,
    /// Which record.
    pub key: u64,
    /// The write's number.
    pub ver: u64,
    /// Whether it removed the record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delete: bool,
    /// When the schedule wanted it sent.
    pub due_us: u64,
    /// When it was sent.
    pub sent_us: u64,
    /// When it was answered, or given up.
    pub done_us: u64,
    /// How it ended.
    pub outcome: Acked,
}

/// How a write ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acked {
    /// Acknowledged.
    Ok,
    /// Surely did not happen.
    Fail,
    /// Nobody knows.
    Info,
}
