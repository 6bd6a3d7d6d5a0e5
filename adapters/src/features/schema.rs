//! The tables. A database of another schema version is refused; a backup of the one before is migrated (see `backup`).

use rusqlite::{Connection, Transaction};

use super::item::Table;

/// The version that this program writes.
pub(super) const VERSION: u32 = 2;

/// Columns of the values.
pub(super) const VALUES: &str = "f0, f1, f2, f3, f4, f5, f6, f7";

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    /// SQLite failed.
    #[error("{0}")]
    Sql(#[from] rusqlite::Error),
    /// Nobody knows what its tables mean.
    #[error(
        "schema version {0}: this program knows version {VERSION}; restore a backup into an empty folder"
    )]
    Version(u32),
}

/// Makes the tables, if there are none.
pub(super) fn prepare(db: &mut Connection) -> Result<(), SchemaError> {
    let version: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tx = db.transaction()?;
    match version {
        0 => create(&tx)?,
        VERSION => return Ok(()),
        other => return Err(SchemaError::Version(other)),
    }
    tx.pragma_update(None, "user_version", VERSION)?;
    Ok(tx.commit()?)
}

fn create(tx: &Transaction<'_>) -> Result<(), SchemaError> {
    // Deletions stay, with NULL for the values. Of `changes` each key has the newest one only.
    tx.execute_batch(
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
         CREATE TABLE changes (
             lsn INTEGER PRIMARY KEY AUTOINCREMENT, tab TEXT NOT NULL, id NOT NULL, ver INTEGER NOT NULL,
             UNIQUE (tab, id));
         CREATE TABLE entity_rows (
             key INTEGER PRIMARY KEY, ver INTEGER NOT NULL, event_us INTEGER NOT NULL,
             f0 REAL, f1 REAL, f2 REAL, f3 REAL, f4 REAL, f5 REAL, f6 REAL, f7 REAL, digest BLOB NOT NULL);",
    )?;
    for table in Table::ALL {
        tx.execute_batch(&format!(
            "CREATE TABLE {} (
                 name TEXT PRIMARY KEY, ver INTEGER NOT NULL, event_us INTEGER NOT NULL, body TEXT,
                 digest BLOB NOT NULL) WITHOUT ROWID;",
            table.sql()
        ))?;
    }
    Ok(())
}
