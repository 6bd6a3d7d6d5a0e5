//! The smallest product that can be replicated: a map in one file, rewritten for every commit.

use super::super::{BATCH_BYTES, Batch, Position, Replicable};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use tokio::sync::watch;

/// Version and value; without a value a deletion. Ordered by version, then by value.
pub(super) type State = (u64, Option<String>);

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Data {
    timeline: u64,
    last: u64,
    /// With the lsn of the key's last change.
    entries: BTreeMap<u64, (State, u64)>,
}

#[derive(Debug)]
pub(super) struct Toy {
    file: Option<PathBuf>,
    data: Mutex<Data>,
    durable: watch::Sender<u64>,
}

fn timeline() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

impl Toy {
    fn of(file: Option<PathBuf>, data: Data) -> Self {
        let durable = watch::Sender::new(data.last);
        Self { file, data: Mutex::new(data), durable }
    }

    pub(super) fn in_memory() -> Self {
        Self::of(None, Data { timeline: timeline(), ..Data::default() })
    }

    pub(super) fn open(dir: &Path) -> Self {
        let file = dir.join("toy");
        let data = match std::fs::read(&file) {
            Ok(bytes) => postcard::from_bytes(&bytes).unwrap(),
            Err(_) => Data { timeline: timeline(), ..Data::default() },
        };
        let toy = Self::of(Some(file), data);
        toy.commit(&mut toy.data());
        toy
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap()
    }

    fn commit(&self, data: &mut Data) {
        if let Some(file) = &self.file {
            let next = file.with_extension("next");
            std::fs::write(&next, postcard::to_stdvec(data).unwrap()).unwrap();
            std::fs::rename(&next, file).unwrap();
        }
        self.durable.send_replace(data.last);
    }

    fn store(&self, states: impl IntoIterator<Item = (u64, State)>) -> u64 {
        let mut data = self.data();
        let before = data.last;
        for (key, state) in states {
            if data.entries.get(&key).is_none_or(|(old, _)| *old < state) {
                data.last += 1;
                let lsn = data.last;
                data.entries.insert(key, (state, lsn));
            }
        }
        if data.last > before {
            self.commit(&mut data);
        }
        data.last
    }

    pub(super) fn put(&self, key: u64, ver: u64) -> u64 {
        self.store([(key, (ver, Some(format!("{key} at {ver}"))))])
    }

    pub(super) fn set(&self, key: u64, state: State) -> u64 {
        self.store([(key, state)])
    }

    pub(super) fn contents(&self) -> BTreeMap<u64, State> {
        self.data().entries.iter().map(|(key, (state, _))| (*key, state.clone())).collect()
    }

    pub(super) fn clear(&self) {
        let mut data = self.data();
        *data = Data { timeline: timeline(), ..Data::default() };
        self.commit(&mut data);
    }

    /// As [`Replicable::changes`], at once.
    pub(super) fn tell(&self, since: u64, limit: usize) -> Batch {
        let data = self.data();
        let newer = |(key, (state, lsn)): (&u64, &(State, u64))| {
            (*lsn > since).then(|| (*lsn, postcard::to_stdvec(&(key, state)).unwrap()))
        };
        let mut changes: Vec<_> = data.entries.iter().filter_map(newer).collect();
        changes.sort();
        let (mut ops, mut upto, mut bytes) = (Vec::new(), since, 0);
        for (lsn, op) in changes {
            if ops.len() >= limit || bytes >= BATCH_BYTES {
                return Batch { ops, upto, more: true };
            }
            bytes += op.len();
            upto = lsn;
            ops.push(Bytes::from(op));
        }
        Batch { ops, upto: data.last, more: false }
    }

    /// As [`Replicable::apply`], at once.
    pub(super) fn take(&self, ops: &[Bytes]) -> Result<(), String> {
        let parse = |op: &Bytes| postcard::from_bytes::<(u64, State)>(op).map_err(|error| error.to_string());
        let states = ops.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        self.store(states);
        Ok(())
    }
}

#[async_trait::async_trait]
impl Replicable for Toy {
    fn position(&self) -> Position {
        let data = self.data();
        Position { timeline: data.timeline, lsn: data.last }
    }

    fn durable(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }

    async fn changes(&self, since: u64, limit: usize) -> Result<Batch, String> {
        Ok(self.tell(since, limit))
    }

    async fn apply(&self, ops: Vec<Bytes>) -> Result<(), String> {
        self.take(&ops)
    }

    async fn wipe(&self) -> Result<(), String> {
        self.clear();
        Ok(())
    }
}
