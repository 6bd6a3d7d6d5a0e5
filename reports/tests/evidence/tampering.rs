//! Nothing that is changed after it was signed goes unnoticed.

use std::{fs, path::Path};

use harness::{
    journal::{EventKind, Reader, digest},
    ports::CountsAs,
    scenario::WorldName,
};
use jiff::tz::TimeZone;
use proptest::{prelude::*, test_runner::TestRunner};
use reports::evidence::{
    keys::{self, Allowed, Duty, Signer},
    ledger::{Entry, Head, Ledger},
    seal,
    store::Store,
};

use crate::stand::{As, Stand, files, journal, report_of, simulated};

/// Two runs; the first is reviewed, so that every file of it is covered.
fn stand() -> Stand {
    let mut stand = Stand::new();
    stand.play("r1", As::Simulated);
    stand.review("r1");
    stand.play("r2", As::Simulated);
    stand.review("r2");
    assert_eq!(stand.problems(), Vec::<String>::new());
    stand
}

fn run(
    cases: u32,
    strategy: impl Strategy<Value = (usize, usize, u8)>,
    test: impl Fn(usize, usize, u8) -> bool,
) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let done = TestRunner::new(config).run(&strategy, |(file, at, byte)| {
        prop_assert!(test(file, at, byte), "not found");
        Ok(())
    });
    done.unwrap_or_else(|e| panic!("{e}"));
}

fn found(stand: &Stand) -> bool {
    !stand.verify(None, false).problems.is_empty()
}

#[test]
fn ten_thousand_changed_bytes() {
    // One run: every case reads and sums all of it.
    let mut stand = Stand::new();
    stand.play("r1", As::Simulated);
    stand.review("r1");
    let all = files(&stand.path());
    run(10_000, (any::<usize>(), any::<usize>(), 1u8..), |file, at, flip| {
        let path = &all[file % all.len()];
        let untouched = fs::read(path).unwrap();
        let mut changed = untouched.clone();
        let at = at % changed.len();
        changed[at] ^= flip;
        fs::write(path, &changed).unwrap();
        let found = found(&stand);
        fs::write(path, &untouched).unwrap();
        assert!(found, "{} at {at}: {} became {}", path.display(), untouched[at], changed[at]);
        true
    });
    assert!(!found(&stand));
}

#[test]
fn bytes_that_are_put_in_and_files_that_are_cut() {
    let stand = stand();
    let all = files(&stand.path());
    run(1_000, (any::<usize>(), any::<usize>(), any::<u8>()), |file, at, byte| {
        let path = &all[file % all.len()];
        let untouched = fs::read(path).unwrap();
        let mut longer = untouched.clone();
        longer.insert(at % (longer.len() + 1), byte);
        let shorter = &untouched[..at % untouched.len()];
        [&longer[..], shorter].into_iter().all(|changed| {
            fs::write(path, changed).unwrap();
            let found = found(&stand);
            fs::write(path, &untouched).unwrap();
            found
        })
    });
}

#[test]
fn files_that_are_taken_added_or_swapped() {
    let stand = stand();
    let all = files(&stand.path());
    let check = |what: String, change: &dyn Fn(), back: &dyn Fn()| {
        change();
        let found = found(&stand);
        back();
        assert!(found, "{what}");
        assert!(!self::found(&stand), "{what}: not put back");
    };
    let aside = stand.path().with_extension("aside");
    for path in &all {
        let (there, away) = (|| fs::rename(path, &aside).unwrap(), || fs::rename(&aside, path).unwrap());
        check(format!("{} taken", path.display()), &there, &away);
        let link = || {
            fs::rename(path, &aside).unwrap();
            std::os::unix::fs::symlink(&aside, path).unwrap();
        };
        let unlink = || fs::rename(&aside, path).unwrap();
        check(format!("{} is a link", path.display()), &link, &unlink);
    }
    for folder in ["", "r1", "r2"] {
        for name in ["extra.txt", ".hidden", "SHA256SUMS.bak", "a b", "-n"] {
            let path = stand.file(folder).join(name);
            check(format!("{} added", path.display()), &|| fs::write(&path, "x").unwrap(), &|| {
                fs::remove_file(&path).unwrap();
            });
        }
        let path = stand.file(folder).join("folder");
        check("a folder added".into(), &|| fs::create_dir(&path).unwrap(), &|| {
            fs::remove_dir(&path).unwrap()
        });
    }
    for (i, a) in all.iter().enumerate() {
        for b in &all[i + 1..] {
            let (left, right) = (fs::read(a).unwrap(), fs::read(b).unwrap());
            if left != right {
                let put = |x: &[u8], y: &[u8]| {
                    fs::write(a, x).unwrap();
                    fs::write(b, y).unwrap();
                };
                let what = format!("{} and {} swapped", a.display(), b.display());
                check(what, &|| put(&right, &left), &|| put(&left, &right));
            }
        }
    }
    let (one, two) = (stand.file("r1"), stand.file("r2"));
    let swap = || {
        fs::rename(&one, &aside).unwrap();
        fs::rename(&two, &one).unwrap();
        fs::rename(&aside, &two).unwrap();
    };
    check("runs swapped".into(), &swap, &swap);
}

/// Whoever reads these as if they were files never comes back: a pipe without a writer, a device without an end.
#[test]
fn what_is_no_plain_file_is_named_at_once() {
    use std::os::unix::{fs::symlink, net::UnixListener};
    let stand = stand();
    let aside = stand.path().with_extension("aside");
    let pipe =
        |path: &Path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    let hole = |path: &Path| fs::File::create(path).unwrap().set_len(1 << 42).unwrap();
    type Kind<'a> = (&'a str, &'a dyn Fn(&Path));
    let kinds: [Kind<'_>; 7] = [
        ("a pipe", &pipe),
        ("a link", &|path| symlink("/dev/zero", path).unwrap()),
        ("a link", &|path| symlink("/etc/passwd", path).unwrap()),
        ("a link", &|path| symlink(&aside, path).unwrap()),
        ("a socket", &|path| drop(UnixListener::bind(path).unwrap())),
        ("a folder", &|path| fs::create_dir(path).unwrap()),
        ("longer than", &hole),
    ];
    for file in files(&stand.path()).into_iter().filter(|f| !f.starts_with(stand.file("r2"))) {
        for (said, make) in kinds {
            fs::rename(&file, &aside).unwrap();
            make(&file);
            let problems = stand.problems().join("\n");
            let opened = Store::open(&stand.path(), &stand.allowed).is_ok();
            let kind = fs::symlink_metadata(&file).unwrap();
            if kind.is_dir() {
                fs::remove_dir(&file).unwrap()
            } else {
                fs::remove_file(&file).unwrap()
            }
            fs::rename(&aside, &file).unwrap();
            let name = file.file_name().unwrap().to_string_lossy();
            assert!(
                problems.contains(said) && problems.contains(&*name),
                "{}: {said}: {problems}",
                file.display()
            );
            assert!(!opened || file.starts_with(stand.file("r1")), "{}: {said}: opened", file.display());
        }
    }
    assert!(!found(&stand));
}

#[test]
fn converted_line_ends_have_their_own_word() {
    let stand = stand();
    for file in files(&stand.path()).into_iter().filter(|f| !f.starts_with(stand.file("r2"))) {
        let untouched = fs::read_to_string(&file).unwrap();
        if !untouched.contains('\n') {
            continue;
        }
        fs::write(&file, untouched.replace('\n', "\r\n")).unwrap();
        let problems = stand.problems().join("\n");
        fs::write(&file, untouched.replacen('e', "f", 1).replace('\n', "\r\n")).unwrap();
        let altered = stand.problems().join("\n");
        fs::write(&file, &untouched).unwrap();
        assert!(problems.contains("line ends were converted"), "{}: {problems}", file.display());
        let armoured = file.extension().is_some_and(|e| e == "sig");
        assert!(armoured || !altered.contains("line ends were converted"), "{}: {altered}", file.display());
    }
    assert!(!found(&stand));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("files can be moved");
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).expect("files can be moved"));
        fs::create_dir_all(target.parent().expect("files can be moved")).expect("files can be moved");
        fs::copy(path, target).expect("files can be moved");
    }
}

#[test]
fn only_an_anchor_finds_a_roll_back() {
    let mut stand = Stand::new();
    stand.play("good", As::Simulated);
    let older = stand.path().with_extension("older");
    copy(&stand.path(), &older);
    let early = stand.verify(None, false).head.unwrap();
    stand.play("bad", As::RealMissed);
    let anchor = stand.verify(None, false).head.unwrap();
    assert!(stand.verify(Some(&anchor), true).problems.is_empty());
    assert!(stand.verify(Some(&early), true).problems.is_empty(), "an older anchor still fits");
    fs::remove_dir_all(stand.path()).unwrap();
    copy(&older, &stand.path());
    assert!(stand.problems().is_empty(), "what was signed then is still signed");
    let problems = stand.verify(Some(&anchor), false).problems;
    assert!(problems[0].what.contains("rolled back"), "{problems:?}");
    // The holder of the key tells another story from here on; the anchor knows the true one.
    stand.play("invented", As::Simulated);
    assert!(stand.problems().is_empty());
    let problems = stand.verify(Some(&anchor), false).problems;
    assert!(problems[0].what.contains("rewritten"), "{problems:?}");
}

/// Lines chained anew, as good as it can be done without the key.
pub(crate) fn chained(entries: impl Iterator<Item = Entry>) -> (Vec<u8>, Ledger) {
    let (mut chained, mut ledger) = (Vec::new(), Ledger::default());
    for entry in entries {
        chained.extend(ledger.next(entry.at, entry.kind));
        ledger = Ledger::parse(&chained).expect("a line of ours follows");
    }
    (chained, ledger)
}

#[test]
fn a_run_cannot_be_left_out() {
    let mut stand = Stand::new();
    stand.play("good", As::Simulated);
    stand.play("bad", As::RealMissed);
    stand.play("last", As::Simulated);
    let bytes = fs::read(stand.file("runs.jsonl")).unwrap();
    let kept = Ledger::parse(&bytes).unwrap().entries.into_iter().filter(|e| e.kind.run() != "bad");
    let (chained, ledger) = chained(kept);
    fs::write(stand.file("runs.jsonl"), &chained).unwrap();
    fs::write(stand.file("HEAD"), Head::of(&ledger, &chained).text()).unwrap();
    fs::remove_dir_all(stand.file("bad")).unwrap();
    assert!(stand.problems().iter().any(|p| p.contains("HEAD.sig")), "{:?}", stand.problems());
}

#[test]
fn a_signature_has_no_byte_that_may_change() {
    let signer = Signer::generate("ops@example.org").unwrap();
    let allowed = Allowed::parse(signer.allowed_line(Duty::Operator), &TimeZone::UTC);
    let whole = signer.sign(keys::HEAD, b"x").into_bytes();
    let (who, at) = ("ops@example.org", "2026-01-01T00:00:00Z");
    let believed = |armoured: &[u8]| allowed.check(who, keys::HEAD, b"x", armoured, at).is_ok();
    assert!(believed(&whole));
    let mut changed = whole.clone();
    for at in 0..whole.len() {
        for byte in (0..=u8::MAX).filter(|b| *b != whole[at]) {
            changed[at] = byte;
            assert!(!believed(&changed), "at {at}: {} became {byte}", whole[at]);
        }
        changed[at] = whole[at];
    }
}

#[test]
fn strangers_keys_and_keys_for_something_else_are_not_believed() {
    let stand = stand();
    let stranger = Signer::generate("ops@example.org").unwrap();
    let head = fs::read(stand.file("HEAD")).unwrap();
    for (signer, namespace) in
        [(&stranger, keys::HEAD), (&stand.reviewer, keys::EVIDENCE), (&stand.reviewer, keys::REVIEW)]
    {
        fs::write(stand.file("HEAD.sig"), signer.sign(namespace, &head)).unwrap();
        assert!(found(&stand), "{namespace}");
    }
    // The last line is a review: its head is the reviewer's.
    fs::write(stand.file("HEAD.sig"), stand.operator.sign(keys::HEAD, &head)).unwrap();
    assert!(found(&stand));
    fs::write(stand.file("HEAD.sig"), stand.reviewer.sign(keys::HEAD, &head)).unwrap();
    assert!(!found(&stand));
    // A key whose time is over.
    let check = |options: &str, at: &str| {
        let line =
            stand.operator.allowed_line(Duty::Operator).replacen(" ssh-", &format!(",{options} ssh-"), 1);
        let allowed = Allowed::parse(&line, &TimeZone::UTC);
        let signature = stand.operator.sign(keys::HEAD, b"x");
        allowed.check("ops@example.org", keys::HEAD, b"x", signature.as_bytes(), at)
    };
    assert_eq!(check("valid-before=\"20270101Z\"", "2026-11-22T00:00:00Z"), Ok(()));
    assert!(check("valid-before=\"20270101\"", "2027-01-01T00:00:01Z").unwrap_err().contains("any more"));
    assert!(check("valid-after=\"202701010000\"", "2026-11-22T00:00:00Z").unwrap_err().contains("yet"));
}

#[test]
fn a_report_that_its_journal_does_not_give_is_found() {
    let mut stand = Stand::new();
    stand.declare("r1", As::Simulated);
    let journal = simulated();
    let mut report = report_of(&journal);
    report.services[0].rto_us = Some(1);
    stand.close_as("r1", &journal, &report);
    assert!(stand.verify(None, false).problems.is_empty(), "its signatures are right");
    let problems = stand.problems().join("\n");
    assert!(problems.contains("result.json: it is not what the journal gives"), "{problems}");
    assert_eq!(stand.verify(None, true).runs[0].declared.run, "r1");
}

/// The same journal with other events, chained anew: what only the holder of the key can put on record.
pub(crate) fn rewritten(journal: &[u8], change: impl Fn(&mut EventKind)) -> Vec<u8> {
    let (mut out, mut prev) = (Vec::new(), String::new());
    for event in Reader::new(journal) {
        let mut event = event.expect("a journal of ours");
        change(&mut event.kind);
        event.prev = prev;
        let line = serde_json::to_string(&event).expect("events can be written");
        prev = digest(line.as_bytes());
        out.extend(line.into_bytes());
        out.push(b'\n');
    }
    out
}

#[test]
fn hits_that_do_not_follow_from_the_answers_are_found() {
    for (pass, why) in [(1, "the hits of pass 1"), (3, "the hits of pass 3")] {
        let journal = rewritten(&simulated(), |kind| {
            if let EventKind::Quality(q) = kind
                && q.pass == pass
            {
                // One answer less that was right, and the claim that it still was.
                let stranger = 1 << 50;
                q.answers[7][0] = stranger;
            }
        });
        let mut stand = Stand::new();
        stand.play("r1", As::Simulated);
        assert_eq!(stand.problems(), Vec::<String>::new());
        stand.declare("r2", As::Simulated);
        stand.close("r2", &journal);
        let problems = stand.problems().join("\n");
        assert!(problems.contains(why) && problems.contains("do not follow from its answers"), "{problems}");
    }
    // Fewer hits among what is stored than the answers have.
    let journal = rewritten(&simulated(), |kind| {
        if let EventKind::Quality(q) = kind
            && q.pass == 3
        {
            q.hits_stored[0] -= 1;
        }
    });
    let mut stand = Stand::new();
    stand.declare("r1", As::Simulated);
    stand.close("r1", &journal);
    let problems = stand.problems().join("\n");
    assert!(problems.contains("the hits among what is stored of pass 3"), "{problems}");
}

#[test]
fn a_journal_of_another_run_scenario_or_world_is_found() {
    for (declared, journal) in
        [(As::RealMissed, As::Real), (As::Real, As::RealMissed), (As::Simulated, As::Real)]
    {
        let mut stand = Stand::new();
        stand.play("other", journal);
        let bytes = fs::read(stand.file("other").join(seal::JOURNAL)).unwrap();
        stand.declare("r1", declared);
        stand.close("r1", &bytes);
        let problems = stand.problems().join("\n");
        assert!(problems.contains("not what was declared before the drill"), "{problems}");
    }
}

/// Only what gameday did not launch is anything but a rehearsal, whoever signs it.
#[test]
fn a_world_that_cannot_count_as_that_is_found() {
    for (how, world, counts_as) in [
        (As::Simulated, WorldName::Sim, CountsAs::Production),
        (As::Real, WorldName::Local, CountsAs::Staging),
        (As::Real, WorldName::Docker, CountsAs::Disposable),
        (As::Real, WorldName::Own, CountsAs::Rehearsal),
    ] {
        let journal = rewritten(&journal(how, "r1"), |kind| {
            if let EventKind::Began(began) = kind {
                (began.world, began.counts_as) = (world, counts_as);
            }
        });
        let mut stand = Stand::new();
        stand.declare_with("r1", how, |d| (d.world, d.counts_as) = (world, counts_as));
        stand.close("r1", &journal);
        let at_first = stand.verify(None, false).problems;
        assert!(at_first.iter().any(|p| p.what.contains("it claims to")), "{world}: {at_first:?}");
        let problems = stand.problems().join("\n");
        assert!(problems.contains("journal.jsonl: it claims to"), "{world}: {problems}");
    }
}

/// A level that is raised after the fact, where it is declared or where it was played.
#[test]
fn a_level_that_is_raised_is_found() {
    let raised = |kind: &mut EventKind| {
        if let EventKind::Began(began) = kind {
            began.counts_as = CountsAs::Production;
        }
    };
    // By the holder of the key: ledger and journal no longer say the same.
    for in_ledger in [true, false] {
        let mut stand = Stand::new();
        let said = if in_ledger { CountsAs::Production } else { CountsAs::Staging };
        stand.declare_with("r1", As::Staging, |d| d.counts_as = said);
        let played = journal(As::Staging, "r1");
        stand.close("r1", &if in_ledger { played } else { rewritten(&played, raised) });
        assert_eq!(stand.verify(None, false).problems, []);
        let problems = stand.problems().join("\n");
        assert!(problems.contains("its worth is not what was declared before the drill"), "{problems}");
    }
    // By anybody else: what was signed is no longer what lies there.
    let mut stand = Stand::new();
    stand.play("r1", As::Staging);
    assert_eq!(stand.problems(), Vec::<String>::new());
    let higher = |file: &str| {
        let before = fs::read_to_string(stand.file(file)).unwrap();
        let after = before.replacen("\"staging\"", "\"production\"", 1);
        assert_ne!(before, after);
        after
    };
    let found = |says: &str| {
        let problems = stand.problems().join("\n");
        assert!(problems.contains(says), "{says}: {problems}");
    };
    let (played, ledger) = (higher("r1/journal.jsonl"), higher("runs.jsonl"));
    let before = fs::read(stand.file("r1/journal.jsonl")).unwrap();
    fs::write(stand.file("r1/journal.jsonl"), played).unwrap();
    found("journal.jsonl: it was changed after it was signed");
    fs::write(stand.file("r1/journal.jsonl"), before).unwrap();
    fs::write(stand.file("runs.jsonl"), &ledger).unwrap();
    found("it does not follow from the line before it");
    let entries = ledger.lines().map(|l| serde_json::from_str::<Entry>(l).unwrap());
    let (chained, ledger) = chained(entries);
    fs::write(stand.file("runs.jsonl"), &chained).unwrap();
    fs::write(stand.file("HEAD"), Head::of(&ledger, &chained).text()).unwrap();
    found("HEAD.sig: it is not a signature over these bytes");
}

proptest! {
    #[test]
    fn garbage_is_refused_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in ".{0,200}") {
        let _ = Ledger::parse(&bytes);
        let _ = Ledger::parse(text.as_bytes());
        let _ = Head::parse(&text);
        let _ = seal::parse_sums(&text);
        let _ = reports::evidence::record::completeness(&text);
        let allowed = Allowed::parse(&text, &TimeZone::UTC);
        prop_assert!(allowed.check("a", keys::HEAD, &bytes, text.as_bytes(), "").is_err());
    }
}
