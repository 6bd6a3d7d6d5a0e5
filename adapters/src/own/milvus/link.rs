//! Questions to a Milvus on one connection, each with a limit. Only what every 2.3 and later knows is asked.

use std::future::Future;
use std::time::Duration;

use base64::Engine as _;
use milvus::proto::common::{ConsistencyLevel, MsgBase, MsgType};
use milvus::proto::milvus::milvus_service_client::MilvusServiceClient;
use milvus::proto::milvus::{
    DescribeCollectionRequest, DescribeCollectionResponse, DescribeIndexRequest, GetMetricsRequest,
    GetVersionRequest, HasCollectionRequest, IndexDescription, QueryRequest, ShowCollectionsRequest,
    ShowPartitionsRequest,
};
use milvus::proto::schema::{FieldData, SearchResultData};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use crate::milvus::{MilvusError, answered, longs, pairs};
use crate::own::grpc::Address;
use crate::own::place::Unread;

/// How long connecting, or a question of ours, may take.
pub(super) const LIMIT: Duration = Duration::from_secs(15);
/// How long one page of rows, or one batch of searches, may take.
pub(super) const PAGE_LIMIT: Duration = Duration::from_secs(120);
/// Larger than any page that is asked for.
const ANSWER_MAX: usize = 256 << 20;
/// `CollectionNotLoaded`.
pub(super) const NOT_LOADED: i32 = 101;
/// `IndexNotFound`.
const NO_INDEX: i32 = 700;
/// `DatabaseNotFound`.
const NO_DATABASE: i32 = 800;

/// Where a Milvus is, and who asks.
#[derive(Debug, Clone)]
pub(super) struct Site {
    address: Address,
    token: Option<MetadataValue<Ascii>>,
    /// Empty for the server's default.
    pub(super) database: String,
}

/// A connection.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) stub: MilvusServiceClient<Channel>,
    site: Site,
}

/// A collection in the server's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) id: i64,
    pub(super) created: u64,
}

/// Rows that are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) collection: &'a str,
    pub(super) partition: Option<&'a str>,
    pub(super) expr: &'a str,
    pub(super) fields: &'a [String],
    pub(super) limit: Option<usize>,
}

impl Site {
    pub(super) fn new(address: Address, token: Option<&str>, database: String) -> Result<Site, String> {
        let encoded = token.map(|t| base64::engine::general_purpose::STANDARD.encode(t));
        let token = encoded.map(|t| t.parse().map_err(|_| "its token cannot be sent".to_owned()));
        Ok(Site { address, token: token.transpose()?, database })
    }

    pub(super) async fn connect(&self) -> Result<Link, Unread> {
        let channel = self.address.connect(LIMIT).await.map_err(|e| match e.refused {
            true => Unread::Nobody(e.why),
            false => Unread::Failed(e.why),
        })?;
        let stub = MilvusServiceClient::new(channel).max_decoding_message_size(ANSWER_MAX);
        Ok(Link { stub, site: self.clone() })
    }
}

/// Why there is no answer, for whoever reads a report.
pub(super) fn unread(e: &MilvusError) -> Unread {
    match e {
        MilvusError::NotSent(_) | MilvusError::Answered { code: NO_DATABASE, .. } => {
            Unread::Nobody(e.to_string())
        }
        _ => Unread::Failed(e.to_string()),
    }
}

impl Link {
    pub(super) fn database(&self) -> String {
        self.site.database.clone()
    }

    /// A request with who asks, and about which database.
    pub(super) fn ask<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let head = request.metadata_mut();
        if let Some(token) = &self.site.token {
            head.insert("authorization", token.clone());
        }
        if let Ok(name) = self.site.database.parse()
            && !self.site.database.is_empty()
        {
            head.insert("dbname", name);
        }
        request
    }

    pub(super) async fn version(&self) -> Result<String, Unread> {
        let request = self.ask(GetVersionRequest {});
        let answer = within(LIMIT, self.stub.clone().get_version(request)).await?;
        checked(answer.status)?;
        Ok(answer.version)
    }

    /// When the first and the last of the server's nodes were started, by its own clock and to the nanosecond; `None` where it
    /// does not tell.
    pub(super) async fn started(&self) -> Option<(String, String)> {
        let base = Some(MsgBase { msg_type: MsgType::SystemInfo as i32, ..Default::default() });
        let request = GetMetricsRequest { base, request: "{\"metric_type\": \"system_info\"}".into() };
        let answer = within(LIMIT, self.stub.clone().get_metrics(self.ask(request))).await.ok()?;
        checked(answer.status).ok()?;
        moments(&answer.response)
    }

    pub(super) async fn collections(&self) -> Result<Vec<Named>, Unread> {
        let request = ShowCollectionsRequest { db_name: self.database(), ..Default::default() };
        let answer = within(LIMIT, self.stub.clone().show_collections(self.ask(request))).await?;
        checked(answer.status)?;
        let mut all: Vec<Named> = answer
            .collection_names
            .into_iter()
            .enumerate()
            .map(|(i, name)| Named {
                name,
                id: answer.collection_ids.get(i).copied().unwrap_or_default(),
                created: answer.created_timestamps.get(i).copied().unwrap_or_default(),
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    pub(super) async fn has(&self, collection: &str) -> Result<bool, Unread> {
        let request = HasCollectionRequest {
            db_name: self.database(),
            collection_name: collection.to_owned(),
            ..Default::default()
        };
        let answer = within(LIMIT, self.stub.clone().has_collection(self.ask(request))).await?;
        checked(answer.status)?;
        Ok(answer.value)
    }

    pub(super) async fn describe(&self, collection: &str) -> Result<DescribeCollectionResponse, Unread> {
        let request = DescribeCollectionRequest {
            db_name: self.database(),
            collection_name: collection.to_owned(),
            ..Default::default()
        };
        let answer = within(LIMIT, self.stub.clone().describe_collection(self.ask(request))).await?;
        checked(answer.status.clone())?;
        Ok(answer)
    }

    pub(super) async fn indexes(&self, collection: &str) -> Result<Vec<IndexDescription>, Unread> {
        let request = DescribeIndexRequest {
            db_name: self.database(),
            collection_name: collection.to_owned(),
            ..Default::default()
        };
        let answer = within(LIMIT, self.stub.clone().describe_index(self.ask(request))).await?;
        match answered(answer.status) {
            Ok(()) => Ok(answer.index_descriptions),
            // A collection without any.
            Err(MilvusError::Answered { code: NO_INDEX, .. }) => Ok(Vec::new()),
            Err(e) => Err(unread(&e)),
        }
    }

    pub(super) async fn partitions(&self, collection: &str) -> Result<Vec<String>, Unread> {
        let request = ShowPartitionsRequest {
            db_name: self.database(),
            collection_name: collection.to_owned(),
            ..Default::default()
        };
        let answer = within(LIMIT, self.stub.clone().show_partitions(self.ask(request))).await?;
        checked(answer.status)?;
        let mut names = answer.partition_names;
        names.sort();
        Ok(names)
    }

    /// Rows, at Strong consistency.
    pub(super) async fn query(&self, ask: Ask<'_>) -> Result<Vec<FieldData>, MilvusError> {
        let query_params = match ask.limit {
            // Without the second, a page may leave out keys that a segment did not get to.
            Some(limit) => pairs(&[("limit", &limit.to_string()), ("reduce_stop_for_best", "true")]),
            None => Vec::new(),
        };
        let request = QueryRequest {
            db_name: self.database(),
            collection_name: ask.collection.to_owned(),
            partition_names: ask.partition.into_iter().map(str::to_owned).collect(),
            expr: ask.expr.to_owned(),
            output_fields: ask.fields.to_vec(),
            query_params,
            consistency_level: ConsistencyLevel::Strong as i32,
            ..Default::default()
        };
        let query = self.stub.clone();
        let answer = tonic_within(PAGE_LIMIT, async move {
            let mut query = query;
            query.query(self.ask(request)).await
        })
        .await?;
        answered(answer.status)?;
        Ok(answer.fields_data)
    }

    /// How many rows are stored for which an expression holds; two of one key are two.
    pub(super) async fn count(&self, collection: &str, expr: &str) -> Result<u64, MilvusError> {
        let fields = ["count(*)".to_owned()];
        let ask = Ask { collection, partition: None, expr, fields: &fields, limit: None };
        let fields = self.query(ask).await?;
        match fields.iter().find_map(longs) {
            Some([count]) => Ok(u64::try_from(*count).unwrap_or(0)),
            other => Err(MilvusError::Garbled(format!("count(*) is {other:?}"))),
        }
    }

    pub(super) async fn search(
        &self,
        request: milvus::proto::milvus::SearchRequest,
        limit: Duration,
    ) -> Result<SearchResultData, Unread> {
        let answer = within(limit, self.stub.clone().search(self.ask(request))).await?;
        checked(answer.status)?;
        answer.results.ok_or_else(|| Unread::Failed("an answer without results".into()))
    }
}

/// The first and the last moment of a listing of nodes.
fn moments(json: &str) -> Option<(String, String)> {
    let json: serde_json::Value = serde_json::from_str(json).ok()?;
    let nodes = json["nodes_info"].as_array()?;
    let said: Option<Vec<&str>> =
        nodes.iter().map(|n| n["infos"]["created_time"].as_str().filter(|t| !t.is_empty())).collect();
    let said = said?;
    Some(((*said.iter().min()?).to_owned(), (*said.iter().max()?).to_owned()))
}

pub(super) fn checked(status: Option<milvus::proto::common::Status>) -> Result<(), Unread> {
    answered(status).map_err(|e| unread(&e))
}

type Answer<T> = Result<tonic::Response<T>, tonic::Status>;

async fn tonic_within<T>(limit: Duration, call: impl Future<Output = Answer<T>>) -> Result<T, MilvusError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => Ok(answer.map_err(MilvusError::from)?.into_inner()),
        Err(_) => Err(MilvusError::Broken(format!("no answer within {limit:?}"))),
    }
}

/// A call and its limit.
pub(super) async fn within<T>(limit: Duration, call: impl Future<Output = Answer<T>>) -> Result<T, Unread> {
    tonic_within(limit, call).await.map_err(|e| unread(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_start_of_all_nodes_is_told_or_none() {
        let node = |at: &str| format!("{{\"infos\": {{\"created_time\": \"{at}\"}}}}");
        let all = format!("{{\"nodes_info\": [{}, {}, {}]}}", node("b"), node("a"), node("c"));
        assert_eq!(moments(&all), Some(("a".into(), "c".into())));
        for less in ["", "{}", "{\"nodes_info\": []}", "{\"nodes_info\": [{}]}"] {
            assert_eq!(moments(less), None, "{less}");
        }
        assert_eq!(moments(&format!("{{\"nodes_info\": [{}, {}]}}", node("a"), node(""))), None);
    }
}
