//! Shipped files with a token dropped, doubled or exchanged: never a panic, and never a word of a program. `ci/nightly`
//! tries far more of them.

use std::{fs, path::PathBuf, sync::LazyLock};

use harness::diagnose::render;
use proptest::prelude::*;

use crate::{of_rust, said};

/// Every TOML file under `scenarios/`.
static SHIPPED: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("scenarios are shipped") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "toml") {
                files.push(path);
            }
        }
    }
    files.sort();
    files.iter().map(|f| fs::read_to_string(f).expect("it is text")).collect()
});

/// What may stand where something else stood.
const OTHERS: [&str; 24] = [
    "=", ":", "[", "]", "[[", "{", "}", "\"", "'", ",", "#", "\n", "5", "-1", "1.5", "true", "\"5s\"",
    "\"x\"", "[]", "{}", "[1, 2]", "rto", "fault", "12:30:00",
];

/// Words, texts, brackets and blanks.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
        let end = match c {
            '"' => rest[1..].find(['"', '\n']).map_or(rest.len(), |n| n + 2),
            c if plain(c) => rest.find(|c| !plain(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (token, more) = rest.split_at(end.min(rest.len()));
        tokens.push(token);
        rest = more;
    }
    tokens
}

#[derive(Clone, Debug)]
enum Edit {
    Drop,
    Double,
    Exchange(usize),
    Swap(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        Just(Edit::Drop),
        Just(Edit::Double),
        (0..OTHERS.len()).prop_map(Edit::Exchange),
        any::<usize>().prop_map(Edit::Swap),
    ]
}

fn edited(text: &str, edits: &[(usize, Edit)]) -> String {
    let mut tokens = tokens(text);
    for (at, edit) in edits {
        let visible: Vec<usize> = (0..tokens.len()).filter(|i| !tokens[*i].trim().is_empty()).collect();
        let Some(at) = visible.get(at % visible.len().max(1)).copied() else { break };
        match edit {
            Edit::Drop => drop(tokens.remove(at)),
            Edit::Double => tokens.insert(at, tokens[at]),
            Edit::Exchange(with) => tokens[at] = OTHERS[*with],
            Edit::Swap(with) => tokens.swap(at, visible[with % visible.len()]),
        }
    }
    tokens.concat()
}

proptest! {
    #[test]
    fn an_edit_is_told_in_plain_words(
        file in any::<usize>(),
        edits in prop::collection::vec((any::<usize>(), edit()), 1..4),
    ) {
        let text = edited(&SHIPPED[file % SHIPPED.len()], &edits);
        let found = said(text.as_bytes());
        render("x.toml", text.as_bytes(), &found, false);
        for d in &found {
            let sentence = format!("{} {}", d.message, d.hint.clone().unwrap_or_default());
            prop_assert!(of_rust(&sentence, &text).is_empty(), "{sentence}\n{text}");
            prop_assert!(!d.message.contains("cannot be read"), "{d:?}\n{text}");
            prop_assert!(d.hint.as_ref().is_some_and(|h| !h.is_empty()), "{d:?}\n{text}");
            if let Some(span) = &d.span {
                prop_assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end), "{d:?}");
            }
        }
    }
}
