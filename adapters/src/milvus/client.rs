//! One attempt a call, no retry, no deadline of its own: the caller drops what takes too long.
//!
//! A row is `key` (primary key), `ver` (number of the write) and `vector`. All reads are at Strong consistency,
//! but for those of a follower that will look again. Milvus
//! answers a query with one row for each primary key, so a key stored twice cannot be seen from outside.

use std::time::Duration;

use milvus::proto::common::{
    ConsistencyLevel, DslType, KeyValuePair, PlaceholderGroup, PlaceholderType, PlaceholderValue,
};
use milvus::proto::milvus::milvus_service_client::MilvusServiceClient;
use milvus::proto::milvus::{
    DeleteRequest, InsertRequest, QueryRequest, SearchRequest, UpsertRequest, search_request::SearchInput,
};
use milvus::proto::schema::{
    DataType, FieldData, FloatArray, LongArray, ScalarField, VectorField, field_data, i_ds, scalar_field,
    vector_field,
};
use prost::Message as _;
use tonic::transport::{Channel, Endpoint};

use super::error::{MilvusError, check};

/// Larger than any page that is asked for.
const ANSWER_MAX: usize = 256 << 20;
/// Negative keys that are listed; more would say nothing new.
const STRANGERS_MAX: usize = 10_000;
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(2);
/// How often a silent connection is felt. Milvus hangs up on a client that does so more often than every 5 s (gRPC's
/// `too_many_pings`), and with it breaks every call that takes longer than a few of them.
const FEEL: Duration = Duration::from_secs(6);
const _: () = assert!(FEEL.as_secs() > 5, "Milvus would hang up");
/// How long a connection may then be silent.
const ALIVE: Duration = Duration::from_secs(2);
pub(super) const KEY: &str = "key";
pub(super) const VER: &str = "ver";
pub(super) const VECTOR: &str = "vector";

/// A stored record.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Primary key.
    pub key: u64,
    /// Number of the write.
    pub ver: u64,
    /// The vector.
    pub vector: Vec<f32>,
}

/// A client of one collection. Clones share a connection, which is made on the first call and anew after it broke.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) stub: MilvusServiceClient<Channel>,
    pub(super) collection: String,
}

impl Client {
    /// A client of `collection` at `endpoint` (`http://host:port`).
    pub fn new(endpoint: &str, collection: &str) -> Result<Self, MilvusError> {
        let endpoint = Endpoint::from_shared(endpoint.to_owned())
            .map_err(|e| MilvusError::Unspeakable(format!("endpoint {endpoint:?}: {e}")))?;
        // A connection through a link that swallows everything is given up, and the next call makes a new one.
        let endpoint = endpoint
            .tcp_nodelay(true)
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(FEEL)
            .keep_alive_timeout(ALIVE)
            .keep_alive_while_idle(true);
        let stub = MilvusServiceClient::new(endpoint.connect_lazy());
        Ok(Self { stub: stub.max_decoding_message_size(ANSWER_MAX), collection: collection.into() })
    }

    /// A client of another collection, over the same connection.
    #[must_use]
    pub fn of(&self, collection: &str) -> Self {
        Self { collection: collection.into(), ..self.clone() }
    }

    /// Stores rows whose keys are new. Milvus does not look: a key that is there is stored twice.
    pub async fn insert(&self, rows: &[Row]) -> Result<(), MilvusError> {
        let request = InsertRequest {
            collection_name: self.collection.clone(),
            fields_data: columns(rows)?,
            num_rows: count(rows.len())?,
            ..Default::default()
        };
        let answer = self.stub.clone().insert(request).await?.into_inner();
        check(answer.status)?;
        stored(answer.insert_cnt, rows.len())
    }

    /// Stores rows, each in the place of one with its key.
    pub async fn upsert(&self, rows: &[Row]) -> Result<(), MilvusError> {
        let request = UpsertRequest {
            collection_name: self.collection.clone(),
            fields_data: columns(rows)?,
            num_rows: count(rows.len())?,
            ..Default::default()
        };
        let answer = self.stub.clone().upsert(request).await?.into_inner();
        check(answer.status)?;
        stored(answer.upsert_cnt, rows.len())
    }

    /// Removes a row; one that is not there is fine.
    pub async fn delete(&self, key: u64) -> Result<(), MilvusError> {
        self.delete_some(&[key]).await
    }

    pub(super) async fn delete_some(&self, keys: &[u64]) -> Result<(), MilvusError> {
        let keys: Vec<String> =
            keys.iter().map(|key| signed(*key).map(|key| key.to_string())).collect::<Result<_, _>>()?;
        let request = DeleteRequest {
            collection_name: self.collection.clone(),
            expr: format!("{KEY} in [{}]", keys.join(",")),
            ..Default::default()
        };
        check(self.stub.clone().delete(request).await?.into_inner().status)
    }

    /// The row of a key.
    pub async fn get(&self, key: u64) -> Result<Option<Row>, MilvusError> {
        let mut rows = self.rows(format!("{KEY} == {}", signed(key)?), None).await?;
        match (rows.pop(), rows.len()) {
            (row, 0) => Ok(row),
            (_, more) => Err(MilvusError::Garbled(format!("{} rows for one key", more + 1))),
        }
    }

    /// Rows with keys above `after`, lowest first.
    pub async fn page(&self, after: Option<u64>, limit: usize) -> Result<Vec<Row>, MilvusError> {
        let above = match after {
            Some(after) => signed(after)?,
            None => -1,
        };
        let mut rows = self.rows(format!("{KEY} > {above}"), Some(limit)).await?;
        rows.sort_by_key(|row| row.key);
        Ok(rows)
    }

    /// Keys that are negative, as many as one answer has room for. No page of keys from 0 on would show them.
    pub async fn strangers(&self) -> Result<Vec<i64>, MilvusError> {
        let fields = self.query(format!("{KEY} < 0"), vec![KEY.into()], Some(STRANGERS_MAX)).await?;
        let mut keys =
            fields.iter().find(|field| field.field_name == KEY).and_then(longs).unwrap_or_default().to_vec();
        keys.sort_unstable();
        Ok(keys)
    }

    /// How many rows there are.
    pub async fn count(&self) -> Result<u64, MilvusError> {
        self.count_of(String::new()).await
    }

    /// How many rows an expression is true of.
    pub(super) async fn count_of(&self, expr: String) -> Result<u64, MilvusError> {
        let fields = self.query(expr, vec!["count(*)".into()], None).await?;
        let counts = fields.iter().find_map(longs);
        match counts {
            Some([count]) => unsigned(*count),
            other => Err(MilvusError::Garbled(format!("count(*) is {other:?}"))),
        }
    }

    /// The nearest keys by squared distance, nearest first.
    pub async fn search(&self, query: &[f32], k: usize) -> Result<Vec<u64>, MilvusError> {
        let values = vec![query.iter().flat_map(|v| v.to_le_bytes()).collect()];
        let kind = PlaceholderType::FloatVector as i32;
        let asked = PlaceholderValue { tag: "$0".into(), r#type: kind, values, ..Default::default() };
        let group = PlaceholderGroup { placeholders: vec![asked] };
        let request = SearchRequest {
            collection_name: self.collection.clone(),
            search_input: Some(SearchInput::PlaceholderGroup(group.encode_to_vec())),
            dsl_type: DslType::BoolExprV1 as i32,
            search_params: pairs(&[
                ("anns_field", VECTOR),
                ("topk", &k.to_string()),
                ("metric_type", "L2"),
                // Each kind of index takes its own and ignores the other.
                ("params", "{\"ef\": 128, \"nprobe\": 16}"),
                ("round_decimal", "-1"),
            ]),
            nq: 1,
            consistency_level: ConsistencyLevel::Strong as i32,
            ..Default::default()
        };
        let answer = self.stub.clone().search(request).await?.into_inner();
        check(answer.status)?;
        match answer.results.and_then(|r| r.ids).and_then(|ids| ids.id_field) {
            Some(i_ds::IdField::IntId(ids)) => ids.data.into_iter().map(unsigned).collect(),
            None => Ok(Vec::new()),
            Some(_) => Err(MilvusError::Garbled("keys that are no integers".into())),
        }
    }

    async fn rows(&self, expr: String, limit: Option<usize>) -> Result<Vec<Row>, MilvusError> {
        let fields = self.query(expr, vec![KEY.into(), VER.into(), VECTOR.into()], limit).await?;
        rows(&fields)
    }

    pub(super) async fn query(
        &self,
        expr: String,
        output_fields: Vec<String>,
        limit: Option<usize>,
    ) -> Result<Vec<FieldData>, MilvusError> {
        self.query_at(ConsistencyLevel::Strong, expr, output_fields, limit).await
    }

    pub(super) async fn query_at(
        &self,
        level: ConsistencyLevel,
        expr: String,
        output_fields: Vec<String>,
        limit: Option<usize>,
    ) -> Result<Vec<FieldData>, MilvusError> {
        let query_params = match limit {
            // Without the second, a page may leave out keys that a segment did not get to.
            Some(limit) => pairs(&[("limit", &limit.to_string()), ("reduce_stop_for_best", "true")]),
            None => Vec::new(),
        };
        let request = QueryRequest {
            collection_name: self.collection.clone(),
            expr,
            output_fields,
            query_params,
            consistency_level: level as i32,
            ..Default::default()
        };
        let answer = self.stub.clone().query(request).await?.into_inner();
        check(answer.status)?;
        Ok(answer.fields_data)
    }
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<KeyValuePair> {
    pairs.iter().map(|(key, value)| KeyValuePair { key: (*key).into(), value: (*value).into() }).collect()
}

fn signed(key: u64) -> Result<i64, MilvusError> {
    i64::try_from(key).map_err(|_| MilvusError::Unspeakable(format!("key {key} does not fit an Int64 field")))
}

fn unsigned(value: i64) -> Result<u64, MilvusError> {
    u64::try_from(value).map_err(|_| MilvusError::Garbled(format!("{value} where nothing is negative")))
}

fn count(rows: usize) -> Result<u32, MilvusError> {
    u32::try_from(rows).map_err(|e| MilvusError::Unspeakable(e.to_string()))
}

fn stored(count: i64, wanted: usize) -> Result<(), MilvusError> {
    if usize::try_from(count) == Ok(wanted) {
        return Ok(());
    }
    Err(MilvusError::Garbled(format!("{count} rows acknowledged instead of {wanted}")))
}

fn columns(rows: &[Row]) -> Result<Vec<FieldData>, MilvusError> {
    let dim = rows.first().map_or(0, |row| row.vector.len());
    if dim == 0 || rows.iter().any(|row| row.vector.len() != dim) {
        return Err(MilvusError::Unspeakable("rows need vectors of one length".into()));
    }
    let longs = |name: &str, data: Vec<i64>| FieldData {
        r#type: DataType::Int64 as i32,
        field_name: name.into(),
        field: Some(field_data::Field::Scalars(ScalarField {
            data: Some(scalar_field::Data::LongData(LongArray { data })),
            ..Default::default()
        })),
        ..Default::default()
    };
    let data = rows.iter().flat_map(|row| row.vector.iter().copied()).collect();
    let vectors = VectorField {
        dim: i64::try_from(dim).map_err(|e| MilvusError::Unspeakable(e.to_string()))?,
        data: Some(vector_field::Data::FloatVector(FloatArray { data })),
        ..Default::default()
    };
    Ok(vec![
        longs(KEY, rows.iter().map(|row| signed(row.key)).collect::<Result<_, _>>()?),
        longs(VER, rows.iter().map(|row| signed(row.ver)).collect::<Result<_, _>>()?),
        FieldData {
            r#type: DataType::FloatVector as i32,
            field_name: VECTOR.into(),
            field: Some(field_data::Field::Vectors(vectors)),
            ..Default::default()
        },
    ])
}

pub(crate) fn longs(field: &FieldData) -> Option<&[i64]> {
    match field.field.as_ref()? {
        field_data::Field::Scalars(ScalarField { data: Some(scalar_field::Data::LongData(l)), .. }) => {
            Some(&l.data)
        }
        _ => None,
    }
}

pub(super) fn rows(fields: &[FieldData]) -> Result<Vec<Row>, MilvusError> {
    let garbled = |why: String| MilvusError::Garbled(why);
    let column = |name: &str| fields.iter().find(|field| field.field_name == name);
    // An empty result has no columns, or empty ones.
    let (Some(keys), Some(vers)) = (column(KEY).and_then(longs), column(VER).and_then(longs)) else {
        let nothing = fields.iter().all(|field| longs(field).is_none_or(<[i64]>::is_empty));
        return if nothing { Ok(Vec::new()) } else { Err(garbled("columns are missing".into())) };
    };
    if keys.is_empty() && vers.is_empty() {
        return Ok(Vec::new());
    }
    let floats = match column(VECTOR).and_then(|field| field.field.as_ref()) {
        Some(field_data::Field::Vectors(VectorField {
            dim,
            data: Some(vector_field::Data::FloatVector(floats)),
            ..
        })) => usize::try_from(*dim).ok().filter(|dim| *dim > 0).map(|dim| (dim, &floats.data)),
        _ => None,
    };
    let (dim, floats) = floats.ok_or_else(|| garbled("no vectors".into()))?;
    if vers.len() != keys.len() || keys.len().checked_mul(dim) != Some(floats.len()) {
        let why = format!("{} keys, {} numbers, {} floats", keys.len(), vers.len(), floats.len());
        return Err(garbled(why));
    }
    keys.iter()
        .zip(vers)
        .zip(floats.chunks_exact(dim))
        .map(|((key, ver), vector)| {
            // A number that no write has belongs to a value that no write had.
            let ver = u64::try_from(*ver).unwrap_or(u64::MAX);
            Ok(Row { key: unsigned(*key)?, ver, vector: vector.to_vec() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Vec<Row> {
        let row = |key| Row { key, ver: key + 1, vector: vec![key as f32, -0.0, f32::MIN_POSITIVE] };
        vec![row(3), row(9)]
    }

    #[test]
    fn columns_and_rows_are_each_others_inverse() {
        assert_eq!(rows(&columns(&two()).unwrap()).unwrap(), two());
        assert_eq!(rows(&[]).unwrap(), Vec::new());
    }

    #[test]
    fn what_does_not_fit_is_never_a_row() {
        for lost in 0..3 {
            let mut fields = columns(&two()).unwrap();
            fields.remove(lost);
            assert!(matches!(rows(&fields), Err(MilvusError::Garbled(_))), "without column {lost}");
        }
        let mut short = columns(&two()).unwrap();
        short[1] = columns(&two()[..1]).unwrap().remove(1);
        assert!(rows(&short).is_err());
        assert!(columns(&[Row { key: u64::MAX, ver: 0, vector: vec![1.0] }]).is_err());
        assert!(columns(&[]).is_err());
    }
}
