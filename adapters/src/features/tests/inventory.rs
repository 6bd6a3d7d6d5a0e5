//! What a store consists of, and what a hand with the database's file leaves in it that no key names.

use harness::inventory::Inventory;
use harness::ports::{Reading, System};
use rusqlite::Connection;

use super::*;
use crate::features::FeatureSystem;
use crate::trials::{seed, survivors};

const ENTITIES: u64 = 30;

struct Tampered {
    before: Inventory,
    after: Inventory,
    /// Keys of the corpus that read otherwise than seeded.
    bad: Vec<(u64, Option<Reading>)>,
    /// What is listed and nobody wrote.
    strange: usize,
}

/// A seeded store before and after a hand ran this SQL.
fn tampered(sql: &str) -> Tampered {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let node = node(dir.path()).await;
        let corpus = corpus(ENTITIES);
        let system = FeatureSystem::new(node.client.clone(), corpus.clone());
        seed(&system, &corpus).await;
        let all = ENTITIES + corpus.catalogue_count();
        let before = system.inventory().await.unwrap().unwrap();
        Connection::open(dir.path().join("features.db")).unwrap().execute_batch(sql).unwrap();
        let after = system.inventory().await.unwrap().unwrap();
        let listed = survivors(&system, 7).await;
        let of = |key| listed.iter().find(|(k, _)| *k == key).map(|(_, reading)| *reading);
        let bad = (0..all).map(|key| (key, of(key))).filter(|(_, r)| *r != Some(Reading::Ver(0))).collect();
        let strange = listed.iter().filter(|(key, _)| *key >= all).count();
        node.end().await;
        Tampered { before, after, bad, strange }
    })
}

#[test]
fn an_untouched_store_is_the_same_again() {
    let Tampered { before, after, bad, strange } = tampered("SELECT 1");
    assert_eq!((before, bad, strange), (after.clone(), Vec::new(), 0));
    assert!(after.get("table entity_rows").is_some_and(|sql| sql.starts_with("CREATE TABLE")), "{after:?}");
    assert!(after.items().any(|(name, _)| name.starts_with("role ")), "{after:?}");
}

#[test]
fn whatever_is_added_or_altered_is_named() {
    for (sql, name) in [
        ("CREATE TABLE loot (x)", "table loot"),
        ("CREATE VIEW v AS SELECT 0", "view v"),
        ("CREATE TRIGGER t AFTER DELETE ON roles BEGIN SELECT 1; END", "trigger t"),
        ("CREATE INDEX i ON entity_rows (f1)", "index i"),
        ("ALTER TABLE entity_rows ADD COLUMN f8 REAL", "table entity_rows"),
        ("PRAGMA user_version = 2; INSERT INTO meta VALUES ('x', 1)", "meta x"),
        ("INSERT INTO roles VALUES ('shadow', 0, 0, '{}', zeroblob(32))", "role shadow"),
    ] {
        let Tampered { before, after, .. } = tampered(sql);
        assert_ne!(before.get(name), after.get(name), "{sql}");
    }
}

#[test]
fn what_no_key_names_is_listed_and_hides_nothing() {
    let row = |key: &str, f3: &str| {
        format!("INSERT INTO entity_rows VALUES ({key}, 0, 0, 1, 1, 1, {f3}, 1, 1, 1, 1, zeroblob(32));")
    };
    let gone = "INSERT INTO entity_rows (key, ver, event_us, digest) VALUES (9999, 0, 0, zeroblob(32));";
    for (sql, strange) in [
        (row("-5", "1"), 1),
        (row("9999", "NULL"), 1),
        (row("9999", "'a text'"), 1),
        (row("9223372036854775807", "1"), 1),
        (gone.to_owned(), 1),
        ("INSERT INTO changes (tab, id, ver) VALUES ('entity_rows', -7, 0), ('else', 1, 0)".to_owned(), 2),
        ("INSERT INTO roles VALUES (x'ff00', 0, 0, '{}', zeroblob(32))".to_owned(), 2),
        ("INSERT INTO definitions VALUES ('mine', 'x', 'y', NULL, 'z')".to_owned(), 1),
    ] {
        let Tampered { bad, strange: found, .. } =
            tampered(&format!("{sql}; DELETE FROM entity_rows WHERE key = 4"));
        assert_eq!((bad, found), (vec![(4, None)], strange), "{sql}");
    }
}

#[test]
fn a_row_with_anything_that_no_write_stores_is_corrupt() {
    for set in [
        "f2 = NULL",
        "f2 = 'x'",
        "ver = -1",
        "ver = 'x'",
        "event_us = 'x'",
        "digest = 'x'",
        "digest = zeroblob(32)",
    ] {
        let Tampered { bad, strange, .. } = tampered(&format!("UPDATE entity_rows SET {set} WHERE key = 4"));
        assert_eq!((bad, strange), (vec![(4, Some(Reading::Corrupt))], 0), "{set}");
    }
    // A removal past the log is one that no write made.
    let sql = "UPDATE entity_rows SET f0 = NULL, f1 = NULL, f2 = NULL, f3 = NULL, f4 = NULL, f5 = NULL, f6 = NULL, f7 = NULL WHERE key = 4";
    assert_eq!(tampered(sql).bad, [(4, Some(Reading::Corrupt))]);
}
