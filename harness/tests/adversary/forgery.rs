//! A generator of forged journals that knows the grammar.
//!
//! Each starts from an honest journal of a drill that must fail or stay unknown, makes one or two edits that a forger
//! would make to have it look like a pass, and chains it anew. Not one of them may pass.
//!
//! Some lies no reader of one file can tell, because a drill could have written every line of them. They are made by
//! `consistently`, each with its name, are no edits of the generator, and a test below shows that they are what they
//! are said to be: what helps against them are signatures and time stamps, not grammar.

#[path = "forgery/asked.rs"]
mod asked;
#[path = "forgery/data.rs"]
mod data;
#[path = "forgery/lines.rs"]
mod lines;
#[path = "forgery/played.rs"]
mod played;

use std::{collections::BTreeSet, io::Cursor};

use harness::{
    act::Outcome,
    facts::Facts,
    journal::{Acked, EventKind, Reader},
    ports::Reading,
    report::Report,
    sim::Flaw,
    time::Dur,
    topology::Role,
    verdict::Verdict,
};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::{KILL, chained, drills, events, journal, short};
use data::{due, each_harmed};
use lines::{Dice, Edit, Lines};

/// Every edit, with its name.
fn edits() -> Vec<(&'static str, Edit)> {
    [asked::EDITS, data::EDITS, played::EDITS].concat()
}

/// An honest journal that does not pass.
struct Base {
    name: String,
    lines: Lines,
    /// Keys that the first read-back shows lost, corrupt, unexpected or twice, by store.
    harmed: BTreeSet<(Role, u64)>,
}

fn lines(bytes: &[u8]) -> Lines {
    events(bytes).into_iter().map(|e| (e.at_us, e.kind)).collect()
}

fn base(name: &str, text: &str, flaw: Option<Flaw>) -> Base {
    let bytes = journal(text, flaw);
    let report = Report::read(Cursor::new(&bytes)).unwrap();
    assert_ne!(report.verdict, Verdict::Pass, "{name} is no base");
    let facts = Facts::of(Reader::new(Cursor::new(&bytes))).unwrap();
    assert_eq!(facts.odd, None, "{name} is honest");
    let copies = facts.stores.iter().flat_map(|s| s.copies.iter().map(|c| (s.store, c)));
    let readings = copies.flat_map(|(store, c)| [&c.users, &c.restarted].map(|r| (store, r)));
    let harmed = readings.filter_map(|(store, r)| Some((store, r.account.as_ref()?)));
    let harmed = harmed.flat_map(|(store, a)| {
        let keys = a.lost.iter().chain(&a.corrupt).chain(&a.unexpected).chain(&a.duplicate);
        keys.map(move |key| (store, *key)).collect::<Vec<_>>()
    });
    Base { name: name.into(), harmed: harmed.collect(), lines: lines(&bytes) }
}

fn bases() -> Vec<Base> {
    let quality = format!("{KILL}\nquality = 0.98");
    let rebuild = "[[recover]]\nafter = \"restart\"\nact = { rebuild = { node = \"east/vector\" } }\n";
    let rebuilt = format!("{quality}\n{rebuild}");
    let unsteady = KILL
        .replace("at = \"1s\"", "at = \"1s\"\nfor = \"2s\"")
        .replace("act = { restart = { node = \"east/vector\" } }", "act = { none = {} }");
    let aborted = format!("{KILL}[abort]\nservice_down_for = \"300ms\"\n");
    let mut all: Vec<Base> = [
        Flaw::ForgetsAcked,
        Flaw::NeverWakes,
        Flaw::Flaps,
        Flaw::ResurrectsRefused,
        Flaw::HangingSearch,
        Flaw::SilentFault,
        Flaw::CorruptsValues,
        Flaw::DuplicatesRecords,
    ]
    .into_iter()
    .map(|flaw| base(flaw.word(), &quality, Some(flaw)))
    .collect();
    all.push(base("wrong-after-rebuild", &rebuilt, Some(Flaw::WrongAfterRebuild)));
    all.push(base("late", &unsteady.replace("rto = \"4s\"", "rto = \"1s\""), None));
    all.push(base("given-up", &aborted, None));
    all.push(base("split-brain", &drills::split_and_failover(), Some(Flaw::SplitBrain)));
    all.push(base("stale-features", &drills::quiet_compromise(), Some(Flaw::StaleFeatures)));
    all
}

/// What a reader says of a forged journal: whether the grammar names a line of it, or it cannot be read at all.
#[track_caller]
fn refused(base: &Base, names: &[&str], all: Lines) -> bool {
    let bytes = chained(all);
    let Ok(facts) = Facts::of(Reader::new(Cursor::new(&bytes))) else { return true };
    let report = Report::of(&facts);
    assert_ne!(report.verdict, Verdict::Pass, "{}: {names:?}: {:#?}", base.name, short(&report));
    facts.odd.is_some()
}

/// Every edit of every drill that it applies to.
#[test]
fn no_edit_makes_any_drill_pass() {
    let bases = bases();
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(7));
    let (mut made, mut lines) = (0, 0);
    for (name, edit) in edits() {
        let mut applied = 0;
        for base in &bases {
            let mut all = base.lines.clone();
            if edit(&mut all, &mut dice, &base.harmed) {
                applied += 1;
                lines += usize::from(refused(base, &[name], all));
            }
        }
        assert!(applied > 0, "`{name}` applies to no drill");
        made += applied;
    }
    eprintln!("{made} journals with one edit: of {lines} a line is named");
    assert!(made >= 300 && lines * 10 >= made * 8, "{made} {lines}");
}

const FORGED: usize = 300;

#[test]
fn three_hundred_forged_journals_and_not_one_passes() {
    let (bases, edits) = (bases(), edits());
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(19));
    let (mut made, mut lines) = (0, 0);
    while made < FORGED {
        let base = &bases[dice.below(bases.len())];
        let mut all = base.lines.clone();
        let mut names = Vec::new();
        while names.len() < 2 {
            let (name, edit) = edits[dice.below(edits.len())];
            if all.len() > 3 && edit(&mut all, &mut dice, &base.harmed) {
                names.push(name);
            }
        }
        made += 1;
        lines += usize::from(refused(base, &names, all));
    }
    eprintln!("{made} journals with two edits: of {lines} a line is named");
    assert!(lines * 10 >= made * 8, "{lines}");
}

/// The bytes of a closed journal, and more.
#[test]
fn nothing_may_follow_the_end() {
    let whole = journal(KILL, None);
    for more in ["x", "\n", "{\"seq\":0", "\0\0\0", "not an event\n"] {
        let report = Report::read(Cursor::new([&whole[..], more.as_bytes()].concat())).unwrap();
        let lines = whole.iter().filter(|b| **b == b'\n').count();
        let conduct = &report.findings[0];
        assert_eq!((report.verdict, conduct.verdict), (Verdict::Unknown, Verdict::Unknown), "{more:?}");
        assert!(
            conduct.why.contains(&format!("line {}: something after the end", lines + 1)),
            "{}",
            conduct.why
        );
    }
}

/// Lies that are told consistently. The grammar takes them, as it must: an honest drill could have written the same.
fn consistently(kind: &str, all: &mut Lines, harmed: &BTreeSet<(Role, u64)>) {
    match kind {
        "bad probes rewritten as good ones at the same moment, once three of them were bad" => {
            let detected = all.iter().position(|(_, k)| matches!(k, EventKind::Detected { .. })).unwrap();
            for (_, kind) in &mut all[detected..] {
                if let EventKind::Probed(p) = kind {
                    (p.bad, p.done_us) = (None, p.done_us.min(p.sent_us + 2_000));
                }
            }
        }
        "lost writes rewritten as writes of unknown outcome" => {
            assert!(each_harmed(all, harmed, |w| w.outcome = Acked::Info));
        }
        "an act that was not seen, told as seen" => {
            for (_, kind) in all {
                if let EventKind::Acted(a) = kind {
                    a.outcome = Outcome::Observed("it is so".into());
                }
            }
        }
        "what was lost, told as read" => {
            for (store, key) in harmed {
                let Some(Reading::Ver(ver)) = due(all, *store, *key).filter(|_| *key > 1 << 40) else {
                    continue;
                };
                let page = all.iter_mut().find_map(|(_, k)| match k {
                    EventKind::ReadBack(p) if (p.pass, p.store) == (1, Some(*store)) && p.end.is_some() => {
                        Some(p)
                    }
                    _ => None,
                });
                let page = page.unwrap();
                page.written.retain(|(k, _)| k != key);
                page.written.push((*key, ver));
                page.written.sort_unstable();
            }
        }
        "easier limits in the plan inside" => {
            let EventKind::Began(began) = &mut all[0].1 else { unreachable!() };
            began.scenario.objectives.rto = Some(Dur::from_secs(3600));
        }
        _ => unreachable!("{kind}"),
    }
}

#[test]
fn what_no_reader_of_one_file_can_tell() {
    let text = format!("{KILL}\nquality = 0.98");
    for (flaw, kind) in [
        (Flaw::Flaps, "bad probes rewritten as good ones at the same moment, once three of them were bad"),
        (Flaw::ForgetsAcked, "lost writes rewritten as writes of unknown outcome"),
        (Flaw::SilentFault, "an act that was not seen, told as seen"),
        (Flaw::ForgetsAcked, "what was lost, told as read"),
        (Flaw::Flaps, "easier limits in the plan inside"),
    ] {
        let mut base = base(kind, &text, Some(flaw));
        consistently(kind, &mut base.lines, &base.harmed);
        let facts = Facts::of(Reader::new(Cursor::new(chained(base.lines)))).unwrap();
        assert_eq!(facts.odd, None, "{kind}");
    }
}
