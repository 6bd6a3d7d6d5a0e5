//! What an intruder with the superuser's password does: SQL past digests, log and the rule of the newest state.
//!
//! The victims are chosen here, by chance from the seed. A strike is answered only after the database was read again,
//! in a transaction after the one that struck.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio_postgres::types::{ToSql, Type};

use super::database::{Database, Held, column};
use super::login::literal;
use super::rows::{row_query, server_roles_query, store_newer, stored_row};
use super::schema::{ROWS, VALUES};
use crate::features::{CallError, Item, Strike, Struck};

/// The superuser that an intruder leaves behind.
pub(super) const INTRUDER: &str = "intruder";
/// How far values are moved, as a share of their mean.
const SHIFT: f64 = 0.25;

type Params<'a> = [(&'a (dyn ToSql + Sync), Type)];

/// What was done, and questions whose answers count what can be seen of it.
struct Blow {
    text: String,
    seen: Vec<String>,
}

/// Lets an intruder strike.
pub(super) async fn strike(database: &Database, strike: Strike, seed: u64) -> Result<Struck, CallError> {
    let held = database.hold().await?;
    held.begin().await?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let blow = match strike {
        Strike::ShiftValues(fraction) => shift(&held, fraction, &mut rng).await?,
        Strike::ForgeValues(fraction) => forge(&held, fraction, &mut rng).await?,
        Strike::SwapValues(fraction) => swap(&held, fraction, &mut rng).await?,
        Strike::DeleteRows(fraction) => delete(&held, &ENTITIES, fraction, &mut rng).await?,
        Strike::AlterDefinitions(fraction) => alter(&held, fraction, &mut rng).await?,
        Strike::DeleteDefinitions(fraction) => delete(&held, &DEFINITIONS, fraction, &mut rng).await?,
        Strike::LeaveRole => Some(leave_role(&held).await?),
    };
    let blow = blow.ok_or_else(|| CallError::Refused("there is nothing that could be struck".into()))?;
    held.commit().await?;
    let held = database.hold().await?;
    let mut count = 0;
    for question in &blow.seen {
        let row = held.ask(held.client().query_typed_one(question, &[])).await?;
        count += column::<i64>(&row, 0)?.unsigned_abs();
    }
    held.release();
    Ok(Struck { count, text: format!("{count} {}", blow.text) })
}

/// A table that can be struck: its name, its key as text and literal, and what a live row has.
struct Target {
    table: &'static str,
    key: &'static str,
    live: &'static str,
}

const ENTITIES: Target = Target { table: ROWS, key: "entity_key", live: "f0" };
const DEFINITIONS: Target = Target { table: "definitions", key: "name", live: "body" };

/// Some of the live keys of a table as literals, chosen by chance: a share of them, and at least `least`.
async fn victims(
    held: &Held,
    target: &Target,
    (fraction, least): (f64, usize),
    rng: &mut ChaCha8Rng,
) -> Result<Vec<String>, CallError> {
    let Target { table, key, live } = target;
    let sql = format!("SELECT {key}::text FROM {table} WHERE {live} IS NOT NULL ORDER BY {key}");
    let mut all = Vec::new();
    for row in held.ask(held.client().query_typed(&sql, &[])).await? {
        all.push(literal(&column::<String>(&row, 0)?));
    }
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

/// A blow to some rows; none, if there are none.
fn blow(keys: &[String], text: impl Into<String>, seen: impl FnOnce(String) -> String) -> Option<Blow> {
    (!keys.is_empty()).then(|| Blow { text: text.into(), seen: vec![seen(keys.join(", "))] })
}

async fn shift(held: &Held, fraction: f64, rng: &mut ChaCha8Rng) -> Result<Option<Blow>, CallError> {
    let keys = victims(held, &ENTITIES, (fraction, 1), rng).await?;
    let first = rng.next_u64() % 8;
    let [a, b] = [first, (first + 1 + rng.next_u64() % 7) % 8];
    if keys.is_empty() {
        return Ok(None);
    }
    let by = |f| format!("(SELECT greatest({SHIFT} * coalesce(avg(abs(f{f})), 0), 1.0)::float8 FROM {ROWS})");
    // What they were meanwhile is kept beside them, so that the look afterwards can tell.
    let sql = format!(
        "UPDATE {ROWS} SET f{a} = f{a} + {}, f{b} = f{b} + {} WHERE entity_key IN ({})
         RETURNING entity_key, f{a}, f{b}",
        by(a),
        by(b),
        keys.join(", ")
    );
    let mut seen = Vec::new();
    for row in held.ask(held.client().query_typed(&sql, &[])).await? {
        let (key, left, right): (i64, f64, f64) = (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
        seen.push(format!("({key}, {left:?}::float8, {right:?}::float8)"));
    }
    let seen =
        format!("SELECT count(*) FROM {ROWS} WHERE (entity_key, f{a}, f{b}) IN (VALUES {})", seen.join(", "));
    let text = format!("rows have the values of feature_{a} and feature_{b} moved by a constant");
    Ok(Some(Blow { text, seen: vec![seen] }))
}

/// What somebody with a stolen account does: ordinary writes of wrong values, a moment newer than the right ones.
async fn forge(held: &Held, fraction: f64, rng: &mut ChaCha8Rng) -> Result<Option<Blow>, CallError> {
    let keys = victims(held, &ENTITIES, (fraction, 1), rng).await?;
    if keys.is_empty() {
        return Ok(None);
    }
    let sql = row_query(&format!("WHERE entity_key IN ({})", keys.join(", ")));
    let mut seen = Vec::new();
    for found in held.ask(held.client().query_typed(&sql, &[])).await? {
        let Item::Row(mut row) = stored_row(&found)?.item else { continue };
        let Some(values) = &mut row.values else { continue };
        values.iter_mut().for_each(|value| *value *= 1.0 + SHIFT);
        seen.push(format!("({}, {:?}::float8, {:?}::float8)", row.key, values[0], values[7]));
        row.event_us = row.event_us.saturating_add(1);
        held.ask(store_newer(held.client(), &Item::Row(row))).await?;
    }
    let seen =
        format!("SELECT count(*) FROM {ROWS} WHERE (entity_key, f0, f7) IN (VALUES {})", seen.join(", "));
    Ok(Some(Blow { text: "rows have other values, with digests that fit".into(), seen: vec![seen] }))
}

async fn swap(held: &Held, fraction: f64, rng: &mut ChaCha8Rng) -> Result<Option<Blow>, CallError> {
    let keys = victims(held, &ENTITIES, (fraction, 2), rng).await?;
    let pairs: Vec<(&String, &String)> =
        keys.chunks_exact(2).flat_map(|pair| [(&pair[0], &pair[1]), (&pair[1], &pair[0])]).collect();
    if pairs.is_empty() {
        return Ok(None);
    }
    let list =
        pairs.iter().map(|(to, from)| format!("({to}::int8, {from}::int8)")).collect::<Vec<_>>().join(", ");
    let theirs =
        |prefix: &str| VALUES.split(", ").map(|f| format!("{prefix}{f}")).collect::<Vec<_>>().join(", ");
    // Of one statement, every part sees the rows as they were before it.
    let sql = format!(
        "UPDATE {ROWS} r SET ({VALUES}) = (SELECT {} FROM {ROWS} o WHERE o.entity_key = pair.source)
         FROM (VALUES {list}) AS pair (target, source) WHERE r.entity_key = pair.target
         RETURNING r.entity_key, {}",
        theirs("o."),
        theirs("r.")
    );
    let mut seen = Vec::new();
    for row in held.ask(held.client().query_typed(&sql, &[])).await? {
        let mut wanted = vec![column::<i64>(&row, 0)?.to_string()];
        for f in 0..8 {
            wanted.push(format!("{:?}::float8", column::<f64>(&row, 1 + f)?));
        }
        seen.push(format!("({})", wanted.join(", ")));
    }
    let seen =
        format!("SELECT count(*) FROM {ROWS} WHERE (entity_key, {VALUES}) IN (VALUES {})", seen.join(", "));
    Ok(Some(Blow { text: "rows have exchanged their values, two at a time".into(), seen: vec![seen] }))
}

async fn delete(
    held: &Held,
    target: &Target,
    fraction: f64,
    rng: &mut ChaCha8Rng,
) -> Result<Option<Blow>, CallError> {
    let keys = victims(held, target, (fraction, 1), rng).await?;
    let Target { table, key, .. } = target;
    if !keys.is_empty() {
        let sql = format!("DELETE FROM {table} WHERE {key} IN ({})", keys.join(", "));
        held.ask(held.client().batch_execute(&sql)).await?;
    }
    Ok(blow(&keys, format!("rows of {table} are gone"), |list| {
        format!("SELECT {} - count(*) FROM {table} WHERE {key} IN ({list})", keys.len())
    }))
}

/// Definitions then name a source that nobody fills, and are as valid as before.
async fn alter(held: &Held, fraction: f64, rng: &mut ChaCha8Rng) -> Result<Option<Blow>, CallError> {
    let names = victims(held, &DEFINITIONS, (fraction, 1), rng).await?;
    if !names.is_empty() {
        let sql = format!(
            "UPDATE definitions SET body = jsonb_set(body::jsonb, '{{source}}', '\"events_of_nobody\"')::text
             WHERE name IN ({})",
            names.join(", ")
        );
        held.ask(held.client().batch_execute(&sql)).await?;
    }
    Ok(blow(&names, "definitions name another source", |list| {
        format!(
            "SELECT count(*) FROM definitions
             WHERE name IN ({list}) AND body::jsonb ->> 'source' = 'events_of_nobody'"
        )
    }))
}

/// A superuser of the server itself, who can come back tomorrow.
async fn leave_role(held: &Held) -> Result<Blow, CallError> {
    let params: &Params<'_> = &[(&INTRUDER, Type::TEXT)];
    let there = "SELECT count(*) FROM pg_roles WHERE rolname = $1";
    let row = held.ask(held.client().query_typed_one(there, params)).await?;
    if column::<i64>(&row, 0)? == 0 {
        held.ask(held.client().batch_execute(&format!("CREATE ROLE {INTRUDER} SUPERUSER LOGIN"))).await?;
    }
    let seen = format!(
        "SELECT count(*) FROM ({}) AS strange WHERE rolname = '{INTRUDER}' AND rolsuper",
        server_roles_query()
    );
    Ok(Blow { text: format!("superuser `{INTRUDER}` of the server may do everything"), seen: vec![seen] })
}
