//! Worlds that lie, by the hundred: a seed chooses the scenario, the lie, the store, the key and the moment.
//!
//! Each drill is played in `sim` through a door that tells one lie. A world that lied must not pass, and a lie about one
//! key must be named: the drill's own account lists that key. A world that told no lie must pass. `GAMEDAY_LIES` sets how
//! many are played; 2,000 of them run every night.

use std::{
    collections::BTreeMap,
    io::Cursor,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use harness::{
    act::Act,
    clock::Clock,
    corpus::LOADED_KEYS,
    drill::{drill, stop},
    facts::Facts,
    journal::{EventKind, Journal, Phase, Reader},
    ports::{Effect, EnvironmentError, Host, Page, PortError, Reading, Routes, System, Write},
    report::Report,
    sim::{SimHost, began},
    topology::Role,
    verdict::Verdict::{Fail, Pass},
};

use super::{loaded, short};

/// A small stack whose `VICTIM` dies and is started again.
const STACK: &str = r#"
name = "lies"
[stack]
regions = REGIONS
roles = ["vector", "object", "feature"]
pattern = "PATTERN"
[data]
vectors = { count = 120, dim = 4, queries = 200 }
objects = { count = 30, size = 64 }
features = { entities = 60 }
[load]
vector = "40/s"
object = "40/s"
feature = "40/s"
[[service]]
name = "rag"
uses = ["vector", "object"]
probe = { search = {}, get = {}, every = "50ms", timeout = "300ms" }
[[service]]
name = "reco"
uses = ["feature"]
probe = { lookup = {}, every = "50ms", timeout = "300ms" }
[[fault]]
at = "500ms"
inject = { FAULT = { node = "east/VICTIM" } }
[[recover]]
name = "restart"
at = "1200ms"
act = { restart = { node = "east/VICTIM" } }
[objectives]
rto = "4s"
rpo = "RPO"
quality = 0.98
stable_for = "1s"
"#;

/// Users of a standby: their service is sent there when the primary's store is cut off.
const STANDBY: &str = r#"
name = "standby"
[stack]
regions = ["east", "west"]
roles = ["object", "feature"]
pattern = "hot-standby"
[data]
objects = { count = 30, size = 64 }
features = { entities = 60 }
[load]
object = "10/s"
feature = "40/s"
[[service]]
name = "reco"
uses = ["feature", "object"]
probe = { lookup = {}, get = {}, every = "50ms", timeout = "300ms" }
[[fault]]
at = "500ms"
for = "2s"
inject = { cut = { to = "east/feature" } }
[[recover]]
when = "detected"
act = { route = { service = "reco", to = "west" } }
[objectives]
rto = "10s"
rpo = "0s"
stable_for = "1s"
"#;

/// Since when a world lies.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Since {
    Recovery,
    Reading,
    /// Nodes were restarted after users had been asked what is there.
    Restart,
    SecondReading,
}

/// What it lies about.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Honest,
    /// An acknowledged record is not there, has another value, an older one, or is there twice.
    Lost(Since),
    Rotten(Since),
    Older(Since),
    Twice(Since),
    /// A record is there that nobody wrote, or that was removed.
    Stranger(Since),
    Undeleted(Since),
    /// The store cannot be read.
    Unreadable(Since),
    /// A write is refused and stored all the same.
    RefusedAndStored,
    /// A write is acknowledged after recovery and not stored; the RPO allows seconds, or nothing.
    AcknowledgedAndLost {
        rpo: bool,
    },
    /// Writes are refused, or never answered: since recovery, or since before the fault.
    RefusesWrites,
    HangsWrites,
    NeverTookWrites,
    /// What users read is missing, or wrong, or too late.
    ReadsNothing,
    ReadsWrong,
    ReadsLate,
    /// Searches find half, or everything, or are refused again so many milliseconds after the recovery.
    SearchesHalf,
    SearchesAll,
    DiesAgain(u64),
    /// The step of the runbook says that it failed.
    StepFails,
    /// The standby that users are sent to has an older value.
    StaleStandby,
}

/// One lie.
#[derive(Clone, Copy, Debug)]
struct Lie {
    kind: Kind,
    role: Role,
    pick: u64,
}

/// Chance from a seed (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

const STORES: [Role; 3] = [Role::Vector, Role::Object, Role::Feature];

/// Lies that the drill's first reading, or its users, meet.
const PLAIN: &[Kind] = &[
    Kind::Lost(Since::Recovery),
    Kind::Lost(Since::Reading),
    Kind::Rotten(Since::Recovery),
    Kind::Rotten(Since::Reading),
    Kind::Older(Since::Reading),
    Kind::Twice(Since::Reading),
    Kind::Stranger(Since::Recovery),
    Kind::Stranger(Since::Reading),
    Kind::Undeleted(Since::Reading),
    Kind::Unreadable(Since::Reading),
    Kind::RefusedAndStored,
    Kind::AcknowledgedAndLost { rpo: false },
    Kind::ReadsNothing,
    Kind::ReadsWrong,
    Kind::ReadsLate,
    Kind::SearchesHalf,
    Kind::SearchesAll,
    Kind::DiesAgain(0),
    Kind::StepFails,
    Kind::Lost(Since::SecondReading),
    Kind::Rotten(Since::SecondReading),
];

/// Lies that only the rules of "users' eyes", "writes count", "read back, restart, read back again" and "losses after
/// the storm's recovery" find.
const DEEP: &[Kind] = &[
    Kind::AcknowledgedAndLost { rpo: true },
    Kind::RefusesWrites,
    Kind::HangsWrites,
    Kind::NeverTookWrites,
    Kind::Lost(Since::Restart),
    Kind::Rotten(Since::Restart),
    Kind::Older(Since::Restart),
    Kind::Twice(Since::Restart),
    Kind::Stranger(Since::Restart),
    Kind::Unreadable(Since::Restart),
    Kind::Stranger(Since::SecondReading),
    Kind::Twice(Since::SecondReading),
    Kind::Unreadable(Since::SecondReading),
    Kind::StaleStandby,
];

impl Kind {
    /// Since when it is told to whoever reads the store.
    fn since(self) -> Option<Since> {
        match self {
            Kind::Lost(since)
            | Kind::Rotten(since)
            | Kind::Older(since)
            | Kind::Twice(since)
            | Kind::Stranger(since)
            | Kind::Undeleted(since)
            | Kind::Unreadable(since) => Some(since),
            _ => None,
        }
    }

    /// Whether the first reading meets a lie about a key, so that its account must list that key.
    fn must_be_listed(self) -> bool {
        match self {
            Kind::RefusedAndStored | Kind::AcknowledgedAndLost { .. } => true,
            Kind::Unreadable(_) => false,
            _ => matches!(self.since(), Some(Since::Recovery | Since::Reading)),
        }
    }

    /// Whether the lie waits for somebody who looks: a drill that does not look has proved nothing.
    fn waits(self) -> bool {
        self.since() == Some(Since::Restart) || self == Kind::StaleStandby
    }
}

impl Lie {
    fn of(chance: &mut Chance, kinds: &[Kind]) -> Lie {
        let kind = match chance.of(kinds) {
            Kind::DiesAgain(_) => Kind::DiesAgain(100 + chance.below(800)),
            other => other,
        };
        let role = match kind {
            Kind::Undeleted(_) | Kind::SearchesHalf | Kind::SearchesAll | Kind::DiesAgain(_) => Role::Vector,
            Kind::StaleStandby => Role::Feature,
            Kind::ReadsNothing | Kind::ReadsWrong | Kind::ReadsLate => {
                chance.of(&[Role::Object, Role::Feature])
            }
            _ => chance.of(&STORES),
        };
        Lie { kind, role, pick: chance.below(1 << 30) }
    }

    fn scenario(self, chance: &mut Chance) -> String {
        if self.kind == Kind::StaleStandby || (self.kind == Kind::Honest && chance.below(4) == 0) {
            return STANDBY.into();
        }
        let (regions, pattern) =
            chance.of(&[("[\"east\"]", "single"), ("[\"east\", \"west\"]", "active-active")]);
        let rpo = if self.kind == (Kind::AcknowledgedAndLost { rpo: true }) { "5s" } else { "0s" };
        // Where a service is to fail, its own store is the one that came back.
        let victim = if self.kind == Kind::StepFails { self.role } else { chance.of(&STORES) };
        STACK
            .replace("REGIONS", regions)
            .replace("PATTERN", pattern)
            .replace("FAULT", chance.of(&["kill", "pause"]))
            .replace("VICTIM", victim.word())
            .replace("RPO", rpo)
    }
}

/// What a store was told: of each key the numbers of its acknowledged writes, `None` for a removal, and how many were
/// sent.
type Told = BTreeMap<(Role, u64), (Vec<Option<u64>>, usize)>;

#[derive(Debug)]
struct Shared {
    lie: Lie,
    clock: Clock,
    phase: AtomicU64,
    recovered_us: AtomicU64,
    /// Nodes that were restarted after the first reading had begun.
    restarts: AtomicU64,
    /// How often it lied.
    lies: AtomicU64,
    /// The key that it lies about, once it is chosen, with the reading it is given.
    key: Mutex<Option<u64>>,
    told: Mutex<Told>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn in_phase(&self, phase: Phase) -> bool {
        self.phase.load(SeqCst) >= phase as u64
    }
    fn since(&self, since: Since) -> bool {
        match since {
            Since::Recovery => self.recovered_us.load(SeqCst) > 0,
            Since::Reading => self.in_phase(Phase::ReadBack),
            Since::Restart => self.restarts.load(SeqCst) > 0,
            Since::SecondReading => self.in_phase(Phase::SecondReadBack),
        }
    }
    fn lied(&self) {
        self.lies.fetch_add(1, SeqCst);
    }

    /// The key that is lied about: one that fits and whose every write was acknowledged.
    fn key(&self, fits: impl Fn(&[Option<u64>]) -> bool) -> Option<u64> {
        let mut key = lock(&self.key);
        if key.is_none() && self.in_phase(Phase::ReadBack) {
            let told = lock(&self.told);
            let all: Vec<u64> = told
                .iter()
                .filter(|((role, _), (acked, sent))| {
                    *role == self.lie.role && acked.len() == *sent && fits(acked)
                })
                .map(|((_, key), _)| *key)
                .collect();
            *key = (!all.is_empty()).then(|| all[self.lie.pick as usize % all.len()]);
        }
        *key
    }

    /// A page with the lie in it.
    fn page(&self, after: Option<u64>, mut page: Page) -> Result<Page, PortError> {
        let kind = self.lie.kind;
        if !kind.since().is_some_and(|since| self.since(since)) {
            return Ok(page);
        }
        let there = |acked: &[Option<u64>]| acked.last().is_some_and(Option::is_some);
        let key = match kind {
            Kind::Unreadable(_) => {
                self.lied();
                return refused();
            }
            Kind::Stranger(_) => Some(2 * LOADED_KEYS + self.lie.pick),
            Kind::Older(_) => self.key(|acked| there(acked) && acked.iter().flatten().count() > 1),
            Kind::Undeleted(_) => self.key(|acked| acked.last() == Some(&None) && acked.len() > 1),
            _ => self.key(there),
        };
        let Some(key) = key else { return Ok(page) };
        let here = after.is_none_or(|after| key > after) && page.next.is_none_or(|next| key <= next);
        if !here {
            return Ok(page);
        }
        *lock(&self.key) = Some(key);
        let at = page.items.partition_point(|(k, _)| *k < key);
        let found = page.items.get(at).filter(|(k, _)| *k == key).copied();
        match (kind, found) {
            (Kind::Lost(_), Some(_)) => drop(page.items.remove(at)),
            (Kind::Rotten(_), Some(_)) => page.items[at].1 = Reading::Corrupt,
            (Kind::Older(_), Some(_)) => page.items[at].1 = Reading::Ver(self.first(key)),
            (Kind::Twice(_), Some(item)) => page.items.insert(at, item),
            (Kind::Stranger(_), None) => page.items.insert(at, (key, Reading::Ver(self.lie.pick % 9))),
            (Kind::Undeleted(_), None) => page.items.insert(at, (key, Reading::Ver(self.first(key)))),
            _ => return Ok(page),
        }
        self.lied();
        Ok(page)
    }

    /// The number of the first write of a key.
    fn first(&self, key: u64) -> u64 {
        let told = lock(&self.told);
        told.get(&(self.lie.role, key))
            .and_then(|(acked, _)| acked.iter().flatten().next().copied())
            .unwrap_or(0)
    }
}

fn refused<T>() -> Result<T, PortError> {
    Err(PortError::Definite("refused".into()))
}

/// By which door a store is reached.
#[derive(Clone, Debug)]
struct Door {
    inner: Arc<dyn System>,
    role: Role,
    /// The standby's own copy, or that of the service that is sent to it.
    standby: bool,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Liar {
    inner: SimHost,
    shared: Arc<Shared>,
}

impl Liar {
    fn door(&self, inner: Option<Arc<dyn System>>, role: Role, standby: bool) -> Option<Arc<dyn System>> {
        let shared = self.shared.clone();
        Some(Arc::new(Door { inner: inner?, role, standby, shared }))
    }
}

#[async_trait]
impl Host for Liar {
    async fn launch(&self) -> Result<Vec<String>, EnvironmentError> {
        self.inner.launch().await
    }
    async fn act(&self, act: &Act) -> Effect {
        let s = &self.shared;
        let effect = self.inner.act(act).await;
        if matches!(act, Act::Start { .. } | Act::Restart { .. } | Act::Route { .. }) {
            s.recovered_us.store(s.clock.now_us(), SeqCst);
            if s.in_phase(Phase::ReadBack) && !s.in_phase(Phase::Undo) {
                s.restarts.fetch_add(1, SeqCst);
            }
            if s.lie.kind == Kind::StepFails && !s.in_phase(Phase::ReadBack) {
                s.lied();
                return Effect::failed("it did not come up");
            }
        }
        effect
    }
    fn system(&self, role: Role) -> Option<Arc<dyn System>> {
        self.door(self.inner.system(role), role, false)
    }
    fn system_for(&self, service: &str, role: Role) -> Option<Arc<dyn System>> {
        self.door(self.inner.system_for(service, role), role, true)
    }
    fn system_in(&self, region: &str, role: Role) -> Option<Arc<dyn System>> {
        self.door(self.inner.system_in(region, role), role, region == "west")
    }
    fn routes(&self) -> Routes {
        self.inner.routes()
    }
    async fn teardown(&self) -> Result<(), EnvironmentError> {
        self.inner.teardown().await
    }
}

impl Door {
    /// Whether this store is lied about, and has recovered.
    fn lies(&self) -> bool {
        self.role == self.shared.lie.role && self.shared.since(Since::Recovery)
    }

    async fn lie_about_write(&self, write: Write) -> Option<Result<(), PortError>> {
        let s = &self.shared;
        let storm = s.in_phase(Phase::Storm) && !s.in_phase(Phase::ReadBack) && self.role == s.lie.role;
        match s.lie.kind {
            Kind::RefusedAndStored if storm && self.lies() && write.key >= LOADED_KEYS => {
                self.inner.write(write).await.ok()?;
                s.lied();
                *lock(&s.key) = Some(write.key);
                Some(refused())
            }
            Kind::AcknowledgedAndLost { .. }
                if storm && self.lies() && write.key >= LOADED_KEYS && lock(&s.key).is_none() =>
            {
                s.lied();
                *lock(&s.key) = Some(write.key);
                Some(Ok(()))
            }
            Kind::RefusesWrites if storm && self.lies() => {
                s.lied();
                Some(refused())
            }
            Kind::HangsWrites if storm && self.lies() => {
                s.lied();
                std::future::pending().await
            }
            Kind::NeverTookWrites if s.in_phase(Phase::Settle) && self.role == s.lie.role => {
                s.lied();
                std::future::pending().await
            }
            _ => None,
        }
    }

    /// What the standby shows of a record: an older write, if there was one.
    fn stale(&self, key: u64, found: Reading) -> Reading {
        let s = &self.shared;
        let old = s.lie.kind == Kind::StaleStandby && self.standby && self.lies();
        match found {
            Reading::Ver(ver) if old && ver > 0 && key < LOADED_KEYS => {
                s.lied();
                Reading::Ver(0)
            }
            other => other,
        }
    }
}

#[async_trait]
impl System for Door {
    async fn write(&self, write: Write) -> Result<(), PortError> {
        if let Some(answer) = self.lie_about_write(write).await {
            return answer;
        }
        let at = (self.role, write.key);
        lock(&self.shared.told).entry(at).or_default().1 += 1;
        self.inner.write(write).await?;
        lock(&self.shared.told).entry(at).or_default().0.push((!write.delete).then_some(write.ver));
        Ok(())
    }
    async fn read(&self, key: u64) -> Result<Option<Reading>, PortError> {
        let s = &self.shared;
        let answer = self.inner.read(key).await?;
        if s.in_phase(Phase::ReadBack) || !self.lies() {
            return Ok(answer.map(|found| self.stale(key, found)));
        }
        match s.lie.kind {
            Kind::ReadsNothing => {
                s.lied();
                Ok(None)
            }
            Kind::ReadsWrong => {
                s.lied();
                Ok(Some(Reading::Corrupt))
            }
            Kind::ReadsLate => {
                s.lied();
                tokio::time::sleep(Duration::from_millis(400)).await;
                Ok(answer)
            }
            // Probes would find a standby that is stale for good; this one is for them as fresh as it may be.
            _ => Ok(answer),
        }
    }
    async fn survivors(&self, after: Option<u64>, limit: usize) -> Result<Page, PortError> {
        let mut page = self.inner.survivors(after, limit).await?;
        if self.role != self.shared.lie.role {
            return Ok(page);
        }
        page.items.iter_mut().for_each(|(key, found)| *found = self.stale(*key, *found));
        self.shared.page(after, page)
    }
    async fn search(&self, query: &[f32], k: usize) -> Result<Vec<u64>, PortError> {
        let s = &self.shared;
        let since_us = s.clock.now_us().saturating_sub(s.recovered_us.load(SeqCst));
        match s.lie.kind {
            Kind::SearchesHalf if self.lies() => {
                s.lied();
                let mut answer = self.inner.search(query, k).await?;
                answer.truncate(k / 2);
                Ok(answer)
            }
            Kind::SearchesAll if self.lies() => {
                s.lied();
                let mut all = self.inner.search(query, 100_000).await?;
                all.reverse();
                Ok(all)
            }
            Kind::DiesAgain(ms) if self.lies() && since_us > ms * 1000 && !s.in_phase(Phase::ReadBack) => {
                s.lied();
                refused()
            }
            _ => self.inner.search(query, k).await,
        }
    }
}

/// What became of one drill.
#[derive(Debug)]
struct Played {
    report: Report,
    lied: bool,
    /// The key that was lied about, and whether the account lists it.
    key: Option<(u64, bool)>,
}

fn play(text: &str, seed: u64, lie: Lie) -> Played {
    let loaded = loaded(&text.replace("[stack]", &format!("seed = {seed}\n[stack]")));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (bytes, shared) = runtime.block_on(async {
        let clock = Clock::simulated();
        let shared = Arc::new(Shared {
            lie,
            clock,
            phase: AtomicU64::new(0),
            recovered_us: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            lies: AtomicU64::new(0),
            key: Mutex::default(),
            told: Mutex::default(),
        });
        let seen = shared.clone();
        let journal = Journal::in_memory(
            clock,
            Some(Box::new(move |event| {
                if let EventKind::Entered(phase) = &event.kind {
                    seen.phase.store(*phase as u64, SeqCst);
                }
            })),
        );
        let host = Arc::new(Liar { inner: SimHost::new(&loaded.plan, None), shared: shared.clone() });
        let (_stopper, stop) = stop();
        let began = began(&loaded.scenario, String::new(), Vec::new());
        drill(&loaded.plan, began, host, &journal, clock, stop).await.unwrap();
        (journal.bytes(), shared)
    });
    let facts = Facts::of(Reader::new(Cursor::new(&bytes))).expect("the journal can be read");
    let copies = facts.stores.iter().filter(|s| s.store == lie.role).flat_map(|s| &s.copies);
    let accounts: Vec<_> =
        copies.flat_map(|c| [&c.users, &c.restarted, &c.undone]).filter_map(|r| r.account.as_ref()).collect();
    let listed = |key: &u64| accounts.iter().any(|a| a.harm().contains(key) || a.excess().contains(key));
    let key = lock(&shared.key).map(|key| (key, listed(&key)));
    Played { report: Report::of(&facts), lied: shared.lies.load(SeqCst) > 0, key }
}

/// Plays so many drills of worlds that lie; what was wrong, and how many lies were told, by kind.
fn campaign(kinds: &[Kind], from: u64, count: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut by_kind: BTreeMap<String, [u64; 3]> = BTreeMap::new();
    for seed in from..from + count {
        let mut chance = Chance(seed);
        let lie = Lie::of(&mut chance, kinds);
        let played = play(&lie.scenario(&mut chance), seed, lie);
        let verdict = played.report.verdict;
        let kind = match lie.kind {
            Kind::DiesAgain(_) => "DiesAgain".to_owned(),
            other => format!("{other:?}"),
        };
        let row = by_kind.entry(kind).or_default();
        row[0] += 1;
        row[1] += u64::from(played.lied);
        row[2] += u64::from(verdict != Pass);
        let unlisted = lie.kind.must_be_listed() && played.key.is_some_and(|(_, listed)| !listed);
        let why = match (played.lied || lie.kind.waits(), verdict == Pass) {
            (true, true) => "FALSE PASS",
            (true, false) if played.lied && unlisted => "the key is not named",
            (false, false) => "no lie was told, and no pass",
            _ => continue,
        };
        wrong.push(format!("seed {seed}: {why}: {lie:?} {:?}: {:#?}", played.key, short(&played.report)));
    }
    println!("{:<40}{:>6}{:>6}{:>9}", "lie", "drills", "told", "no pass");
    for (kind, [drills, told, held]) in &by_kind {
        println!("{kind:<40}{drills:>6}{told:>6}{held:>9}");
    }
    wrong
}

/// How many, of 200 in an ordinary run.
fn share(of_200: u64) -> u64 {
    let all: u64 =
        std::env::var("GAMEDAY_LIES").map_or(200, |n| n.parse().expect("GAMEDAY_LIES is a number"));
    all * of_200 / 200
}

#[track_caller]
fn none_wrong(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn worlds_that_lie_never_pass_and_the_key_is_named() {
    none_wrong(&campaign(PLAIN, 1000, share(120)));
}

#[test]
fn worlds_that_lie_where_few_look_never_pass() {
    none_wrong(&campaign(DEEP, 50_000, share(80)));
}

#[test]
fn worlds_that_do_not_lie_pass() {
    let mut wrong = Vec::new();
    for seed in 0..60 {
        let mut chance = Chance(seed);
        let lie = Lie { kind: Kind::Honest, role: Role::Vector, pick: 0 };
        let text = lie.scenario(&mut chance);
        let played = play(&text, seed, lie);
        if played.report.verdict != Pass {
            let word = if played.report.verdict == Fail { "FALSE FAIL" } else { "unknown for nothing" };
            wrong.push(format!("seed {seed}: {word}: {:#?}", short(&played.report)));
        }
    }
    none_wrong(&wrong);
}
