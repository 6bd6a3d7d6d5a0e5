//! Every file of the folder, and what is said of it.

use std::{fs, path::Path};

use harness::diagnose::render;

use crate::{of_rust, said};

#[test]
fn every_mistake_is_told_in_the_words_of_its_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let mut names: Vec<String> = Vec::new();
    for sub in ["", "own"] {
        for entry in fs::read_dir(folder.join(sub)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".toml") {
                names.push(Path::new(sub).join(name).display().to_string());
            }
        }
    }
    names.sort();
    assert!(names.len() >= 60, "{}", names.len());
    let mut wrong = Vec::new();
    for name in names {
        let bytes = fs::read(folder.join(&name)).unwrap();
        let found = said(&bytes);
        let plain = name.trim_end_matches(".toml").replace('/', "_");
        insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "snapshots", omit_expression => true }, {
            insta::assert_snapshot!(plain, render(&name, &bytes, &found, false));
        });
        let text = String::from_utf8_lossy(&bytes);
        for d in &found {
            let sentence = format!("{} {}", d.message, d.hint.clone().unwrap_or_default());
            if d.hint.as_ref().is_none_or(String::is_empty) || !of_rust(&sentence, &text).is_empty() {
                wrong.push(format!("{name}: {sentence}"));
            }
        }
        // A file whose name begins with `good` is none that is wrong.
        if found.is_empty() != name.starts_with("good") {
            wrong.push(format!("{name}: {} mistakes", found.len()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
