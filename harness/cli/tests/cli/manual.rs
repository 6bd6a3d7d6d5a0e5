//! Completions and manual, against the command line that they are about.

use std::{collections::BTreeSet, fs, process::Command};

use crate::desk::Desk;

/// The commands that a help text lists, but for `help` itself.
fn commands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed.take_while(|line| !line.is_empty()).filter(|line| line.starts_with("  "));
    let names = names.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    names.filter_map(|line| line.split_whitespace().next()).filter(|n| *n != "help").map(Into::into).collect()
}

/// Every command with the words that lead to it, and its help text.
fn all(desk: &Desk) -> Vec<(Vec<String>, String)> {
    let mut found = vec![(Vec::new(), desk.gameday("--help").stdout)];
    let mut at = 0;
    while at < found.len() {
        let (words, help) = found[at].clone();
        for name in commands(&help) {
            let words = [words.clone(), vec![name]].concat();
            let help = desk.gameday(&format!("{} --help", words.join(" "))).stdout;
            found.push((words, help));
        }
        at += 1;
    }
    assert!(found.len() > 20, "{}", found.len());
    found
}

/// The long options of a help text: they stand first in their lines.
fn options(help: &str) -> BTreeSet<String> {
    let heads = help.lines().filter(|line| line.trim_start().starts_with('-'));
    let words = heads.flat_map(|line| line.split_whitespace().take(2));
    words
        .map(|word| word.trim_end_matches(|c: char| !c.is_alphanumeric()))
        .filter(|word| word.starts_with("--"))
        .map(Into::into)
        .collect()
}

#[test]
fn the_manual_has_a_page_for_each_command_with_its_options_and_its_notes() {
    let desk = Desk::new();
    let answer = desk.gameday("man --out deep/man1");
    assert_eq!((answer.code, answer.stdout.as_str(), answer.stderr.as_str()), (0, "", ""));
    let mut pages: BTreeSet<String> = fs::read_dir(desk.path("deep/man1"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    for (words, help) in all(&desk) {
        let file = format!("{}.1", [vec!["gameday".to_owned()], words.clone()].concat().join("-"));
        assert!(pages.remove(&file), "no page {file}");
        let page = desk.read(&format!("deep/man1/{file}"));
        assert_eq!(page, desk.gameday(&format!("man {}", words.join(" "))).stdout, "{file}");
        let title = format!(
            ".TH {} 1 \" \" \"gameday {}\" gameday\n",
            file.replace(".1", ""),
            env!("CARGO_PKG_VERSION")
        );
        let page = page.replace("\\-", "-");
        assert!(page.contains(&title), "{page}");
        for option in options(&help) {
            assert!(page.contains(&option), "{file} lacks {option}");
        }
        for sub in commands(&help) {
            assert!(
                page.contains(&format!("{}(1)", file.replace(".1", &format!("-{sub}")))),
                "{file} lacks {sub}"
            );
        }
        assert!(!help.contains("Examples:") || page.contains("\nExamples:\n  gameday "), "{file}: {page}");
        assert!(!page.contains("--flaw") && !page.contains("--patient"), "{file} shows what is hidden");
    }
    assert!(pages.is_empty(), "pages of nothing: {pages:?}");
}

#[test]
fn a_page_of_nothing_is_refused() {
    let desk = Desk::new();
    for (line, part) in [
        ("man evidence forge", "name keygen, pem, verify, review, amend, bundle"),
        ("man help", "name run, check"),
        ("man check more", "`check` has no commands of its own"),
        ("man --out pages run", "cannot be used with"),
    ] {
        let answer = desk.gameday(line);
        assert_eq!((answer.code, answer.stdout.as_str()), (2, ""), "{line}");
        assert!(answer.stderr.contains(part), "{line}: {}", answer.stderr);
    }
    assert_eq!(desk.gameday("man --out good.toml/pages").code, 3);
}

#[test]
fn completions_name_every_command_and_option_and_nothing_hidden() {
    let desk = Desk::new();
    let all = all(&desk);
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let answer = desk.gameday(&format!("completions {shell}"));
        assert_eq!((answer.code, answer.stderr.as_str()), (0, ""), "{shell}");
        for (words, help) in &all {
            for word in words.last().into_iter().chain(&options(help)) {
                let bare = word.trim_start_matches('-');
                assert!(answer.stdout.contains(bare), "{shell} does not complete {words:?} {word}");
            }
        }
        assert!(!answer.stdout.contains("flaw") && !answer.stdout.contains("patient"), "{shell}");
    }
    assert_eq!(desk.gameday("completions csh").code, 2);
}

#[test]
fn bash_completes_with_the_script() {
    let desk = Desk::new();
    desk.write("gameday.bash", &desk.gameday("completions bash").stdout);
    let checked =
        Command::new("bash").arg("-n").arg(desk.path("gameday.bash")).output().expect("bash is there");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    for (line, reply) in [
        ("gameday ev", "evidence"),
        ("gameday evidence ver", "verify"),
        ("gameday run --ev", "--evidence"),
        ("gameday run --fl", ""),
        ("gameday completions ba", "bash"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let asked = format!(
            "source gameday.bash; COMP_WORDS=({line}); COMP_CWORD={}; _gameday gameday '{}' '{}'; \
             echo \"${{COMPREPLY[*]}}\"",
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2]
        );
        let output = Command::new("bash").args(["-c", &asked]).current_dir(desk.path("")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim(), reply, "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
