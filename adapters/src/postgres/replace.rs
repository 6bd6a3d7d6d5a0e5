//! Restores: what was staged replaces everything, in one transaction, by the rules of [`crate::features`].
//!
//! The user has to be a superuser: roles of the server that nobody granted are removed with all that they own, and
//! pages that fail their checksum are read as empty, so that what they held counts as missing, and never stops the
//! restore. The tables are truncated, which gives them new files.

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::types::{ToSql, Type};

use super::database::{Database, Held, column};
use super::intruder;
use super::login::ident;
use super::rows::{
    SERVER_ROLE, missing_key, missing_query, record_query, row_query, server_role, server_roles_query,
    signed, stored_record, stored_row, tables,
};
use super::schema::ROWS;
use super::settings::{OPERATOR, ROLES};
use crate::features::{
    CallError, Digest, Item, Operated, Own, Replaced, Rules, StoreError, Strike, Struck, Table,
};

/// Replacing everything takes as long as it takes.
const LONG: Duration = Duration::from_secs(1800);
/// Items of one statement.
const CHUNK: usize = 5_000;

#[async_trait]
impl Operated for Database {
    async fn begin(&self) -> Result<u64, CallError> {
        Ok(self.staging().begin())
    }

    async fn stage(&self, restore: u64, items: Vec<Item>) -> Result<(), CallError> {
        self.staging().stage(restore, items).map(drop).map_err(refused)
    }

    async fn replace(&self, restore: u64, rules: Rules) -> Result<Replaced, CallError> {
        let staged = self.staging().staged(restore).map_err(refused)?;
        let held = self.within(LONG).hold().await?;
        held.begin().await?;
        let names: Vec<&str> = tables().chain(["changes"]).collect();
        let lock = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", names.join(", "));
        held.ask(held.client().batch_execute(&lock)).await?;
        held.ask(held.client().batch_execute("SET LOCAL zero_damaged_pages = on")).await?;
        for table in names {
            // A damaged index stops whoever only plans to read the table.
            held.ask(held.client().batch_execute(&format!("REINDEX TABLE {table}"))).await?;
        }
        let own = everything(&held).await?;
        let (items, mut done) = own.replaced_by(staged, rules);
        let emptied: Vec<&str> = tables()
            .chain(["changes"])
            .filter(|table| *table != Table::Roles.sql() || !rules.keep_roles)
            .collect();
        held.ask(held.client().batch_execute(&format!("TRUNCATE {}", emptied.join(", ")))).await?;
        for table in tables() {
            let of_table: Vec<&(Item, Digest)> =
                items.iter().filter(|(item, _)| table_of(item) == table).collect();
            for chunk in of_table.chunks(CHUNK) {
                insert(&held, table, chunk).await?;
            }
            let count = format!("SELECT count(*) FROM {table}");
            let count: i64 = column(&held.ask(held.client().query_typed_one(&count, &[])).await?, 0)?;
            done.items += count.unsigned_abs();
        }
        if !rules.keep_roles {
            remove_server_roles(&held, &own).await?;
        }
        held.commit().await?;
        if rules.only.is_none() {
            self.staging().begin();
        }
        Ok(done)
    }

    async fn strike(&self, strike: Strike, seed: u64) -> Result<Struck, CallError> {
        intruder::strike(self, strike, seed).await
    }
}

fn refused(error: StoreError) -> CallError {
    CallError::Refused(error.to_string())
}

fn table_of(item: &Item) -> &'static str {
    match item {
        Item::Row(_) => ROWS,
        Item::Record(record) => record.table.sql(),
    }
}

/// Everything that is there, and what should be.
async fn everything(held: &Held) -> Result<Own, CallError> {
    let mut own = Own { stored: Default::default(), missing: Vec::new() };
    let mut all = Vec::new();
    for row in held.ask(held.client().query_typed(&row_query(""), &[])).await? {
        all.push(stored_row(&row)?);
    }
    for table in Table::ALL {
        for row in held.ask(held.client().query_typed(&record_query(table, ""), &[])).await? {
            all.push(stored_record(table, &row)?);
        }
    }
    for row in held.ask(held.client().query_typed(&server_roles_query(), &[])).await? {
        all.push(server_role(&row)?);
    }
    own.stored.extend(all.into_iter().map(|stored| (stored.item.key(), stored)));
    for table in tables() {
        for row in held.ask(held.client().query_typed(&missing_query(table), &[])).await? {
            own.missing.extend(missing_key(table, &row)?);
        }
    }
    Ok(own)
}

/// Stores items of one table and their log, a column an array.
async fn insert(held: &Held, table: &str, items: &[&(Item, Digest)]) -> Result<(), CallError> {
    let vers: Vec<i64> = items.iter().map(|(item, _)| signed(item.ver())).collect();
    let times: Vec<i64> = items.iter().map(|(item, _)| item.event_us()).collect();
    let digests: Vec<&[u8]> = items.iter().map(|(_, digest)| digest.as_slice()).collect();
    let rows = items.iter().filter_map(|(item, _)| match item {
        Item::Row(row) => Some(row),
        Item::Record(_) => None,
    });
    let records = items.iter().filter_map(|(item, _)| match item {
        Item::Record(record) => Some(record),
        Item::Row(_) => None,
    });
    let keys: Vec<i64> = rows.clone().map(|row| signed(row.key)).collect();
    let names: Vec<&str> = records.clone().map(|record| record.name.as_str()).collect();
    let bodies: Vec<Option<&str>> = records.map(|record| record.body.as_deref()).collect();
    let values: Vec<Vec<Option<f64>>> = (0..harness::corpus::FEATURES)
        .map(|f| rows.clone().map(|row| row.values.map(|v| v[f])).collect())
        .collect();
    let of_rows = table == ROWS;
    let (id, columns, id_type) = match of_rows {
        true => ("entity_key", super::schema::VALUES, "int8"),
        false => ("name", "body", "text"),
    };
    let mut params: Vec<(&(dyn ToSql + Sync), Type)> = vec![
        if of_rows { (&keys, Type::INT8_ARRAY) } else { (&names, Type::TEXT_ARRAY) },
        (&vers, Type::INT8_ARRAY),
        (&times, Type::INT8_ARRAY),
        (&digests, Type::BYTEA_ARRAY),
    ];
    let mut arrays = format!("$1::{id_type}[], $2::int8[], $3::int8[], $4::bytea[]");
    if of_rows {
        for (f, values) in values.iter().enumerate() {
            params.push((values, Type::FLOAT8_ARRAY));
            arrays += &format!(", ${}::float8[]", 5 + f);
        }
    } else {
        params.push((&bodies, Type::TEXT_ARRAY));
        arrays += ", $5::text[]";
    }
    // Roles that stay, by a defect planted on purpose, are there already.
    let sql = format!(
        "WITH new AS (SELECT * FROM unnest({arrays}) AS new (id, ver, event_us, digest, {columns})),
         stored AS (
             INSERT INTO {table} ({id}, ver, event_us, digest, {columns}) SELECT * FROM new
             ON CONFLICT ({id}) DO UPDATE SET ver = excluded.ver, event_us = excluded.event_us,
                 digest = excluded.digest, {})
         INSERT INTO changes (tab, id, ver) SELECT '{table}', id::text, ver FROM new",
        columns.split(", ").map(|c| format!("{c} = excluded.{c}")).collect::<Vec<_>>().join(", ")
    );
    held.ask(held.client().execute_typed(&sql, &params)).await.map(drop)
}

/// Removes every role of the server that nobody granted, with its sessions and all that it owns, and takes from known
/// ones what they should not have.
async fn remove_server_roles(held: &Held, own: &Own) -> Result<(), CallError> {
    for key in own.stored.keys() {
        let crate::features::Key::Record(Table::Roles, name) = key else { continue };
        let Some(role) = name.strip_prefix(SERVER_ROLE) else { continue };
        let quoted = ident(role);
        let sql = if ROLES.contains(&role) {
            format!("ALTER ROLE {quoted} NOSUPERUSER")
        } else {
            format!(
                "ALTER ROLE {quoted} NOLOGIN; REASSIGN OWNED BY {quoted} TO {OPERATOR}; DROP OWNED BY {quoted};
                 DROP ROLE {quoted}"
            )
        };
        let sessions = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = $1";
        let params: &[(&(dyn ToSql + Sync), Type)] = &[(&role, Type::TEXT)];
        if !ROLES.contains(&role) {
            held.ask(held.client().query_typed(sessions, params)).await?;
        }
        held.ask(held.client().batch_execute(&sql)).await?;
    }
    Ok(())
}
