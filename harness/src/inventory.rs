//! What a store consists of for its users, beside its records: roles and grants, tables, views, functions, triggers,
//! buckets and their policies, collections, indexes.
//!
//! Whoever tampers with a store need not touch a row: a view that answers zeros, a bucket that the world may read, and
//! a role that may do everything leave all records as they were. So every driver lists what its store consists of, by
//! names that a reader knows and definitions that are the same text for the same thing. Whether two lists agree is
//! judged from the journal, in `judge`. Nothing here asks a product anything.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Items of one list; a stranger could make any number.
const ITEMS_MAX: usize = 4_000;
/// Letters of a name.
const NAME_MAX: usize = 200;
/// Letters of a definition; longer ones are told by their beginning and their digest.
const DEFINITION_MAX: usize = 160;
/// Under this name stands what a list has no room for.
const REST: &str = "whatever there is beyond these";

/// What a store consists of: definitions by the names of the items, such as `view features_daily`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inventory(BTreeMap<String, String>);

impl Inventory {
    /// Adds an item. Two of one name are one item with both definitions; what there is no room for is one item with the
    /// digest of all of it. So nothing that differs can hide.
    pub fn add(&mut self, name: impl AsRef<str>, definition: impl AsRef<str>) {
        let (name, definition) = (short(name.as_ref(), NAME_MAX), short(definition.as_ref(), DEFINITION_MAX));
        let known = self.0.contains_key(&name) || self.0.len() < ITEMS_MAX;
        let (name, definition) =
            if known { (name, definition) } else { (REST.into(), format!("{name}: {definition}")) };
        let both = match self.0.get(&name) {
            Some(there) => short(&format!("{there} | {definition}"), DEFINITION_MAX),
            None => short(&definition, DEFINITION_MAX),
        };
        self.0.insert(name, both);
    }

    /// Names and definitions, in the order of names.
    pub fn items(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, definition)| (name.as_str(), definition.as_str()))
    }

    /// The definition of an item.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One line, and not too long: its beginning, and the digest of all of it.
fn short(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain = line.chars().all(|c| !c.is_control()) && line.len() == text.len();
    if plain && line.chars().count() <= most {
        return line;
    }
    let sha: String = Sha256::digest(text.as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect();
    let shown = line.chars().filter(|c| !c.is_control()).take(most - 40).collect::<String>();
    format!("{shown} .. (sha256 {sha})")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(name: &str, definition: &str) -> Inventory {
        let mut inventory = Inventory::default();
        inventory.add(name, definition);
        inventory
    }

    #[test]
    fn what_is_said_twice_is_said_together() {
        let mut twice = one("policy p", "a");
        twice.add("policy p", "b");
        assert_eq!(twice.get("policy p"), Some("a | b"));
        assert_eq!(twice.len(), 1);
    }

    #[test]
    fn any_number_of_items_has_room_and_none_hides() {
        let many = |last: &str| {
            let mut inventory = Inventory::default();
            (0..ITEMS_MAX + 50).for_each(|n| inventory.add(format!("table t{n:05}"), "x"));
            inventory.add("table zzz", last);
            inventory
        };
        assert!(many("a").len() <= ITEMS_MAX + 1);
        assert_ne!(many("a"), many("b"));
        assert!(many("a").items().all(|(_, definition)| definition.chars().count() <= DEFINITION_MAX));
    }

    proptest! {
        /// Different definitions stay different, however long, and white space counts.
        #[test]
        fn definitions_stay_apart(a in "(?s).{0,400}", b in "(?s).{0,400}") {
            prop_assert_eq!(one("x", &a) == one("x", &b), a == b);
            prop_assert_eq!(one(&a, "x") == one(&b, "x"), a == b);
        }
    }
}
