//! Words that were nearly right.

use crate::diagnose::closest;

/// Case, hyphens and underscores aside.
fn plain(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Whether it is one of the words, case, hyphens and underscores aside.
pub(super) fn same(word: &str, known: &[&str]) -> bool {
    known.iter().any(|k| plain(k) == plain(word))
}

/// The word that was probably meant.
pub(super) fn near<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let is = |test: &dyn Fn(&str) -> bool| known.iter().copied().find(|k| test(k));
    let wanted = plain(word);
    // `vec`, `vectors`: the beginning of the right word, or a little more than it.
    let begins = |k: &str| {
        let k = plain(k);
        wanted.len() >= 3 && k.len() >= 3 && (k.starts_with(&wanted) || wanted.starts_with(&k))
    };
    let all: Vec<String> = known.iter().map(|k| (*k).to_owned()).collect();
    is(&|k| plain(k) == wanted)
        .or_else(|| closest(&word.to_lowercase(), &all).and_then(|near| is(&|k| k == near)))
        .or_else(|| is(&begins))
}

/// Words as a sentence lists them.
pub(super) fn list(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}
