//! What a lagging standby loses is reported to the row.
//!
//! Two bookkeepers work from the same evidence. One is the harness. The other is this file: it reads the surviving
//! node itself, at the node's own port, past router, link and [`System`], and adds up the journal's lines as plain
//! JSON. Neither knows of the other, and they have to name the same keys.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapters::vectordb::{Client, Record};
use async_trait::async_trait;
use harness::act::Act;
use harness::corpus::Corpus;
use harness::facts::Facts;
use harness::journal::Reader;
use harness::ports::{Effect, EnvironmentError, Host, System};
use harness::report::Report;
use harness::topology::Role;
use harness::verdict::Verdict::Fail;
use serde_json::Value;

use crate::common::block_on;
use crate::drills::{journal_of, verdicts};
use crate::stand::{Stand, plan_of};

/// Every key with the number of its write; `None` if it has a value that no such write had.
type Stored = BTreeMap<u64, Option<u64>>;

/// A host that reads the surviving node before anything is undone, and again before it is torn down.
#[derive(Debug)]
struct Witness {
    host: Arc<dyn Host>,
    /// What a node is told, which says where it listens.
    survivor: PathBuf,
    corpus: Corpus,
    undo: Vec<Act>,
    before_undo: Mutex<Option<Stored>>,
    at_the_end: Mutex<Option<Stored>>,
}

impl Witness {
    fn of(stand: &Stand) -> Self {
        Self {
            host: Arc::clone(&stand.host),
            survivor: stand.folder().join("state/west-vector.json"),
            corpus: stand.corpus(),
            undo: stand.plan.cues.iter().flat_map(|cue| cue.undo.clone()).collect(),
            before_undo: Mutex::default(),
            at_the_end: Mutex::default(),
        }
    }

    fn reading(&self, found: &Record) -> Option<u64> {
        let written = self.corpus.vector(found.key, found.ver);
        (found.vector == written).then_some(found.ver)
    }

    async fn stored(&self) -> Stored {
        let told: Value = serde_json::from_slice(&std::fs::read(&self.survivor).unwrap()).unwrap();
        let port = u16::try_from(told["vector"]["port"].as_u64().unwrap()).unwrap();
        let client = Client::new(([127, 0, 0, 1], port).into(), Duration::from_secs(20));
        let (mut stored, mut after) = (Stored::new(), None);
        loop {
            let page = client.survivors(after, 700).await.unwrap();
            for found in &page.records {
                assert_eq!(
                    stored.insert(found.key, self.reading(found)),
                    None,
                    "{} is there twice",
                    found.key
                );
            }
            after = page.next;
            if after.is_none() {
                return stored;
            }
        }
    }
}

#[async_trait]
impl Host for Witness {
    async fn launch(&self) -> Result<Vec<String>, EnvironmentError> {
        self.host.launch().await
    }

    async fn act(&self, act: &Act) -> Effect {
        if self.undo.contains(act) && self.before_undo.lock().unwrap().is_none() {
            let stored = self.stored().await;
            *self.before_undo.lock().unwrap() = Some(stored);
        }
        self.host.act(act).await
    }

    fn system(&self, role: Role) -> Option<Arc<dyn System>> {
        self.host.system(role)
    }

    fn system_for(&self, service: &str, role: Role) -> Option<Arc<dyn System>> {
        self.host.system_for(service, role)
    }

    fn system_in(&self, region: &str, role: Role) -> Option<Arc<dyn System>> {
        self.host.system_in(region, role)
    }

    fn routes(&self) -> harness::ports::Routes {
        self.host.routes()
    }

    async fn teardown(&self) -> Result<(), EnvironmentError> {
        let stored = self.stored().await;
        *self.at_the_end.lock().unwrap() = Some(stored);
        self.host.teardown().await
    }

    async fn unsafe_to_continue(&self) -> EnvironmentError {
        self.host.unsafe_to_continue().await
    }
}

/// A write to the vector store, as its line in the journal has it.
#[derive(Debug, Clone)]
struct Written {
    /// What the key shows if this write was the last.
    state: Option<u64>,
    sent_us: u64,
    done_us: u64,
    outcome: String,
}

/// The writes of every key, the seeded one among them, from the bytes of a journal.
fn writes(journal: &[u8]) -> BTreeMap<u64, Vec<Written>> {
    let mut writes: BTreeMap<u64, Vec<Written>> = BTreeMap::new();
    let lines = journal.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    for line in lines {
        let event: Value = serde_json::from_slice(line).unwrap();
        let (wrote, seeded) = (&event["kind"]["wrote"], &event["kind"]["seeded"]);
        if wrote["store"] == "vector" {
            let number = |name: &str| wrote[name].as_u64().unwrap();
            writes.entry(number("key")).or_default().push(Written {
                state: (wrote["delete"] != true).then(|| number("ver")),
                sent_us: number("sent_us"),
                done_us: number("done_us"),
                outcome: wrote["outcome"].as_str().unwrap().to_owned(),
            });
        }
        if seeded["store"] == "vector" {
            for key in 0..seeded["count"].as_u64().unwrap() {
                let first = Written { state: Some(0), sent_us: 0, done_us: 0, outcome: "ok".into() };
                writes.entry(key).or_default().push(first);
            }
        }
    }
    writes
}

/// Whether a key shows neither an acknowledged write that no later acknowledged one has replaced, nor one of which
/// nobody knows whether it happened.
fn is_lost(writes: &[Written], shown: Option<u64>) -> bool {
    let ok = |write: &&Written| write.outcome == "ok";
    let replaced = |write: &Written| writes.iter().filter(ok).any(|later| later.sent_us > write.done_us);
    let current: Vec<&Written> = writes.iter().filter(ok).filter(|write| !replaced(write)).collect();
    let perhaps = writes.iter().filter(|write| write.outcome == "info");
    !current.is_empty() && !current.iter().copied().chain(perhaps).any(|write| write.state == shown)
}

pub(crate) fn what_a_lagging_standby_loses_is_reported_to_the_row() {
    block_on(async {
        let plan = plan_of(include_bytes!("loss.toml"), &[]);
        let stand = Stand::for_plan(plan, std::env::current_exe().unwrap(), None).unwrap();
        let witness = Arc::new(Witness::of(&stand));
        let journal = journal_of(&stand, Arc::clone(&witness) as Arc<dyn Host>, None).await;
        let report = Report::read(Cursor::new(&journal)).unwrap();
        assert_eq!(verdicts(&report, Fail), Vec::<String>::new(), "{:#?}", report.findings);

        let stored = witness.before_undo.lock().unwrap().take().expect("a region that was killed is undone");
        assert_eq!(
            witness.at_the_end.lock().unwrap().as_ref(),
            Some(&stored),
            "the undo changed the survivor"
        );
        assert!(stored.values().all(Option::is_some), "values that nobody wrote: {stored:?}");
        let writes = writes(&journal);
        let lost = |(key, writes): (&u64, &Vec<Written>)| {
            is_lost(writes, stored.get(key).copied().flatten()).then_some(*key)
        };
        let lost: BTreeSet<u64> = writes.iter().filter_map(lost).collect();
        let acknowledged = writes.values().flatten().filter(|write| write.outcome == "ok").count();

        let ledger = report.ledger.iter().find(|store| store.store == Role::Vector).unwrap();
        println!(
            "of {acknowledged} acknowledged writes to {} keys {} keys are lost; reported: {} of {} in {:?} us",
            writes.len(),
            lost.len(),
            ledger.lost,
            ledger.acked,
            ledger.rpo_us
        );
        assert!(ledger.read_back && ledger.corrupt == 0 && ledger.unexpected == 0, "{ledger:?}");
        assert_eq!(acknowledged as u64, 1000 + ledger.writes_ok);
        // Two seconds of a hundred writes each are more than this, however late the machine.
        assert!(lost.len() > 50, "only {lost:?}");
        assert_eq!(ledger.lost, lost.len() as u64);
        assert_eq!(ledger.acked, ledger.intact + ledger.lost);
        // Not only as many, but the same.
        let facts = Facts::of(Reader::new(Cursor::new(&journal))).unwrap();
        let account = facts.stores.iter().find(|store| store.store == Role::Vector).unwrap();
        let account = account.copies[0].users.account.as_ref();
        assert_eq!(account.unwrap().lost.iter().copied().collect::<BTreeSet<_>>(), lost);
    });
}
