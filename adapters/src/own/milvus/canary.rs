//! Collections of gameday's own: that of the canaries, and marks of a drill in a scratch place.

use std::time::Duration;

use harness::own::event::Planted;
use milvus::proto::common::ConsistencyLevel;
use milvus::proto::milvus::{
    CreateCollectionRequest, CreateIndexRequest, DeleteRequest, DropCollectionRequest,
    GetLoadingProgressRequest, InsertRequest, LoadCollectionRequest,
};
use milvus::proto::schema::{
    CollectionSchema, DataType, FieldData, FieldSchema, FloatArray, LongArray, ScalarField, StringArray,
    VectorField, field_data, scalar_field, vector_field,
};
use prost::Message as _;
use tokio::time::{Instant, sleep};

use super::layout::Layout;
use super::link::{LIMIT, Link, NOT_LOADED, checked, unread, within};
use super::read::pages;
use super::rows::{Key, Page};
use crate::milvus::{MilvusError, pairs};
use crate::own::place::{Record, Unread, digest};

/// What the description of our collections begins with: one without it is somebody else's.
const MARKER: &str = "canaries of gameday";
/// How long loading our collection may take.
const LOAD_LIMIT: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(200);
/// More are not read.
const CANARIES_MAX: u64 = 200_000;
/// Keys that are removed in one call.
const REMOVED: usize = 500;
/// The fields of a canary.
const FIELDS: [&str; 3] = ["id", "planted_us", "value"];

fn field(name: &str, kind: DataType, params: &[(&str, &str)]) -> FieldSchema {
    FieldSchema {
        name: name.into(),
        data_type: kind as i32,
        type_params: pairs(params),
        is_primary_key: name == "id",
        ..Default::default()
    }
}

/// Makes an empty collection of ours: that of canaries, or a mark.
pub(super) async fn make(link: &Link, collection: &str) -> Result<(), Unread> {
    let schema = CollectionSchema {
        name: collection.to_owned(),
        description: format!("{MARKER}: see `gameday canary --help`"),
        fields: vec![
            field("id", DataType::VarChar, &[("max_length", "256")]),
            field("planted_us", DataType::Int64, &[]),
            field("value", DataType::VarChar, &[("max_length", "256")]),
            // A collection has to have one.
            field("vector", DataType::FloatVector, &[("dim", "2")]),
        ],
        ..Default::default()
    };
    let request = CreateCollectionRequest {
        db_name: link.database(),
        collection_name: collection.to_owned(),
        schema: schema.encode_to_vec(),
        shards_num: 1,
        consistency_level: ConsistencyLevel::Strong as i32,
        ..Default::default()
    };
    checked(Some(within(LIMIT, link.stub.clone().create_collection(link.ask(request))).await?))
}

/// Has the collection of canaries ready to be asked; refuses one that is not ours.
pub(super) async fn ready(link: &Link, collection: &str) -> Result<(), Unread> {
    if !link.has(collection).await? {
        make(link, collection).await?;
    }
    is_ours(link, collection).await?;
    if link.indexes(collection).await?.is_empty() {
        let request = CreateIndexRequest {
            db_name: link.database(),
            collection_name: collection.to_owned(),
            field_name: "vector".into(),
            extra_params: pairs(&[("index_type", "FLAT"), ("metric_type", "L2"), ("params", "{}")]),
            ..Default::default()
        };
        checked(Some(within(LIMIT, link.stub.clone().create_index(link.ask(request))).await?))?;
    }
    load(link, collection).await
}

/// Loads our collection, if it is not, and waits until it is.
async fn load(link: &Link, collection: &str) -> Result<(), Unread> {
    let until = Instant::now() + LOAD_LIMIT;
    let mut asked = false;
    loop {
        let request = GetLoadingProgressRequest {
            db_name: link.database(),
            collection_name: collection.to_owned(),
            ..Default::default()
        };
        let answer = within(LIMIT, link.stub.clone().get_loading_progress(link.ask(request))).await?;
        let loaded = checked(answer.status);
        if loaded.is_ok() && answer.progress >= 100 {
            return Ok(());
        }
        if !asked {
            let request = LoadCollectionRequest {
                db_name: link.database(),
                collection_name: collection.to_owned(),
                replica_number: 1,
                ..Default::default()
            };
            checked(Some(within(LIMIT, link.stub.clone().load_collection(link.ask(request))).await?))?;
            asked = true;
        }
        if Instant::now() >= until {
            return Err(Unread::Failed(format!(
                "collection `{collection}` was not loaded within {LOAD_LIMIT:?}"
            )));
        }
        sleep(AGAIN).await;
    }
}

pub(super) async fn is_ours(link: &Link, collection: &str) -> Result<(), Unread> {
    let schema = link.describe(collection).await?.schema.unwrap_or_default();
    if schema.description.starts_with(MARKER) {
        return Ok(());
    }
    Err(Unread::Failed(format!(
        "a collection `{collection}` is there that gameday has not made: name another one in [canary]"
    )))
}

/// Removes a collection of ours.
pub(super) async fn remove(link: &Link, collection: &str) -> Result<(), Unread> {
    is_ours(link, collection).await?;
    let request = DropCollectionRequest {
        db_name: link.database(),
        collection_name: collection.to_owned(),
        ..Default::default()
    };
    checked(Some(within(LIMIT, link.stub.clone().drop_collection(link.ask(request))).await?))
}

/// A column of one row.
fn column(name: &str, kind: DataType, field: field_data::Field) -> FieldData {
    FieldData { r#type: kind as i32, field_name: name.into(), field: Some(field), ..Default::default() }
}

fn scalar(data: scalar_field::Data) -> field_data::Field {
    field_data::Field::Scalars(ScalarField { data: Some(data), ..Default::default() })
}

/// Stores a record.
pub(super) async fn plant(link: &Link, collection: &str, record: &Record) -> Result<(), Unread> {
    let text = |s: &str| scalar(scalar_field::Data::StringData(StringArray { data: vec![s.to_owned()] }));
    let at = i64::try_from(record.at_unix_us).unwrap_or(i64::MAX);
    let vector = vector_field::Data::FloatVector(FloatArray { data: vec![1.0, 0.0] });
    let vector = VectorField { dim: 2, data: Some(vector), ..Default::default() };
    let request = InsertRequest {
        db_name: link.database(),
        collection_name: collection.to_owned(),
        fields_data: vec![
            column("id", DataType::VarChar, text(&record.id)),
            column(
                "planted_us",
                DataType::Int64,
                scalar(scalar_field::Data::LongData(LongArray { data: vec![at] })),
            ),
            column("value", DataType::VarChar, text(&record.value)),
            column("vector", DataType::FloatVector, field_data::Field::Vectors(vector)),
        ],
        num_rows: 1,
        ..Default::default()
    };
    let answer = within(LIMIT, link.stub.clone().insert(link.ask(request))).await?;
    checked(answer.status)?;
    match answer.insert_cnt {
        1 => Ok(()),
        n => Err(Unread::Failed(format!("{n} rows acknowledged instead of 1"))),
    }
}

/// Removes records by their names.
pub(super) async fn delete(link: &Link, collection: &str, ids: &[String]) -> Result<(), Unread> {
    for some in ids.chunks(REMOVED) {
        let list: Vec<String> = some.iter().map(|id| Key::Text(id.clone()).literal()).collect();
        let request = DeleteRequest {
            db_name: link.database(),
            collection_name: collection.to_owned(),
            // Every version takes keys; other conditions are newer.
            expr: format!("id in [{}]", list.join(", ")),
            ..Default::default()
        };
        checked(within(LIMIT, link.stub.clone().delete(link.ask(request))).await?.status)?;
    }
    Ok(())
}

/// Whether a record is there. Where nobody has loaded the collection it is not the one that was written a moment ago.
pub(super) async fn is_there(link: &Link, collection: &str, id: &str) -> Result<bool, Unread> {
    let expr = format!("id == {}", Key::Text(id.to_owned()).literal());
    match link.count(collection, &expr).await {
        Ok(count) => Ok(count > 0),
        Err(MilvusError::Answered { code: NOT_LOADED, .. }) => Ok(false),
        Err(e) => Err(unread(&e)),
    }
}

/// All records.
pub(super) async fn list(link: &Link, collection: &str) -> Result<Vec<Planted>, Unread> {
    let layout = Layout::of(link, collection).await?;
    let mut all = Vec::new();
    let mut each = |page: &Page<'_>, _: Option<&str>| {
        for row in 0..page.keys.len() {
            let [id, at, value] = FIELDS.map(|name| page.plain(name, row));
            let (Some(Key::Text(id)), Some(Key::Number(at)), Some(Key::Text(value))) = (id, at, value) else {
                return Err("a canary without a name, a moment or a value".into());
            };
            let at_unix_us = u64::try_from(at).unwrap_or(0);
            all.push(Planted { at_unix_us, store_unix_us: None, id, digest: digest(&value) });
        }
        if all.len() as u64 > CANARIES_MAX {
            return Err(format!(
                "more than {CANARIES_MAX} canaries: `gameday canary prune` removes old ones"
            ));
        }
        Ok(())
    };
    pages(link, &layout, &FIELDS.map(String::from), &mut each).await?;
    Ok(all)
}
