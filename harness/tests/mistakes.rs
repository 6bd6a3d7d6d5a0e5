//! Mistakes of beginners, one file each: what `gameday check` says of them, in the words of TOML and of the file.

mod mistakes {
    mod edits;
    mod golden;
}

/// Words of a program that nobody who writes a scenario knows.
const OF_RUST: [&str; 16] = [
    "struct",
    "variant",
    "enum",
    "Option",
    "map",
    "sequence",
    "tuple",
    "deserialize",
    "serde",
    "newtype",
    "f64",
    "u64",
    "u32",
    "u16",
    "i64",
    "usize",
];

/// The words of a program that stand in a sentence; those that `own` text brought along aside.
fn of_rust(said: &str, own: &str) -> Vec<&'static str> {
    let words = |text: &str| -> std::collections::BTreeSet<String> {
        text.split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect()
    };
    let (said, own) = (words(said), words(own));
    OF_RUST.into_iter().filter(|w| said.contains(*w) && !own.contains(*w)).collect()
}

/// Everything that is said of a file, by the reader that would be asked.
fn said(bytes: &[u8]) -> Vec<harness::diagnose::Diagnostic> {
    use harness::own::{self, Kind};
    let no_stack = |name: &str| own::stack(STACK.as_bytes()).map_err(|_| format!("`{name}` is wrong"));
    let found = match own::kind(bytes) {
        _ if own::is_stack(bytes) => own::stack(bytes).err(),
        Some(Kind::Fault) => own::fault::drill(bytes, &[], no_stack).err(),
        Some(Kind::Restore) => own::drill(bytes, &[], no_stack).err(),
        None => harness::diagnose::load(bytes, &[]).err(),
    };
    found.unwrap_or_default()
}

/// The stack file that every drill of an own stack names here.
const STACK: &str = include_str!("mistakes/own/stack.toml.good");
