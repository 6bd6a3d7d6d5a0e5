//! What a server consists of for its users: databases, collections with their fields, partitions and indexes, users and
//! roles.
//!
//! Left out: numbers of collections, segments and moments, which a restore makes anew; how far a build or a load is; and
//! resource groups, which say where work is done.

use harness::inventory::Inventory;
use milvus::proto::common::KeyValuePair;
use milvus::proto::milvus::{
    DescribeCollectionRequest, DescribeIndexRequest, ListCredUsersRequest, ListDatabasesRequest,
    SelectRoleRequest, ShowCollectionsRequest, ShowPartitionsRequest,
};

use super::Client;
use super::error::{MilvusError, check};

/// `IndexNotFound`.
const NO_INDEX: i32 = 700;

impl Client {
    /// Everything that the server knows by a name.
    pub async fn inventory(&self) -> Result<Inventory, MilvusError> {
        let mut all = Inventory::default();
        let answer = self.stub.clone().list_databases(ListDatabasesRequest::default()).await?.into_inner();
        check(answer.status)?;
        answer.db_names.iter().for_each(|name| all.add(format!("database {name}"), ""));
        let answer =
            self.stub.clone().show_collections(ShowCollectionsRequest::default()).await?.into_inner();
        check(answer.status)?;
        for name in &answer.collection_names {
            self.of(name).describe(&mut all).await?;
        }
        self.accounts(&mut all).await?;
        Ok(all)
    }

    async fn describe(&self, all: &mut Inventory) -> Result<(), MilvusError> {
        let name = &self.collection;
        let request = DescribeCollectionRequest { collection_name: name.clone(), ..Default::default() };
        let answer = self.stub.clone().describe_collection(request).await?.into_inner();
        check(answer.status)?;
        let schema = answer.schema.unwrap_or_default();
        let mut fields = Vec::new();
        for field in &schema.fields {
            let key = if field.is_primary_key { " key" } else { "" };
            fields.push(format!(
                "{} type {}{key} {}",
                field.name,
                field.data_type,
                words(&field.type_params)
            ));
        }
        let dynamic = if schema.enable_dynamic_field { " and any other" } else { "" };
        all.add(format!("collection {name}"), format!("{}{dynamic}", fields.join(", ")));
        answer.aliases.iter().for_each(|alias| all.add(format!("alias {alias} of {name}"), ""));
        let request = ShowPartitionsRequest { collection_name: name.clone(), ..Default::default() };
        let answer = self.stub.clone().show_partitions(request).await?.into_inner();
        check(answer.status)?;
        answer
            .partition_names
            .iter()
            .for_each(|partition| all.add(format!("partition {partition} of {name}"), ""));
        let request = DescribeIndexRequest { collection_name: name.clone(), ..Default::default() };
        let answer = self.stub.clone().describe_index(request).await?.into_inner();
        match check(answer.status) {
            Ok(()) => {}
            // Its code for a collection without any.
            Err(MilvusError::Answered { code: NO_INDEX, .. }) => {}
            Err(e) => return Err(e),
        }
        for index in &answer.index_descriptions {
            all.add(
                format!("index {} of {name}.{}", index.index_name, index.field_name),
                words(&index.params),
            );
        }
        Ok(())
    }

    /// Who may log on, and what for. Without authorization nobody has to, and a stranger can still be made.
    async fn accounts(&self, all: &mut Inventory) -> Result<(), MilvusError> {
        let answer = self.stub.clone().list_cred_users(ListCredUsersRequest::default()).await?.into_inner();
        check(answer.status)?;
        answer.usernames.iter().for_each(|user| all.add(format!("user {user}"), ""));
        let request = SelectRoleRequest { include_user_info: true, ..Default::default() };
        let answer = self.stub.clone().select_role(request).await?.into_inner();
        check(answer.status)?;
        for role in &answer.results {
            let name = role.role.as_ref().map_or("", |role| role.name.as_str());
            let users: Vec<&str> = role.users.iter().map(|user| user.name.as_str()).collect();
            all.add(format!("role {name}"), users.join(", "));
        }
        Ok(())
    }
}

/// Parameters in the order of their names.
fn words(params: &[KeyValuePair]) -> String {
    let mut words: Vec<String> = params.iter().map(|pair| format!("{}={}", pair.key, pair.value)).collect();
    words.sort();
    words.join(" ")
}
