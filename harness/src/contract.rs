//! What every world promises, as functions that panic if it does not.
//!
//! A drill trusts these promises without looking: that an acknowledged write is there, that a killed node is silent
//! and keeps its data, that a mended link passes bytes, that damage is noticed. Each world runs [`all`] among its
//! tests, on a stack of its own with the roles `vector` and `object` and with backups of `vector`. Every law leaves
//! the stack as healthy as it found it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use crate::{
    act::{Act, Artifact, BackupKind, CutMode, Damage, Direction, EngineChoice, RestoreScope},
    corpus::{Corpus, LOADED_KEYS},
    plan::Plan,
    ports::{Effect, Host, Reading, System, Write},
    time::Dur,
    topology::{NodeId, Role},
};

/// What ought to be answered is answered within this.
const PATIENCE: Duration = Duration::from_secs(10);
/// What ought not to be answered is not answered within this.
const SILENCE: Duration = Duration::from_millis(300);
/// How late a delayed link makes each byte.
const DELAY: Duration = Duration::from_millis(150);
/// Reads of which the fastest tells whether a link is delayed.
const READS: usize = 5;
/// Stores that the laws are about.
const STORES: [Role; 2] = [Role::Object, Role::Vector];

/// Launches the stack, checks every law, and tears it down twice.
///
/// # Panics
/// With the law and what was seen instead.
pub async fn all(host: Arc<dyn Host>, plan: &Plan, corpus: &Corpus) {
    laws(host, plan, corpus, &STORES, true).await;
}

/// The same of some stores only, for a world that does not offer the others, or whose vector store does not verify
/// the files that it loads: what becomes of damage is then the product's own, and is no law.
///
/// # Panics
/// With the law and what was seen instead.
pub async fn stores(host: Arc<dyn Host>, plan: &Plan, corpus: &Corpus, roles: &[Role]) {
    laws(host, plan, corpus, roles, false).await;
}

async fn laws(host: Arc<dyn Host>, plan: &Plan, corpus: &Corpus, roles: &[Role], verifies: bool) {
    let lines = host.launch().await.unwrap_or_else(|e| panic!("the stack does not launch: {e}"));
    assert_eq!(lines.len(), plan.topology.nodes.len(), "launch answers with a line for each node: {lines:?}");
    let stand = Stand { host: host.as_ref(), plan, corpus, numbers: AtomicU64::new(1) };
    for &role in roles {
        writes_are_read_back(&stand, role).await;
        a_delete_is_a_delete(&stand, role).await;
        survivors_go_forward_and_are_complete(&stand, role).await;
        a_dead_node_is_silent_and_keeps_its_data(&stand, role).await;
        a_paused_node_is_silent_and_goes_on(&stand, role).await;
        a_cut_link_stops_service(&stand, role).await;
        a_delayed_link_is_slow(&stand, role).await;
    }
    if roles.contains(&Role::Vector) {
        a_search_finds_what_is_stored(&stand).await;
    }
    if roles.contains(&Role::Vector) && verifies {
        a_damaged_index_is_noticed_and_rebuilt(&stand).await;
        damaged_data_is_restored(&stand).await;
    }
    if roles.contains(&Role::Object) {
        damaged_objects_are_corrupt(&stand).await;
    }
    unknown_nodes_are_refused(&stand).await;
    teardown_ends_everything(&stand, roles).await;
}

/// A launched stack, and a source of records that nobody has used.
#[derive(Debug)]
struct Stand<'a> {
    host: &'a dyn Host,
    plan: &'a Plan,
    corpus: &'a Corpus,
    numbers: AtomicU64,
}

impl Stand<'_> {
    fn node(&self, role: Role) -> NodeId {
        let node = self.plan.topology.primary(role).cloned();
        node.unwrap_or_else(|| panic!("the contract needs the role {role}"))
    }

    fn system(&self, role: Role) -> Arc<dyn System> {
        self.host.system(role).unwrap_or_else(|| panic!("no system plays the role {role}"))
    }

    fn fresh(&self) -> Write {
        let n = self.numbers.fetch_add(1, Ordering::Relaxed);
        Write { key: LOADED_KEYS + n, ver: n, delete: false }
    }

    async fn perform(&self, act: &Act) -> Effect {
        timeout(6 * PATIENCE, self.host.act(act)).await.unwrap_or_else(|_| panic!("{act} does not end"))
    }

    /// Performs an act that must take effect.
    async fn must(&self, act: Act) {
        let effect = self.perform(&act).await;
        assert!(effect.outcome.observed(), "{act}: {:?}", effect.outcome);
    }

    /// Writes a record that must be acknowledged.
    async fn write(&self, role: Role, write: Write) {
        let done = timeout(PATIENCE, self.system(role).write(write)).await;
        assert_eq!(done, Ok(Ok(())), "{role}: {write:?} is not acknowledged");
    }

    async fn stored(&self, role: Role) -> Write {
        let write = self.fresh();
        self.write(role, write).await;
        write
    }

    async fn read(&self, role: Role, key: u64) -> Option<Reading> {
        match timeout(PATIENCE, self.system(role).read(key)).await {
            Ok(Ok(reading)) => reading,
            other => panic!("{role}: key {key} is not read: {other:?}"),
        }
    }

    async fn holds(&self, role: Role, write: Write) {
        assert_eq!(self.read(role, write.key).await, Some(Reading::Ver(write.ver)), "{role}: {write:?}");
    }

    /// The time of the fastest of some reads. A delay is on every one of them; a store that is slow by itself, or a
    /// machine that is busy, rarely is.
    async fn fastest_read(&self, role: Role, known: Write) -> Duration {
        let mut fastest = Duration::MAX;
        for _ in 0..READS {
            let began = Instant::now();
            self.holds(role, known).await;
            fastest = fastest.min(began.elapsed());
        }
        fastest
    }

    /// Neither reads nor writes are answered. The calls are given up, as the drill does it.
    async fn is_silent(&self, role: Role, known: Write, when: &str) {
        let system = self.system(role);
        let answer = timeout(SILENCE, system.read(known.key)).await;
        assert!(!matches!(answer, Ok(Ok(_))), "{role} {when} answers a read: {answer:?}");
        let answer = timeout(SILENCE, system.write(self.fresh())).await;
        assert!(!matches!(answer, Ok(Ok(()))), "{role} {when} acknowledges a write");
    }

    /// A read answers with the value again; a connection that broke meanwhile may cost some tries.
    async fn serves_again(&self, role: Role, known: Write, when: &str) {
        let began = Instant::now();
        loop {
            let answer = timeout(PATIENCE, self.system(role).read(known.key)).await;
            if let Ok(Ok(reading)) = answer {
                assert_eq!(reading, Some(Reading::Ver(known.ver)), "{role} {when}");
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{role} {when} does not serve: {answer:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything that a store holds, read in pages of `limit`.
    async fn survivors(&self, role: Role, limit: usize) -> BTreeMap<u64, Reading> {
        let (mut all, mut after) = (BTreeMap::new(), None);
        loop {
            let page = match timeout(PATIENCE, self.system(role).survivors(after, limit)).await {
                Ok(Ok(page)) => page,
                other => panic!("{role}: a page after {after:?} is not read: {other:?}"),
            };
            for (key, reading) in page.items {
                assert!(after.is_none_or(|after| key > after), "{role}: key {key} after {after:?}");
                assert!(all.last_key_value().is_none_or(|(last, _)| key > *last), "{role}: key {key} again");
                all.insert(key, reading);
            }
            match page.next {
                Some(next) => {
                    assert!(after < Some(next), "{role}: pages stand still at {next}");
                    after = Some(next);
                }
                None => return all,
            }
        }
    }

    async fn nearest(&self, key: u64, ver: u64) -> Result<Vec<u64>, String> {
        let query = self.corpus.vector(key, ver);
        match timeout(PATIENCE, self.system(Role::Vector).search(&query, 3)).await {
            Ok(answer) => answer.map_err(|e| e.to_string()),
            Err(_) => Err("no answer".into()),
        }
    }
}

async fn writes_are_read_back(s: &Stand<'_>, role: Role) {
    let first = s.stored(role).await;
    s.holds(role, first).await;
    assert_eq!(s.survivors(role, 100).await.get(&first.key), Some(&Reading::Ver(first.ver)), "{role}");
    let second = Write { ver: s.fresh().ver, ..first };
    s.write(role, second).await;
    s.holds(role, second).await;
    assert_eq!(s.read(role, s.fresh().key).await, None, "{role} has what was never written");
}

async fn a_delete_is_a_delete(s: &Stand<'_>, role: Role) {
    let write = s.stored(role).await;
    let delete = Write { ver: s.fresh().ver, delete: true, ..write };
    s.write(role, delete).await;
    assert_eq!(s.read(role, write.key).await, None, "{role}: deleted and still there");
    assert!(!s.survivors(role, 100).await.contains_key(&write.key), "{role}: deleted and still listed");
    s.write(role, Write { ver: s.fresh().ver, ..delete }).await;
}

async fn survivors_go_forward_and_are_complete(s: &Stand<'_>, role: Role) {
    let mut written = BTreeMap::new();
    for _ in 0..20 {
        let write = s.stored(role).await;
        written.insert(write.key, Reading::Ver(write.ver));
    }
    let (small, large) = (s.survivors(role, 7).await, s.survivors(role, 1000).await);
    assert_eq!(small, large, "{role}: pages of another size hold something else");
    for (key, reading) in written {
        assert_eq!(small.get(&key), Some(&reading), "{role}: key {key}");
    }
}

async fn a_dead_node_is_silent_and_keeps_its_data(s: &Stand<'_>, role: Role) {
    let (node, mut known) = (s.node(role), s.stored(role).await);
    for (word, end) in
        [("killed", Act::Kill { node: node.clone() }), ("stopped", Act::Stop { node: node.clone() })]
    {
        let before = s.survivors(role, 100).await;
        s.must(end).await;
        s.is_silent(role, known, word).await;
        // What is dead cannot be killed: a fault that finds nothing to do had no effect.
        let again = s.perform(&Act::Kill { node: node.clone() }).await;
        assert!(!again.outcome.observed(), "{role} {word}: killed again: {:?}", again.outcome);
        // A restart does not ask whether something runs.
        s.must(Act::Restart { node: node.clone() }).await;
        s.serves_again(role, known, word).await;
        let after = s.survivors(role, 100).await;
        let changed: Vec<_> =
            before.iter().filter(|(key, reading)| after.get(key) != Some(reading)).collect();
        assert!(changed.is_empty(), "{role} {word}: not what they were: {changed:?}");
        s.must(Act::Start { node: node.clone() }).await;
        known = s.stored(role).await;
    }
}

async fn a_paused_node_is_silent_and_goes_on(s: &Stand<'_>, role: Role) {
    let (node, known) = (s.node(role), s.stored(role).await);
    s.must(Act::Pause { node: node.clone() }).await;
    s.is_silent(role, known, "paused").await;
    s.must(Act::Resume { node: node.clone() }).await;
    s.serves_again(role, known, "resumed").await;
    s.must(Act::Pause { node: node.clone() }).await;
    s.must(Act::Kill { node: node.clone() }).await;
    s.must(Act::Start { node }).await;
    s.serves_again(role, known, "killed while it was paused").await;
}

async fn a_cut_link_stops_service(s: &Stand<'_>, role: Role) {
    let (to, known) = (s.node(role), s.stored(role).await);
    let refuse = [(CutMode::Refuse, Direction::Both)];
    let blackhole =
        [Direction::Both, Direction::ToNode, Direction::FromNode].map(|d| (CutMode::Blackhole, d));
    for (mode, direction) in refuse.into_iter().chain(blackhole) {
        let when = format!("behind a link that was cut ({mode}, {direction})");
        s.must(Act::Cut { from: None, to: to.clone(), mode, direction }).await;
        s.is_silent(role, known, &when).await;
        s.must(Act::Mend { from: None, to: to.clone() }).await;
        s.serves_again(role, known, &when).await;
        s.stored(role).await;
    }
    // A node that is restarted behind a dark link must not leave its users with a dead connection.
    s.must(Act::Cut { from: None, to: to.clone(), mode: CutMode::Blackhole, direction: Direction::Both })
        .await;
    s.is_silent(role, known, "behind a dark link").await;
    s.must(Act::Kill { node: to.clone() }).await;
    s.must(Act::Start { node: to.clone() }).await;
    s.is_silent(role, known, "restarted behind a dark link").await;
    s.must(Act::Mend { from: None, to }).await;
    s.serves_again(role, known, "restarted behind a dark link").await;
}

async fn a_delayed_link_is_slow(s: &Stand<'_>, role: Role) {
    let (to, known) = (s.node(role), s.stored(role).await);
    let by = Dur::from_millis(u64::try_from(DELAY.as_millis()).unwrap_or(u64::MAX));
    s.must(Act::Delay { from: None, to: to.clone(), by }).await;
    let delayed = s.fastest_read(role, known).await;
    assert!(delayed >= 2 * DELAY, "{role}: delayed, and a read took {delayed:?}");
    s.must(Act::Mend { from: None, to }).await;
    let mended = s.fastest_read(role, known).await;
    assert!(mended < 2 * DELAY, "{role}: mended, and of {READS} reads the fastest took {mended:?}");
}

async fn a_search_finds_what_is_stored(s: &Stand<'_>) {
    let node = s.node(Role::Vector);
    s.must(Act::Rebuild { node, engine: EngineChoice::Cpu }).await;
    let write = s.stored(Role::Vector).await;
    let first = |found: Result<Vec<u64>, String>| found.map(|keys| keys.first().copied());
    assert_eq!(first(s.nearest(write.key, write.ver).await), Ok(Some(write.key)), "newer than the index");
    let node = s.node(Role::Vector);
    s.must(Act::Rebuild { node, engine: EngineChoice::Auto }).await;
    assert_eq!(first(s.nearest(write.key, write.ver).await), Ok(Some(write.key)), "in the index");
    s.write(Role::Vector, Write { ver: s.fresh().ver, delete: true, ..write }).await;
    let found = s.nearest(write.key, write.ver).await;
    assert!(found.as_ref().is_ok_and(|keys| !keys.contains(&write.key)), "deleted and found: {found:?}");
}

/// The damage act on a node, followed by a restart that has to notice it.
async fn damage_and_restart(s: &Stand<'_>, node: &NodeId, what: Artifact, how: Damage) {
    s.must(Act::Damage { node: node.clone(), what, how, fraction: 0.01, seed: 7 }).await;
    s.must(Act::Kill { node: node.clone() }).await;
    s.must(Act::Start { node: node.clone() }).await;
}

async fn a_damaged_index_is_noticed_and_rebuilt(s: &Stand<'_>) {
    let (node, known) = (s.node(Role::Vector), s.stored(Role::Vector).await);
    for how in [Damage::Flip, Damage::Zero, Damage::Truncate, Damage::Swap, Damage::Delete] {
        s.must(Act::Rebuild { node: node.clone(), engine: EngineChoice::Auto }).await;
        assert!(s.nearest(known.key, known.ver).await.is_ok());
        damage_and_restart(s, &node, Artifact::Index, how).await;
        let found = s.nearest(known.key, known.ver).await;
        assert!(found.is_err(), "the index is damaged ({how}), and a search answers {found:?}");
        s.serves_again(Role::Vector, known, "with a damaged index").await;
        s.must(Act::Rebuild { node: node.clone(), engine: EngineChoice::Auto }).await;
        assert_eq!(
            s.nearest(known.key, known.ver).await.map(|found| found.first() == Some(&known.key)),
            Ok(true)
        );
    }
}

async fn damaged_data_is_restored(s: &Stand<'_>) {
    let (node, before) = (s.node(Role::Vector), s.stored(Role::Vector).await);
    s.must(Act::Rebuild { node: node.clone(), engine: EngineChoice::Auto }).await;
    s.must(Act::Backup { node: node.clone(), kind: BackupKind::Full }).await;
    let after = s.stored(Role::Vector).await;
    for what in [Artifact::Segment, Artifact::Manifest] {
        damage_and_restart(s, &node, what, Damage::Flip).await;
        s.is_silent(Role::Vector, before, &format!("with a damaged {what}")).await;
        s.must(Act::Restore { node: node.clone(), scope: RestoreScope::Full, model: None }).await;
        s.serves_again(Role::Vector, before, &format!("restored after its {what} was damaged")).await;
        if what == Artifact::Segment {
            // The log was intact, so what is newer than the backup is back as well.
            s.holds(Role::Vector, after).await;
        }
        let found = s.nearest(before.key, before.ver).await;
        assert_eq!(found.map(|found| found.first() == Some(&before.key)), Ok(true), "after {what}");
    }
}

async fn damaged_objects_are_corrupt(s: &Stand<'_>) {
    let mut written = Vec::new();
    for _ in 0..10 {
        written.push(s.stored(Role::Object).await);
    }
    let count = s.survivors(Role::Object, 100).await.len();
    let node = s.node(Role::Object);
    let (what, how) = (Artifact::Object, Damage::Flip);
    s.must(Act::Damage { node: node.clone(), what, how, fraction: 0.5, seed: 3 }).await;
    let found = s.survivors(Role::Object, 100).await;
    let corrupt: Vec<u64> =
        found.iter().filter(|(_, r)| **r == Reading::Corrupt).map(|(key, _)| *key).collect();
    assert_eq!(corrupt.len(), count.div_ceil(2), "half of {count} objects");
    for key in corrupt {
        let ver = s.fresh().ver;
        s.write(Role::Object, Write { key, ver, delete: false }).await;
        assert_eq!(s.read(Role::Object, key).await, Some(Reading::Ver(ver)));
    }
}

async fn unknown_nodes_are_refused(s: &Stand<'_>) {
    let node = NodeId::new("atlantis", Role::Vector);
    for act in [
        Act::Kill { node: node.clone() },
        Act::Start { node: node.clone() },
        Act::Backup { node, kind: BackupKind::Full },
    ] {
        let effect = s.perform(&act).await;
        assert!(!effect.outcome.observed(), "{act} is said to have had an effect: {:?}", effect.outcome);
    }
}

async fn teardown_ends_everything(s: &Stand<'_>, roles: &[Role]) {
    let known: Vec<(Role, Arc<dyn System>, Write)> = {
        let mut known = Vec::new();
        for &role in roles {
            known.push((role, s.system(role), s.stored(role).await));
        }
        known
    };
    for _ in 0..2 {
        let torn = timeout(6 * PATIENCE, s.host.teardown()).await;
        assert_eq!(torn, Ok(Ok(())), "the stack is not torn down");
        for (role, system, write) in &known {
            let answer = timeout(SILENCE, system.read(write.key)).await;
            assert!(!matches!(answer, Ok(Ok(_))), "{role} answers after the teardown: {answer:?}");
        }
    }
    for &role in roles {
        let start = s.perform(&Act::Start { node: s.node(role) }).await;
        assert!(!start.outcome.observed(), "{role} is started after the teardown: {:?}", start.outcome);
    }
}
