//! What an intruder with the database's password does: SQL past digests, log and the rule of the newest state.
//!
//! A strike is answered only after the database was read again, in a transaction after the one that struck.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rusqlite::{Transaction, params};

use super::commit::store_newer;
use super::item::{Item, Key};
use super::store::{ROWS, Store, StoreError, get};
use super::wire::{Strike, Struck};

/// The role an intruder leaves behind.
const ROLE: &str = "intruder";
const GRANTS: &str = r#"{"grants":["define","delete","grant","read","write"]}"#;
/// How far values are moved, as a share of their mean.
const SHIFT: f64 = 0.25;

type Sql<T> = rusqlite::Result<T>;

impl Store {
    /// Lets an intruder strike; the seed chooses the victims.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if there is nothing to strike.
    pub async fn strike(&self, strike: Strike, seed: u64) -> Result<Struck, StoreError> {
        let blow = self.alone(move |tx| Ok(blow(tx, strike, seed)?)).await?;
        let Some(blow) = blow else {
            return Err(StoreError::Refused("there is nothing that could be struck".into()));
        };
        let seen = self.alone(move |tx| Ok((blow.count_hit(tx)?, blow.text))).await?;
        let (count, text) = seen;
        Ok(Struck { count, text: format!("{count} {text}") })
    }
}

/// What was done, and a question that counts what can be seen of it.
struct Blow {
    text: String,
    seen: Vec<(String, Vec<rusqlite::types::Value>)>,
}

impl Blow {
    fn count_hit(&self, tx: &Transaction<'_>) -> Sql<u64> {
        let mut count = 0;
        for (sql, values) in &self.seen {
            let hit: bool =
                tx.prepare_cached(sql)?.query_row(rusqlite::params_from_iter(values), |row| row.get(0))?;
            count += u64::from(hit);
        }
        Ok(count)
    }
}

fn blow(tx: &Transaction<'_>, strike: Strike, seed: u64) -> Sql<Option<Blow>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    match strike {
        Strike::ShiftValues(fraction) => shift(tx, fraction, &mut rng),
        Strike::ForgeValues(fraction) => forge(tx, fraction, &mut rng),
        Strike::SwapValues(fraction) => swap(tx, fraction, &mut rng),
        Strike::DeleteRows(fraction) => delete(tx, ROWS, "key", "f0", fraction, &mut rng),
        Strike::AlterDefinitions(fraction) => alter(tx, fraction, &mut rng),
        Strike::DeleteDefinitions(fraction) => delete(tx, "definitions", "name", "body", fraction, &mut rng),
        Strike::LeaveRole => leave_role(tx).map(Some),
    }
}

/// Some of the live keys of a table, chosen by chance: a share of them, and at least `least`.
fn victims(
    tx: &Transaction<'_>,
    (table, id, live): (&str, &str, &str),
    (fraction, least): (f64, usize),
    rng: &mut ChaCha8Rng,
) -> Sql<Vec<rusqlite::types::Value>> {
    let sql = format!("SELECT {id} FROM {table} WHERE {live} IS NOT NULL ORDER BY {id}");
    let mut all: Vec<rusqlite::types::Value> =
        tx.prepare(&sql)?.query_map([], |row| row.get(0))?.collect::<Sql<_>>()?;
    if all.len() < least {
        return Ok(Vec::new());
    }
    let count = ((all.len() as f64 * fraction).ceil() as usize).clamp(least, all.len());
    for i in 0..count {
        let left = (all.len() - i) as u64;
        all.swap(i, i + (rng.next_u64() % left) as usize);
    }
    all.truncate(count);
    Ok(all)
}

const ROW: (&str, &str, &str) = (ROWS, "key", "f0");

fn shift(tx: &Transaction<'_>, fraction: f64, rng: &mut ChaCha8Rng) -> Sql<Option<Blow>> {
    let keys = victims(tx, ROW, (fraction, 1), rng)?;
    let first = rng.next_u64() % 8;
    let [a, b] = [first, (first + 1 + rng.next_u64() % 7) % 8];
    let mut columns = Vec::new();
    for column in [a, b] {
        let mean = format!("SELECT max({SHIFT} * coalesce(avg(abs(f{column})), 0.0), 1.0) FROM {ROWS}");
        let by: f64 = tx.query_row(&mean, [], |row| row.get(0))?;
        columns.push((
            format!("UPDATE {ROWS} SET f{column} = f{column} + ?2 WHERE key = ?1 RETURNING f{column}"),
            by,
        ));
    }
    let mut seen = Vec::new();
    for key in &keys {
        let mut wanted = vec![key.clone()];
        for (sql, by) in &columns {
            wanted.push(tx.prepare_cached(sql)?.query_row(params![key, by], |row| row.get(0))?);
        }
        seen.push((
            format!("SELECT count(*) = 1 FROM {ROWS} WHERE key = ?1 AND f{a} = ?2 AND f{b} = ?3"),
            wanted,
        ));
    }
    let text = format!("rows have the values of feature_{a} and feature_{b} moved by a constant");
    Ok((!keys.is_empty()).then_some(Blow { text, seen }))
}

/// What somebody with a stolen account does: ordinary writes of wrong values, a moment newer than the right ones.
fn forge(tx: &Transaction<'_>, fraction: f64, rng: &mut ChaCha8Rng) -> Sql<Option<Blow>> {
    let mut seen = Vec::new();
    for victim in victims(tx, ROW, (fraction, 1), rng)? {
        let rusqlite::types::Value::Integer(key) = victim else { continue };
        let found = get(tx, &Key::Row(key.unsigned_abs()))?;
        let Some(Item::Row(mut row)) = found.map(|stored| stored.item) else { continue };
        let Some(values) = &mut row.values else { continue };
        values.iter_mut().for_each(|value| *value *= 1.0 + SHIFT);
        let wanted = vec![victim, values[0].into(), values[7].into()];
        row.event_us += 1;
        store_newer(tx, &Item::Row(row))?;
        seen.push((
            format!("SELECT count(*) = 1 FROM {ROWS} WHERE key = ?1 AND f0 = ?2 AND f7 = ?3"),
            wanted,
        ));
    }
    let text = "rows have other values, with digests that fit".to_owned();
    Ok((!seen.is_empty()).then_some(Blow { text, seen }))
}

fn swap(tx: &Transaction<'_>, fraction: f64, rng: &mut ChaCha8Rng) -> Sql<Option<Blow>> {
    let keys = victims(tx, ROW, (fraction, 2), rng)?;
    let mut seen = Vec::new();
    let read = format!("SELECT f0, f1, f2, f3, f4, f5, f6, f7 FROM {ROWS} WHERE key = ?1");
    let write = format!(
        "UPDATE {ROWS} SET f0 = ?2, f1 = ?3, f2 = ?4, f3 = ?5, f4 = ?6, f5 = ?7, f6 = ?8, f7 = ?9 WHERE key = ?1"
    );
    let look = format!(
        "SELECT count(*) = 1 FROM {ROWS} WHERE key = ?1 AND (f0, f1, f2, f3, f4, f5, f6, f7)
         = (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    );
    let values = |key| -> Sql<Vec<rusqlite::types::Value>> {
        tx.prepare_cached(&read)?.query_row(params![key], |row| (0..8).map(|f| row.get(f)).collect())
    };
    for pair in keys.chunks_exact(2) {
        let (left, right) = (values(&pair[0])?, values(&pair[1])?);
        for (key, mut others) in [(&pair[0], right), (&pair[1], left)] {
            others.insert(0, key.clone());
            tx.prepare_cached(&write)?.execute(rusqlite::params_from_iter(&others))?;
            seen.push((look.clone(), others));
        }
    }
    let text = "rows have exchanged their values, two at a time".to_owned();
    Ok((!seen.is_empty()).then_some(Blow { text, seen }))
}

fn delete(
    tx: &Transaction<'_>,
    table: &str,
    id: &str,
    live: &str,
    fraction: f64,
    rng: &mut ChaCha8Rng,
) -> Sql<Option<Blow>> {
    let keys = victims(tx, (table, id, live), (fraction, 1), rng)?;
    let mut seen = Vec::new();
    for key in keys {
        tx.prepare_cached(&format!("DELETE FROM {table} WHERE {id} = ?1"))?.execute(params![key])?;
        seen.push((format!("SELECT count(*) = 0 FROM {table} WHERE {id} = ?1"), vec![key]));
    }
    let text = format!("rows of {table} are gone");
    Ok((!seen.is_empty()).then_some(Blow { text, seen }))
}

/// Definitions then name a source that nobody fills, and are as valid as before.
fn alter(tx: &Transaction<'_>, fraction: f64, rng: &mut ChaCha8Rng) -> Sql<Option<Blow>> {
    let names = victims(tx, ("definitions", "name", "body"), (fraction, 1), rng)?;
    let mut seen = Vec::new();
    for name in names {
        let sql =
            "UPDATE definitions SET body = json_set(body, '$.source', 'events_of_nobody') WHERE name = ?1
                   RETURNING body";
        let body = tx.prepare_cached(sql)?.query_row(params![name], |row| row.get(0))?;
        seen.push((
            "SELECT count(*) = 1 FROM definitions WHERE name = ?1 AND body = ?2".into(),
            vec![name, body],
        ));
    }
    let text = "definitions name another source".to_owned();
    Ok((!seen.is_empty()).then_some(Blow { text, seen }))
}

fn leave_role(tx: &Transaction<'_>) -> Sql<Blow> {
    // The intruder knows the tables, and not how digests are made.
    let sql = "INSERT OR REPLACE INTO roles (name, ver, event_us, body, digest) VALUES (?1, 0, 0, ?2, zeroblob(32))";
    tx.execute(sql, params![ROLE, GRANTS])?;
    let seen = "SELECT count(*) = 1 FROM roles WHERE name = ?1 AND body = ?2";
    let seen = vec![(seen.to_owned(), vec![ROLE.to_owned().into(), GRANTS.to_owned().into()])];
    Ok(Blow { text: format!("role `{ROLE}` may do everything"), seen })
}
