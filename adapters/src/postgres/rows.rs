//! What users and audits ask of the database, in SQL.

use async_trait::async_trait;
use harness::corpus::FEATURES;
use harness::inventory::Inventory;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row as SqlRow};

use super::database::{Database, column};
use super::inventory;
use super::schema::{ROWS, VALUES};
use super::settings::{OPERATOR, ROLES};
use crate::features::{CallError, Holder, Item, Key, Misfit, Record, Row, Stored, Table};

/// Records of one table that are told; an intruder could add any number.
const CATALOGUE_MAX: i64 = 20_000;

/// Strangers that are listed; more would say nothing new.
const STRANGERS_MAX: usize = 10_000;

/// Before the name of a role of the server that nobody granted.
pub(super) const SERVER_ROLE: &str = "pg_roles/";

type Params<'a> = [(&'a (dyn ToSql + Sync), Type)];

/// Stores a state if it is newer than what is there, and tells the log: one statement, one transaction.
pub(super) fn upsert(table: &str) -> String {
    let (id, columns, values) = if table == ROWS {
        let values = (5..5 + FEATURES).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
        ("entity_key", VALUES, values)
    } else {
        ("name", "body", "$5".to_owned())
    };
    let set = |column: &str| format!("{column} = excluded.{column}");
    let updated: Vec<String> = columns.split(", ").map(set).collect();
    let touched = if table == ROWS { ", created_ts = now()" } else { "" };
    format!(
        "WITH stored AS (
             INSERT INTO {table} AS old ({id}, ver, event_us, digest, {columns}) VALUES ($1, $2, $3, $4, {values})
             ON CONFLICT ({id}) DO UPDATE SET ver = excluded.ver, event_us = excluded.event_us,
                 digest = excluded.digest, {}{touched}
             WHERE (old.event_us, old.ver, old.digest) < (excluded.event_us, excluded.ver, excluded.digest)
             RETURNING {id}::text AS id)
         INSERT INTO changes (tab, id, ver) SELECT '{table}', id, $2 FROM stored
         ON CONFLICT (tab, id) DO UPDATE SET ver = excluded.ver",
        updated.join(", ")
    )
}

/// Stores a state by [`upsert`].
pub(super) async fn store_newer(client: &Client, item: &Item) -> Result<(), tokio_postgres::Error> {
    let (ver, event_us, digest) = (signed(item.ver()), item.event_us(), item.digest());
    let digest = digest.as_slice();
    match item {
        Item::Row(row) => {
            let key = signed(row.key);
            let values = row.values.map_or([None; FEATURES], |values| values.map(Some));
            let mut params: Vec<(&(dyn ToSql + Sync), Type)> =
                vec![(&key, Type::INT8), (&ver, Type::INT8), (&event_us, Type::INT8), (&digest, Type::BYTEA)];
            params.extend(values.iter().map(|value| (value as &(dyn ToSql + Sync), Type::FLOAT8)));
            client.execute_typed(&upsert(ROWS), &params).await?;
        }
        Item::Record(record) => {
            let params: &Params<'_> = &[
                (&record.name, Type::TEXT),
                (&ver, Type::INT8),
                (&event_us, Type::INT8),
                (&digest, Type::BYTEA),
                (&record.body, Type::TEXT),
            ];
            client.execute_typed(&upsert(record.table.sql()), params).await?;
        }
    }
    Ok(())
}

/// Checked before anything gets here: see [`Item::checked`].
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn row_query(rest: &str) -> String {
    format!(
        "SELECT entity_key, r.ver, event_us, digest, c.ver, {VALUES} FROM {ROWS} r
         LEFT JOIN changes c ON c.tab = '{ROWS}' AND c.id = r.entity_key::text {rest}"
    )
}

pub(super) fn record_query(table: Table, rest: &str) -> String {
    let name = table.sql();
    format!(
        "SELECT name, r.ver, event_us, digest, c.ver, body FROM {name} r
         LEFT JOIN changes c ON c.tab = '{name}' AND c.id = r.name {rest}"
    )
}

/// Keys in the log that their table has not, with the number of their newest write.
pub(super) fn missing_query(table: &str) -> String {
    let (id, order) =
        if table == ROWS { ("entity_key::text", "length(c.id), c.id") } else { ("name", "c.id") };
    format!(
        "SELECT c.id, c.ver FROM changes c WHERE tab = '{table}'
         AND NOT EXISTS (SELECT FROM {table} r WHERE r.{id} = c.id) ORDER BY {order}"
    )
}

/// Roles of the server that nobody granted, and known ones that were made more than they are.
pub(super) fn server_roles_query() -> String {
    let known: Vec<String> = ROLES.iter().map(|role| format!("'{role}'")).collect();
    format!(
        "SELECT rolname::text, rolsuper, rolcanlogin FROM pg_roles WHERE rolname !~ '^pg_'
         AND (rolname NOT IN ({}) OR (rolsuper AND rolname <> '{OPERATOR}')) ORDER BY rolname COLLATE \"C\" LIMIT {CATALOGUE_MAX}",
        known.join(", ")
    )
}

/// What is stored and has no key, each by a name; nobody who asks by keys ever sees it.
pub(super) fn strangers_query() -> String {
    let tables: Vec<String> = Table::ALL.iter().map(|table| format!("'{}'", table.sql())).collect();
    let mut parts = vec![
        format!(
            "SELECT 'stranger ' || coalesce(entity_key::text, 'without a key') || ' in {ROWS}' AS stranger
             FROM public.{ROWS} WHERE entity_key IS NULL OR entity_key < 0"
        ),
        format!(
            "SELECT 'stranger ' || coalesce(id, 'without a key') || ' in changes' FROM public.changes
             WHERE tab IS NULL OR id IS NULL OR NOT (tab IN ({}) OR (tab = '{ROWS}' AND id ~ '^[0-9]{{1,19}}$'))",
            tables.join(", ")
        ),
        "SELECT 'stranger ' || coalesce(id::text, 'without a key') || ' in heartbeat' FROM public.heartbeat
         WHERE id IS DISTINCT FROM 1"
            .to_owned(),
    ];
    for table in Table::ALL.map(Table::sql) {
        parts.push(format!(
            "SELECT 'stranger without a name in {table}' FROM public.{table} WHERE name IS NULL OR name = ''"
        ));
    }
    parts.join(" UNION ALL ")
}

/// A number, or what stands for one that no write stores.
fn unsigned(row: &SqlRow, at: usize) -> Result<u64, CallError> {
    let number: Option<i64> = column(row, at)?;
    Ok(number.and_then(|number| u64::try_from(number).ok()).unwrap_or(Misfit::NUMBER))
}

fn head(row: &SqlRow) -> Result<(u64, i64, [u8; 32], Option<u64>), CallError> {
    let digest: Option<&[u8]> = column(row, 3)?;
    let event_us: Option<i64> = column(row, 2)?;
    let logged: Option<i64> = column(row, 4)?;
    // A digest of another length is none that a write made.
    let digest = digest.and_then(|digest| digest.try_into().ok()).unwrap_or_default();
    Ok((
        unsigned(row, 1)?,
        event_us.unwrap_or(Misfit::TIME),
        digest,
        logged.and_then(|ver| u64::try_from(ver).ok()),
    ))
}

pub(super) fn stored_row(row: &SqlRow) -> Result<Stored, CallError> {
    let (ver, event_us, digest, logged) = head(row)?;
    let mut values = [Misfit::VALUE; FEATURES];
    let mut there = false;
    for (at, value) in values.iter_mut().enumerate() {
        // Only a row without any value is a deletion.
        if let Some(found) = column::<Option<f64>>(row, 5 + at)? {
            (*value, there) = (found, true);
        }
    }
    let row = Row { key: unsigned(row, 0)?, ver, event_us, values: there.then_some(values) };
    Ok(Stored { item: Item::Row(row), digest, logged })
}

pub(super) fn stored_record(table: Table, row: &SqlRow) -> Result<Stored, CallError> {
    let (ver, event_us, digest, logged) = head(row)?;
    let name: Option<String> = column(row, 0)?;
    let record = Record { table, name: name.unwrap_or_default(), ver, event_us, body: column(row, 5)? };
    Ok(Stored { item: Item::Record(record), digest, logged })
}

/// A role of the server as a record of the catalogue that no write made.
pub(super) fn server_role(row: &SqlRow) -> Result<Stored, CallError> {
    let (name, superuser, login): (String, bool, bool) = (column(row, 0)?, column(row, 1)?, column(row, 2)?);
    let record = Record {
        table: Table::Roles,
        name: format!("{SERVER_ROLE}{name}"),
        ver: 0,
        event_us: 0,
        body: Some(format!(r#"{{"superuser":{superuser},"login":{login}}}"#)),
    };
    Ok(Stored { item: Item::Record(record), digest: [0; 32], logged: None })
}

pub(super) fn missing_key(table: &str, row: &SqlRow) -> Result<Option<(Key, u64)>, CallError> {
    let id: Option<String> = column(row, 0)?;
    let id = id.unwrap_or_default();
    let key = match Table::ALL.into_iter().find(|known| known.sql() == table) {
        Some(table) => Some(Key::Record(table, id)),
        None => id.parse().ok().map(Key::Row),
    };
    Ok(key.zip(Some(unsigned(row, 1)?)))
}

/// Every table that holds items.
pub(super) fn tables() -> impl Iterator<Item = &'static str> {
    std::iter::once(ROWS).chain(Table::ALL.map(Table::sql))
}

#[async_trait]
impl Holder for Database {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, CallError> {
        let held = self.hold().await?;
        let stored = match key {
            Key::Row(key) => {
                let Ok(key) = i64::try_from(*key) else { return Ok(None) };
                let (sql, params): (_, &Params<'_>) =
                    (row_query("WHERE entity_key = $1"), &[(&key, Type::INT8)]);
                let found = held.ask(held.client().query_typed_opt(&sql, params)).await?;
                found.as_ref().map(stored_row).transpose()?
            }
            Key::Record(table, name) => {
                let (sql, params): (_, &Params<'_>) =
                    (record_query(*table, "WHERE name = $1"), &[(name, Type::TEXT)]);
                let found = held.ask(held.client().query_typed_opt(&sql, params)).await?;
                found.as_ref().map(|row| stored_record(*table, row)).transpose()?
            }
        };
        held.release();
        Ok(stored)
    }

    async fn page(&self, from: u64, to: u64, limit: u32) -> Result<(Vec<Stored>, bool), CallError> {
        let Ok(from) = i64::try_from(from) else { return Ok((Vec::new(), false)) };
        let (to, most) = (signed(to), i64::from(limit.max(1)));
        let held = self.hold().await?;
        let sql = row_query("WHERE entity_key BETWEEN $1 AND $2 ORDER BY entity_key LIMIT $3");
        let params: &Params<'_> = &[(&from, Type::INT8), (&to, Type::INT8), (&most, Type::INT8)];
        let found = held.ask(held.client().query_typed(&sql, params)).await?;
        held.release();
        let rows = found.iter().map(stored_row).collect::<Result<Vec<_>, _>>()?;
        let more = rows.len() as i64 == most;
        Ok((rows, more))
    }

    async fn catalogue(&self) -> Result<Vec<Stored>, CallError> {
        let held = self.hold().await?;
        let mut all = Vec::new();
        for table in Table::ALL {
            let sql = record_query(table, &format!("ORDER BY name LIMIT {}", CATALOGUE_MAX + 1));
            let found = held.ask(held.client().query_typed(&sql, &[])).await?;
            if found.len() as i64 > CATALOGUE_MAX {
                let why = format!("{} has more than {CATALOGUE_MAX} records", table.sql());
                return Err(CallError::Refused(why));
            }
            for row in &found {
                all.push(stored_record(table, row)?);
            }
        }
        for row in held.ask(held.client().query_typed(&server_roles_query(), &[])).await? {
            all.push(server_role(&row)?);
        }
        held.release();
        Ok(all)
    }

    async fn missing(&self) -> Result<Vec<Key>, CallError> {
        let held = self.hold().await?;
        let mut keys = Vec::new();
        for table in tables() {
            for row in held.ask(held.client().query_typed(&missing_query(table), &[])).await? {
                keys.extend(missing_key(table, &row)?.map(|(key, _)| key));
            }
        }
        held.release();
        Ok(keys)
    }

    async fn strangers(&self) -> Result<Vec<String>, CallError> {
        let held = self.hold().await?;
        let sql = format!("{} LIMIT {STRANGERS_MAX}", strangers_query());
        let found = held.ask(held.client().query_typed(&sql, &[])).await?;
        held.release();
        found.iter().map(|row| column(row, 0)).collect()
    }

    async fn inventory(&self) -> Result<Inventory, CallError> {
        inventory::inventory(self).await
    }

    async fn put(&self, items: Vec<Item>) -> Result<(), CallError> {
        let items: Result<Vec<Item>, String> = items.into_iter().map(Item::checked).collect();
        let mut items = items.map_err(CallError::Refused)?;
        let held = self.hold().await?;
        if let [item] = items.as_slice() {
            held.ask(store_newer(held.client(), item)).await?;
            held.release();
            return Ok(());
        }
        // Whoever stores several at once takes them in the same order: nobody waits for one another.
        items.sort_by_key(Item::key);
        held.begin().await?;
        for item in &items {
            held.ask(store_newer(held.client(), item)).await?;
        }
        held.commit().await
    }
}
