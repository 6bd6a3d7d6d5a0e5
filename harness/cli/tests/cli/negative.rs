//! Drills that must not pass, each asserted to the finding: `scenarios/negative/`.

use std::{collections::BTreeSet, fs, path::PathBuf};

use crate::{
    desk::{Desk, here},
    local::alone,
};

/// Each drill's exit code, and findings that it must have: verdict, objective, subject.
const EXPECTED: [(&str, i32, &[&str]); 8] = [
    ("only_backup_damaged", 1, &["fail rto rag", "unknown recovery restore"]),
    ("standby_too_far_behind", 1, &["fail rpo vector"]),
    ("wrong_region_recovered", 1, &["fail rto rag"]),
    ("split_brain", 1, &["fail rpo vector"]),
    ("yesterdays_features", 1, &["fail rpo feature"]),
    ("intruder_kept", 1, &["fail integrity feature"]),
    ("poisoned_standby", 1, &["fail rto recommendation", "fail rpo feature"]),
    ("shard_dropped", 1, &["fail rpo gpu"]),
];

fn folder() -> PathBuf {
    here().join("../../scenarios/negative")
}

/// Plays one drill and compares its end.
fn plays(world: &str, seed: u64, (name, code, wanted): (&str, i32, &[&str])) {
    let desk = Desk::new();
    let file = folder().join(format!("{name}.toml"));
    let answer = desk.gameday(&format!("run --json --world {world} --seed {seed} {}", file.display()));
    let result: serde_json::Value = serde_json::from_str(&answer.stdout)
        .unwrap_or_else(|e| panic!("{name} {seed}: {e}: {}{}", answer.stdout, answer.stderr));
    let all = result["findings"].as_array().expect("a result has findings");
    let word = |f: &serde_json::Value, key: &str| f[key].as_str().unwrap_or("").to_owned();
    let found: BTreeSet<String> = all
        .iter()
        .map(|f| [word(f, "verdict"), word(f, "objective"), word(f, "subject")].join(" "))
        .collect();
    let why = serde_json::to_string_pretty(&result["findings"]).expect("JSON can be written");
    for finding in wanted {
        assert!(found.contains(*finding), "{name} in {world}, seed {seed}: no `{finding}`: {why}");
    }
    assert_eq!(answer.code, code, "{name} in {world}, seed {seed}: {why}");
}

#[test]
fn every_drill_that_must_not_pass_has_its_finding_in_a_simulation_on_five_seeds() {
    for seed in 1..=5 {
        EXPECTED.into_iter().for_each(|drill| plays("sim", seed, drill));
    }
}

#[test]
fn every_drill_that_must_not_pass_has_its_finding_with_real_processes() {
    let _alone = alone();
    EXPECTED.into_iter().for_each(|drill| plays("local", 5, drill));
}

#[test]
fn no_drill_of_the_folder_is_left_out() {
    let files = fs::read_dir(folder()).expect("the folder is there").flatten();
    let files = files.map(|f| f.file_name().to_string_lossy().replace(".toml", ""));
    let expected: BTreeSet<String> = EXPECTED.iter().map(|e| e.0.to_owned()).collect();
    assert_eq!(files.collect::<BTreeSet<String>>(), expected);
}
