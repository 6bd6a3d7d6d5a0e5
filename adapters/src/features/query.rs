//! What is asked of the database, in SQL.

use harness::corpus::FEATURES;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::item::{Digest, Item, Key, Misfit, Record, Row, Stored, Table};
use super::schema::VALUES;
use super::wire::Point;

/// The name of the table of rows. Its keys are numbers and those of the catalogue texts, so `changes.id` has no affinity;
/// it is compared with `+key`, which has none either, or its index would be of no use.
pub(super) const ROWS: &str = "entity_rows";

/// Where the history is; a new database begins one.
pub(super) fn point(db: &mut Connection) -> rusqlite::Result<Point> {
    let tx = db.transaction()?;
    let known = tx.query_row("SELECT value FROM meta WHERE name = 'timeline'", [], |row| row.get(0));
    let timeline = match known.optional()? {
        Some(timeline) => unsigned(timeline)?,
        None => begin_timeline(&tx)?,
    };
    let lsn = last_lsn(&tx)?;
    tx.commit()?;
    Ok(Point { timeline, lsn })
}

/// Begins a history that nobody else has.
pub(super) fn begin_timeline(tx: &Transaction<'_>) -> rusqlite::Result<u64> {
    // 62 bits of chance; never 0, which stands for no history.
    let sql = "INSERT OR REPLACE INTO meta VALUES ('timeline', (random() & 4611686018427387903) | 1) RETURNING value";
    unsigned(tx.query_row(sql, [], |row| row.get(0))?)
}

/// The number of the newest change there ever was, whether or not a newer one of its key has replaced it.
pub(super) fn last_lsn(db: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'changes'";
    unsigned(db.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// A number that is never negative.
pub(super) fn unsigned(number: i64) -> rusqlite::Result<u64> {
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, number))
}

/// What is stored under a key.
pub(super) fn get(db: &Connection, key: &Key) -> rusqlite::Result<Option<Stored>> {
    match key {
        Key::Row(key) => {
            let Ok(key) = i64::try_from(*key) else { return Ok(None) };
            let sql = format!(
                "SELECT key, r.ver, event_us, digest, {VALUES}, c.ver FROM {ROWS} r
                 LEFT JOIN changes c ON c.tab = '{ROWS}' AND c.id = +key WHERE key = ?1"
            );
            db.prepare_cached(&sql)?.query_row([key], stored_row).optional()
        }
        Key::Record(table, name) => {
            let sql = record_query(*table, "WHERE name = ?1");
            db.prepare_cached(&sql)?.query_row([name], |row| stored_record(*table, row)).optional()
        }
    }
}

pub(super) fn rows_between(db: &Connection, from: i64, to: i64, limit: i64) -> rusqlite::Result<Vec<Stored>> {
    let mut found = db.prepare_cached(&format!(
        "SELECT key, r.ver, event_us, digest, {VALUES}, c.ver FROM {ROWS} r
         LEFT JOIN changes c ON c.tab = '{ROWS}' AND c.id = +key
         WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT ?3"
    ))?;
    found.query_map(params![from, to, limit], stored_row)?.collect()
}

/// The whole catalogue, in the order of tables and names, up to so many of each table.
pub(super) fn records(db: &Connection, most: usize) -> rusqlite::Result<Vec<Stored>> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut all = Vec::new();
    for table in Table::ALL {
        let mut found = db.prepare_cached(&record_query(table, "ORDER BY name LIMIT ?1"))?;
        for record in found.query_map(params![most], |row| stored_record(table, row))? {
            all.push(record?);
        }
    }
    Ok(all)
}

/// Everything that is stored.
pub(super) fn all_stored(db: &Connection) -> rusqlite::Result<Vec<Stored>> {
    let mut all = rows_between(db, 0, i64::MAX, i64::MAX)?;
    all.extend(records(db, usize::MAX)?);
    Ok(all)
}

/// Keys that were written and are not there, with the number of their newest write.
pub(super) fn missing_keys(db: &Connection) -> rusqlite::Result<Vec<(Key, u64)>> {
    let mut keys = Vec::new();
    for name in std::iter::once(ROWS).chain(Table::ALL.map(Table::sql)) {
        let id = if name == ROWS { "key" } else { "name" };
        let mut gone = db.prepare_cached(&format!(
            "SELECT id, ver FROM changes WHERE tab = '{name}' AND id NOT IN (SELECT +{id} FROM {name}) ORDER BY id"
        ))?;
        for key in gone.query_map([], |row| Ok((key_of(name, row.get_ref(0)?), number(row.get_ref(1)?))))? {
            let (key, ver) = key?;
            keys.extend(key.map(|key| (key, ver.unwrap_or(Misfit::NUMBER))));
        }
    }
    Ok(keys)
}

fn record_query(table: Table, rest: &str) -> String {
    let name = table.sql();
    format!(
        "SELECT name, r.ver, event_us, digest, body, c.ver FROM {name} r
         LEFT JOIN changes c ON c.tab = '{name}' AND c.id = +name {rest}"
    )
}

/// The key that an entry of the log names, if it names one: strangers are told by `inventory`.
pub(super) fn key_of(table: &str, id: ValueRef<'_>) -> Option<Key> {
    if table == ROWS {
        return number(id).map(Key::Row);
    }
    let table = Table::ALL.into_iter().find(|t| t.sql() == table);
    table.zip(id.as_str().ok()).map(|(table, name)| Key::Record(table, name.to_owned()))
}

/// A number that is never negative, if it is one.
fn number(value: ValueRef<'_>) -> Option<u64> {
    value.as_i64().ok().and_then(|number| u64::try_from(number).ok())
}

/// A value that should be a text, as a reader would write it.
pub(super) fn plain(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => format!("(bytes) {}", String::from_utf8_lossy(bytes)),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("(number) {number}"),
        ValueRef::Null => "(nothing)".into(),
    }
}

fn stored_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Stored> {
    let mut values = [Misfit::VALUE; FEATURES];
    let mut there = false;
    for (at, value) in values.iter_mut().enumerate() {
        let found = row.get_ref(4 + at)?;
        // Only a row without any value is a deletion.
        there |= found != ValueRef::Null;
        *value = match found {
            ValueRef::Real(found) => found,
            ValueRef::Integer(found) => found as f64,
            _ => Misfit::VALUE,
        };
    }
    let item = Item::Row(Row {
        key: number(row.get_ref(0)?).unwrap_or(Misfit::NUMBER),
        ver: number(row.get_ref(1)?).unwrap_or(Misfit::NUMBER),
        event_us: row.get_ref(2)?.as_i64().unwrap_or(Misfit::TIME),
        values: there.then_some(values),
    });
    Ok(Stored { item, digest: digest(row)?, logged: number(row.get_ref(4 + FEATURES)?) })
}

fn stored_record(table: Table, row: &rusqlite::Row<'_>) -> rusqlite::Result<Stored> {
    let item = Item::Record(Record {
        table,
        name: plain(row.get_ref(0)?),
        ver: number(row.get_ref(1)?).unwrap_or(Misfit::NUMBER),
        event_us: row.get_ref(2)?.as_i64().unwrap_or(Misfit::TIME),
        body: Some(row.get_ref(4)?).filter(|body| *body != ValueRef::Null).map(plain),
    });
    Ok(Stored { item, digest: digest(row)?, logged: number(row.get_ref(5)?) })
}

/// A digest of another length is none that a write made.
fn digest(row: &rusqlite::Row<'_>) -> rusqlite::Result<Digest> {
    Ok(row.get_ref(3)?.as_blob().ok().and_then(|bytes| bytes.try_into().ok()).unwrap_or_default())
}
