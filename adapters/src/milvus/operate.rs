//! What operators do to a collection. Everything that is awaited has a limit, and says what it last saw.

use std::time::Duration;

use futures::future::BoxFuture;
use milvus::proto::common::{ConsistencyLevel, IndexState as Stage, LoadState as Loaded, SegmentState};
use milvus::proto::milvus::{
    CreateCollectionRequest, CreateIndexRequest, DescribeIndexRequest, DropIndexRequest, FlushRequest,
    GetFlushStateRequest, GetLoadStateRequest, GetPersistentSegmentInfoRequest, LoadCollectionRequest,
    ReleaseCollectionRequest,
};
use milvus::proto::schema::{CollectionSchema, DataType, FieldSchema};
use prost::Message as _;
use tokio::time::{Instant, sleep, timeout};

use super::client::{KEY, VECTOR, VER, pairs};
use super::error::{MilvusError, check};
use super::{Audit, Client, is_binlog};

/// Milvus has no events to wait for: it is asked this often.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How long one question may take.
const ANSWER: Duration = Duration::from_secs(2);
/// A flush that has not ended by then is ordered again, and given twice as long: an order is for all that is written by
/// then, so that one after the other might never end beside writers.
const FLUSH_AGAIN: Duration = Duration::from_secs(12);
const INDEX: &str = "vector_index";

/// What is built over the vectors. Distances are squared Euclidean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexKind {
    /// A graph: M 16, efConstruction 200.
    Hnsw,
    /// Lists of whole vectors: nlist 128.
    IvfFlat,
}

impl IndexKind {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            IndexKind::Hnsw => ("HNSW", "{\"M\": 16, \"efConstruction\": 200}"),
            IndexKind::IvfFlat => ("IVF_FLAT", "{\"nlist\": 128}"),
        }
    }
}

/// How far an index is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexState {
    /// Milvus's word for it: `Finished`, `InProgress`, ...
    pub stage: String,
    /// Rows that it covers.
    pub indexed: u64,
    /// Rows that it should cover.
    pub total: u64,
    /// Rows that are waiting.
    pub pending: u64,
}

/// Whether a collection is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadState {
    /// No, or there is no such collection.
    NotLoaded,
    /// On the way; a damaged index stays here for ever.
    Loading,
    /// Yes. Says nothing of what was loaded.
    Loaded,
}

/// A segment that is in the object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its number, a folder's name in the object store.
    pub id: i64,
    /// The collection's number.
    pub collection: i64,
    /// Rows, removed ones included.
    pub rows: i64,
    /// True once all of it is in the object store.
    pub flushed: bool,
}

impl Client {
    /// Makes the collection, empty and without an index.
    pub async fn create(&self, dim: usize) -> Result<(), MilvusError> {
        let field = |name: &str, kind: DataType| FieldSchema {
            name: name.into(),
            data_type: kind as i32,
            is_primary_key: name == KEY,
            ..Default::default()
        };
        let mut vector = field(VECTOR, DataType::FloatVector);
        vector.type_params = pairs(&[("dim", &dim.to_string())]);
        let fields = vec![field(KEY, DataType::Int64), field(VER, DataType::Int64), vector];
        let schema = CollectionSchema { name: self.collection.clone(), fields, ..Default::default() };
        let request = CreateCollectionRequest {
            collection_name: self.collection.clone(),
            schema: schema.encode_to_vec(),
            shards_num: 1,
            consistency_level: ConsistencyLevel::Strong as i32,
            ..Default::default()
        };
        check(Some(self.stub.clone().create_collection(request).await?.into_inner()))
    }

    /// Seals what is growing, and waits until all of it is in the object store.
    pub async fn flush(&self, limit: Duration) -> Result<(), MilvusError> {
        let (began, mut patience) = (Instant::now(), FLUSH_AGAIN);
        loop {
            let left = limit.saturating_sub(began.elapsed());
            let step = left.min(patience);
            let once = async { self.flushed(&self.order_flush(step).await?, step).await };
            match once.await {
                // A server that has just started forgets an order for what it does not watch yet.
                Err(MilvusError::Late { .. }) if left > step => patience *= 2,
                done => return done,
            }
        }
    }

    /// Orders a flush; answers with what to ask for its end.
    async fn order_flush(&self, limit: Duration) -> Result<GetFlushStateRequest, MilvusError> {
        let collection_name = self.collection.clone();
        let request = FlushRequest { collection_names: vec![collection_name.clone()], ..Default::default() };
        let sent = timeout(limit, self.stub.clone().flush(request)).await;
        let late = |_| MilvusError::Late { what: "an answer to flush", limit, seen: "silence".into() };
        let answer = sent.map_err(late)??.into_inner();
        check(answer.status)?;
        let of = |map: &std::collections::HashMap<String, milvus::proto::schema::LongArray>| {
            map.get(&collection_name).map(|ids| ids.data.clone()).unwrap_or_default()
        };
        Ok(GetFlushStateRequest {
            segment_i_ds: of(&answer.coll_seg_i_ds),
            flush_ts: answer.coll_flush_ts.get(&collection_name).copied().unwrap_or_default(),
            collection_name: collection_name.clone(),
            ..Default::default()
        })
    }

    async fn flushed(&self, ordered: &GetFlushStateRequest, limit: Duration) -> Result<(), MilvusError> {
        until("flush", limit, || {
            let (mut stub, state) = (self.stub.clone(), ordered.clone());
            Box::pin(async move {
                let answer = stub.get_flush_state(state).await?.into_inner();
                check(answer.status)?;
                Ok(if answer.flushed { Ok(()) } else { Err("not flushed".into()) })
            })
        })
        .await
    }

    /// Orders an index and waits until it covers every flushed row.
    pub async fn build_index(&self, kind: IndexKind, limit: Duration) -> Result<IndexState, MilvusError> {
        let (name, params) = kind.words();
        let request = CreateIndexRequest {
            collection_name: self.collection.clone(),
            field_name: VECTOR.into(),
            extra_params: pairs(&[("index_type", name), ("metric_type", "L2"), ("params", params)]),
            index_name: INDEX.into(),
            ..Default::default()
        };
        check(Some(self.stub.clone().create_index(request).await?.into_inner()))?;
        until("a finished index", limit, || {
            Box::pin(async {
                let state = self.index_state().await?;
                let done = state.stage == "Finished" && state.pending == 0 && state.indexed >= state.total;
                Ok(if done { Ok(state) } else { Err(format!("{state:?}")) })
            })
        })
        .await
    }

    /// How far the index is.
    pub async fn index_state(&self) -> Result<IndexState, MilvusError> {
        let request = DescribeIndexRequest {
            collection_name: self.collection.clone(),
            field_name: VECTOR.into(),
            ..Default::default()
        };
        let answer = self.stub.clone().describe_index(request).await?.into_inner();
        check(answer.status)?;
        let [index] = answer.index_descriptions.as_slice() else {
            return Err(MilvusError::Garbled(format!("{} indexes", answer.index_descriptions.len())));
        };
        let rows = |n: i64| u64::try_from(n).map_err(|e| MilvusError::Garbled(e.to_string()));
        let stage =
            Stage::try_from(index.state).map_or_else(|_| index.state.to_string(), |s| format!("{s:?}"));
        Ok(IndexState {
            stage,
            indexed: rows(index.indexed_rows)?,
            total: rows(index.total_rows)?,
            pending: rows(index.pending_index_rows)?,
        })
    }

    /// Removes the index. The collection has to be released.
    pub async fn drop_index(&self) -> Result<(), MilvusError> {
        let request = DropIndexRequest {
            collection_name: self.collection.clone(),
            field_name: VECTOR.into(),
            index_name: INDEX.into(),
            ..Default::default()
        };
        check(Some(self.stub.clone().drop_index(request).await?.into_inner()))
    }

    /// Orders the collection into memory; does not wait.
    pub async fn load(&self) -> Result<(), MilvusError> {
        let request = LoadCollectionRequest {
            collection_name: self.collection.clone(),
            replica_number: 1,
            ..Default::default()
        };
        check(Some(self.stub.clone().load_collection(request).await?.into_inner()))
    }

    /// Takes the collection out of memory.
    pub async fn release(&self) -> Result<(), MilvusError> {
        let request =
            ReleaseCollectionRequest { collection_name: self.collection.clone(), ..Default::default() };
        check(Some(self.stub.clone().release_collection(request).await?.into_inner()))
    }

    /// Whether the collection is in memory, by Milvus's own account.
    pub async fn load_state(&self) -> Result<LoadState, MilvusError> {
        let request = GetLoadStateRequest { collection_name: self.collection.clone(), ..Default::default() };
        let answer = self.stub.clone().get_load_state(request).await?.into_inner();
        check(answer.status)?;
        Ok(match Loaded::try_from(answer.state) {
            Ok(Loaded::Loaded) => LoadState::Loaded,
            Ok(Loaded::Loading) => LoadState::Loading,
            _ => LoadState::NotLoaded,
        })
    }

    /// Waits until Milvus says that the collection is in memory.
    pub async fn loaded(&self, limit: Duration) -> Result<(), MilvusError> {
        until("the collection in memory", limit, || {
            Box::pin(async {
                let state = self.load_state().await?;
                Ok(if state == LoadState::Loaded { Ok(()) } else { Err(format!("{state:?}")) })
            })
        })
        .await
    }

    /// Waits until a real search is answered with as many keys as asked for: the only sign of readiness there is.
    pub async fn searchable(&self, query: &[f32], k: usize, limit: Duration) -> Result<(), MilvusError> {
        until("a search", limit, || {
            Box::pin(async {
                Ok(match self.search(query, k).await {
                    Ok(keys) if keys.len() == k => Ok(()),
                    Ok(keys) => Err(format!("{} keys of {k}", keys.len())),
                    Err(error) => Err(error.to_string()),
                })
            })
        })
        .await
    }

    /// The segments that the metadata knows.
    pub async fn segments(&self) -> Result<Vec<Segment>, MilvusError> {
        let request = GetPersistentSegmentInfoRequest {
            collection_name: self.collection.clone(),
            ..Default::default()
        };
        let answer = self.stub.clone().get_persistent_segment_info(request).await?.into_inner();
        check(answer.status)?;
        let segment = |info: milvus::proto::milvus::PersistentSegmentInfo| Segment {
            id: info.segment_id,
            collection: info.collection_id,
            rows: info.num_rows,
            flushed: info.state == SegmentState::Flushed as i32,
        };
        Ok(answer.infos.into_iter().map(segment).collect())
    }

    /// Builds the index anew from the segments' data, loads it and waits for a search. See [`Client::rebuild_of`].
    pub async fn rebuild(
        &self,
        kind: IndexKind,
        audit: &Audit,
        query: &[f32],
        limit: Duration,
    ) -> Result<(), MilvusError> {
        self.rebuild_of(kind, audit, limit).await?;
        self.searchable(query, 10, limit).await
    }

    /// Builds the index anew from the segments' data, and orders it into memory. `audit` is a fresh one of the objects:
    /// an index build that reads a damaged segment file kills the server, again after each restart.
    pub async fn rebuild_of(
        &self,
        kind: IndexKind,
        audit: &Audit,
        limit: Duration,
    ) -> Result<(), MilvusError> {
        let rotten: Vec<_> = audit.wrong().filter(|key| is_binlog(key)).collect();
        if let Some(first) = rotten.first() {
            return Err(MilvusError::RottenSegments(rotten.len(), (*first).to_owned()));
        }
        self.release().await?;
        self.drop_index().await?;
        self.build_index(kind, limit).await?;
        self.load().await
    }
}

/// Asks until the answer is `Ok`, within a limit. Errors end it, except silence, which is seen as such.
async fn until<'a, T>(
    what: &'static str,
    limit: Duration,
    mut ask: impl FnMut() -> BoxFuture<'a, Result<Result<T, String>, MilvusError>>,
) -> Result<T, MilvusError> {
    let end = Instant::now() + limit;
    let mut seen = String::from("nothing");
    while Instant::now() < end {
        match timeout(ANSWER, ask()).await {
            Ok(Ok(Ok(found))) => return Ok(found),
            Ok(Ok(Err(other))) => seen = other,
            Ok(Err(error)) => return Err(error),
            Err(_) => seen = "silence".into(),
        }
        sleep(ASK_EVERY).await;
    }
    Err(MilvusError::Late { what, limit, seen })
}
