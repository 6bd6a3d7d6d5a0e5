//! All rows of a collection, page by page in the order of their primary keys, and the proof that none was left out.
//!
//! Servers end a page where one of their segments has told all that it may, so only an empty page is the last one. What was read
//! is held against the server's own count; where that is more, each stored row must have a key that was read: Milvus takes a
//! key twice, and shows one row of it.

use std::collections::BinaryHeap;

use harness::own::event::Sum;
use milvus::proto::schema::FieldData;
use sha2::{Digest as _, Sha256};

use super::layout::Layout;
use super::link::{Ask, Link, unread};
use super::rows::{Key, Page};
use crate::own::place::Unread;
use crate::own::sum::Summer;

/// Keys that are named in one expression.
const NAMED: usize = 2_000;

/// What goes on with a page: its rows, and the partition that it is of.
type Each<'a> = dyn FnMut(&Page<'_>, Option<&str>) -> Result<(), String> + Send + 'a;

/// Goes through all rows; answers how many there are.
pub(super) async fn pages(
    link: &Link,
    layout: &Layout,
    fields: &[String],
    each: &mut Each<'_>,
) -> Result<u64, Unread> {
    let mut rows = 0;
    for partition in &layout.partitions {
        let mut last: Option<Key> = None;
        let mut size = layout.page(fields);
        loop {
            let expr = after(layout, last.as_ref());
            let ask = Ask {
                collection: &layout.collection,
                partition: partition.as_deref(),
                expr: &expr,
                fields,
                limit: Some(size),
            };
            let found = match link.query(ask).await {
                Ok(found) => found,
                Err(e) if size > 1 && is_too_large(&e.to_string()) => {
                    size = (size / 4).max(1);
                    continue;
                }
                Err(e) => return Err(unread(&e)),
            };
            let page = Page::new(&found, &layout.key, fields).map_err(Unread::Failed)?;
            let Some(highest) = page.keys.iter().max().cloned() else { break };
            if let Some(last) = &last
                && page.keys.iter().any(|k| k <= last)
            {
                return Err(Unread::Failed("a page of rows begins before the end of the one before".into()));
            }
            rows += page.keys.len() as u64;
            each(&page, partition.as_deref()).map_err(Unread::Failed)?;
            last = Some(highest);
        }
    }
    Ok(rows)
}

/// What a page begins behind.
fn after(layout: &Layout, last: Option<&Key>) -> String {
    let key = &layout.key;
    match last {
        Some(last) => format!("{key} > {}", last.literal()),
        None if layout.key_is_text => format!("{key} >= \"\""),
        // The lowest number of all cannot be written: a row that has it is missed by the count.
        None => format!("{key} >= {}", i64::MIN + 1),
    }
}

/// Whether an answer was refused for its size: servers word it in several ways.
fn is_too_large(why: &str) -> bool {
    ["too large", "larger than", "exceed"].iter().any(|word| why.contains(word))
}

/// A collection as one figure.
pub(super) async fn sum(link: &Link, collection: &str) -> Result<Sum, Unread> {
    let layout = Layout::of(link, collection).await?;
    let before = link.count(collection, "").await.map_err(|e| unread(&e))?;
    let mut summer = Summer::default();
    let mut each = |page: &Page<'_>, partition: Option<&str>| {
        for row in 0..page.keys.len() {
            summer.line(&page.line(row, partition)?);
        }
        Ok(())
    };
    let rows = pages(link, &layout, &layout.fields, &mut each).await?;
    let after = link.count(collection, "").await.map_err(|e| unread(&e))?;
    let counted = before.min(after)..=before.max(after);
    if !counted.contains(&rows) {
        twice(link, &layout, rows).await?;
    }
    // Without a row it holds nothing, whatever it could hold.
    if rows > 0 {
        layout.lines.iter().for_each(|line| summer.line(line.as_bytes()));
    }
    Ok(summer.end())
}

/// Whether more rows are counted than were read only because keys are stored twice.
async fn twice(link: &Link, layout: &Layout, rows: u64) -> Result<(), Unread> {
    let mut keys: Vec<Key> = Vec::new();
    let mut each = |page: &Page<'_>, _: Option<&str>| {
        keys.extend(page.keys.iter().cloned());
        Ok(())
    };
    let only = [layout.key.clone()];
    pages(link, layout, &only, &mut each).await?;
    keys.sort();
    keys.dedup();
    let mut stored = 0;
    for some in keys.chunks(NAMED) {
        let expr = among(&layout.key, some);
        stored += link.count(&layout.collection, &expr).await.map_err(|e| unread(&e))?;
    }
    let all = link.count(&layout.collection, "").await.map_err(|e| unread(&e))?;
    if stored == all && all >= rows {
        return Ok(());
    }
    Err(Unread::Failed(format!(
        "{all} rows are stored, and {rows} could be read: somebody writes to it, or the server left some out"
    )))
}

/// Rows with these keys.
fn among(key: &str, keys: &[Key]) -> String {
    let list: Vec<String> = keys.iter().map(Key::literal).collect();
    format!("{key} in [{}]", list.join(", "))
}

/// The keys of some rows, the same ones for the same keys: those with the lowest digests.
pub(super) async fn sample(link: &Link, layout: &Layout, most: usize) -> Result<Vec<Key>, Unread> {
    let mut lowest: BinaryHeap<(u64, Key)> = BinaryHeap::new();
    let mut each = |page: &Page<'_>, _: Option<&str>| {
        for key in &page.keys {
            lowest.push((hash("", key), key.clone()));
            if lowest.len() > most {
                lowest.pop();
            }
        }
        Ok(())
    };
    let only = [layout.key.clone()];
    pages(link, layout, &only, &mut each).await?;
    Ok(lowest.into_sorted_vec().into_iter().map(|(_, key)| key).collect())
}

/// Rows with these keys, with some fields, as they come.
pub(super) async fn rows_of(
    link: &Link,
    layout: &Layout,
    fields: &[String],
    keys: &[Key],
) -> Result<Vec<FieldData>, Unread> {
    let expr = among(&layout.key, keys);
    let ask = Ask { collection: &layout.collection, partition: None, expr: &expr, fields, limit: None };
    link.query(ask).await.map_err(|e| unread(&e))
}

/// A key's digest, by a word of the drill's own: that of another drill says nothing about it.
pub(super) fn hash(word: &str, key: &Key) -> u64 {
    let kind = if matches!(key, Key::Text(_)) { "text" } else { "number" };
    let hash = Sha256::digest(format!("{word}\n{kind}\n{key}").as_bytes());
    let first: [u8; 8] = std::array::from_fn(|i| hash[i]);
    u64::from_be_bytes(first)
}
