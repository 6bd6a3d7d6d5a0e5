//! The simulated world behind a door that tells one lie.

use std::{
    collections::BTreeMap,
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
    journal::Phase,
    ports::{Effect, EnvironmentError, Host, Page, PortError, Reading, Routes, System, Write},
    sim::SimHost,
    topology::Role,
};

use super::kinds::{Kind, Lie, Since};

/// What a store was told: of each key the numbers of its acknowledged writes, `None` for a removal, and how many were
/// sent.
pub(super) type Told = BTreeMap<(Role, u64), (Vec<Option<u64>>, usize)>;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) lie: Lie,
    pub(super) clock: Clock,
    pub(super) phase: AtomicU64,
    pub(super) recovered_us: AtomicU64,
    /// Nodes that were restarted after the first reading had begun.
    pub(super) restarts: AtomicU64,
    /// How often it lied.
    pub(super) lies: AtomicU64,
    /// The key that it lies about, once it is chosen, with the reading it is given.
    pub(super) key: Mutex<Option<u64>>,
    pub(super) told: Mutex<Told>,
}

pub(super) fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
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

pub(super) fn refused<T>() -> Result<T, PortError> {
    Err(PortError::Definite("refused".into()))
}

/// By which door a store is reached.
#[derive(Clone, Debug)]
pub(super) struct Door {
    inner: Arc<dyn System>,
    role: Role,
    /// The standby's own copy, or that of the service that is sent to it.
    standby: bool,
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Liar {
    pub(super) inner: SimHost,
    pub(super) shared: Arc<Shared>,
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

    /// What the standby, or the store as users read it, shows of a record: an older write, if there was one.
    fn stale(&self, key: u64, found: Reading) -> Reading {
        let s = &self.shared;
        let old = self.lies()
            && match s.lie.kind {
                Kind::StaleStandby => self.standby,
                Kind::ReadsOlder => !s.in_phase(Phase::ReadBack),
                _ => false,
            };
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
            Kind::ReadsOlder => Ok(answer.map(|found| self.stale(key, found))),
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
