//! What a feature store on SQLite consists of: its schema as the file has it, its roles, and strangers by name.
//!
//! Strangers are rows that no key can name (a negative one, a name that is no text) and entries of the log that belong
//! to nothing. Users never ask for them, so a reading by keys alone would never see them.

use harness::inventory::Inventory;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::item::Table;
use super::query::{ROWS, plain};

/// Strangers that are named; more would say nothing new.
pub(super) const STRANGERS_MAX: usize = 10_000;
/// Of these, in an inventory.
const NAMED: usize = 200;

/// What the store consists of.
pub(super) fn inventory(db: &Connection) -> rusqlite::Result<Inventory> {
    let mut all = Inventory::default();
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    all.add("schema version", version.to_string());
    let mut listed = db.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema")?;
    let mut rows = listed.query([])?;
    while let Some(row) = rows.next()? {
        let [kind, name, table, sql] =
            [0, 1, 2, 3].map(|at| row.get_ref(at).map_or_else(|_| String::new(), text));
        all.add(format!("{kind} {name}"), if table == name { sql } else { format!("on {table}: {sql}") });
    }
    let mut listed = db.prepare("SELECT name FROM meta")?;
    let mut rows = listed.query([])?;
    while let Some(row) = rows.next()? {
        // Its value is that of a history, and each restore begins another one.
        all.add(format!("meta {}", text(row.get_ref(0)?)), "");
    }
    let mut listed = db.prepare(&format!("SELECT name, body FROM {}", Table::Roles.sql()))?;
    let mut rows = listed.query([])?;
    while let Some(row) = rows.next()? {
        if !matches!(row.get_ref(1)?, ValueRef::Null) {
            all.add(format!("role {}", text(row.get_ref(0)?)), text(row.get_ref(1)?));
        }
    }
    for stranger in strangers(db, NAMED)? {
        all.add(stranger, "");
    }
    Ok(all)
}

/// What is stored and has no key, each by a name.
pub(super) fn strangers(db: &Connection, most: usize) -> rusqlite::Result<Vec<String>> {
    let mut questions = vec![(ROWS, format!("SELECT key FROM {ROWS} WHERE key < 0"))];
    for table in Table::ALL.map(Table::sql) {
        questions
            .push((table, format!("SELECT name FROM {table} WHERE typeof(name) <> 'text' OR name = ''")));
    }
    let tables: Vec<String> = Table::ALL.iter().map(|table| format!("'{}'", table.sql())).collect();
    let log = format!(
        "SELECT id FROM changes WHERE NOT ((tab = '{ROWS}' AND typeof(id) = 'integer' AND id >= 0)
         OR (tab IN ({}) AND typeof(id) = 'text'))",
        tables.join(", ")
    );
    questions.push(("changes", log));
    let mut found = Vec::new();
    for (table, question) in questions {
        let left = most.saturating_sub(found.len());
        let mut asked = db.prepare_cached(&format!("{question} LIMIT {left}"))?;
        let mut rows = asked.query([])?;
        while let Some(row) = rows.next()? {
            found.push(format!("stranger {:?} in {table}", text(row.get_ref(0)?)));
        }
    }
    Ok(found)
}

/// A value as a reader would write it.
fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Real(number) => number.to_string(),
        other => plain(other),
    }
}
