use super::*;
use crate::rebuild::result::tests::sample;

/// Nights of the sample, whose times are so many times as long, each with its own noise.
pub(super) fn nights(times: &[f64]) -> History {
    let mut text = String::new();
    for (night, x) in times.iter().enumerate() {
        let mut r = sample();
        r.began += 86_400 * night as u64;
        let all = r.sets.iter_mut().flat_map(|s| &mut s.contenders).flat_map(|c| &mut c.builds);
        all.for_each(|b| b.seconds *= x);
        for e in entries(&r, Some("abc1234")) {
            text += &serde_json::to_string(&e).unwrap();
            text.push('\n');
        }
    }
    History::parse(text.as_bytes())
}

fn of(verdict: &Verdict, engine: &str) -> Finding {
    verdict.rows.iter().find(|r| r.newest.engine == engine).unwrap().finding
}

#[test]
fn lines_read_back_as_they_were_written_and_torn_ones_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.jsonl");
    let all = entries(&sample(), None);
    assert!(all.len() > 2 && all.iter().all(|e| e.date.starts_with("2026-")));
    append(&path, &all).unwrap();
    // The disk was full in the middle of a line.
    let torn = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &torn[..torn.len() - 40]).unwrap();
    append(&path, &all).unwrap();
    let read = History::read(&path).unwrap();
    assert_eq!(read.entries.len(), 2 * all.len() - 1);
    assert_eq!(read.garbage.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [all.len()]);
    assert_eq!(read.entries[0], all[0]);
    assert!(History::read(&folder.path().join("none")).is_err());
}

#[test]
fn garbage_is_named_by_its_line_and_hides_nothing() {
    let good = serde_json::to_string(&entries(&sample(), None)[0]).unwrap();
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}: {good}");
        good.replace(from, to)
    };
    let lines = [
        "once upon a time".to_owned(),
        good.clone(),
        with("history/1", "history/9"),
        with("\"seconds\":", "\"seconds\":-"),
        "[]".into(),
        String::new(),
        "\u{fffd}{".into(),
    ];
    let mut bytes = lines.join("\n").into_bytes();
    bytes.extend([b'\n', 0xff, 0x00, b'\n']);
    let read = History::parse(&bytes);
    assert_eq!(read.entries.len(), 1);
    assert_eq!(read.garbage.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 3, 4, 5, 7, 8]);
    assert!(judge(&read).unclear());
}

#[test]
fn one_night_that_is_slower_than_all_before_is_found() {
    let swings = [1.0, 1.05, 0.97, 1.02, 0.99];
    let after = |x: f64| judge(&nights(&[&swings[..], &[x]].concat()));
    assert_eq!(of(&after(1.3), "gameday-cpu"), Finding::Slower);
    assert!(after(1.3).regressed());
    // A drift of 5 % is none, and what is faster is fine.
    for fine in [1.05, 1.0, 0.4] {
        assert!(!after(fine).regressed() && !after(fine).unclear(), "{fine}");
    }
    // Peers are never judged.
    let verdict = after(1.3);
    assert!(verdict.rows.iter().any(|r| !r.newest.ours) && verdict.text().contains("  peer     hnswlib"));
    // A machine that swings as much itself proves nothing.
    assert!(!judge(&nights(&[1.0, 1.4, 0.9, 1.35, 1.0, 1.3])).regressed());
}

#[test]
fn few_nights_busy_nights_and_other_machines_prove_nothing() {
    let verdict = judge(&nights(&[1.0, 1.0, 5.0]));
    assert_eq!(
        (of(&verdict, "gameday-cpu"), verdict.regressed(), verdict.unclear()),
        (Finding::TooFew, false, true)
    );
    assert!(judge(&History::default()).unclear());

    let mut busy = nights(&[1.0, 1.0, 1.0, 1.0, 2.0]);
    let last = busy.entries.last().unwrap().began;
    busy.entries.iter_mut().filter(|e| e.began == last).for_each(|e| e.others = 0.5);
    assert_eq!(of(&judge(&busy), "gameday-cpu"), Finding::Unclear);

    let mut moved = nights(&[1.0, 1.0, 1.0, 1.0, 2.0]);
    moved.entries.iter_mut().filter(|e| e.began == last).for_each(|e| e.machine = "another".into());
    let verdict = judge(&moved);
    assert!(!verdict.regressed() && verdict.rows.iter().any(|r| r.finding == Finding::TooFew));
}

#[test]
fn recall_and_memory_are_judged_and_what_is_gone_is_missing() {
    let mut history = nights(&[1.0; 5]);
    let last = history.entries.last().unwrap().began;
    let ours = |e: &&mut Entry| e.began == last && e.engine == "gameday-cpu";
    history.entries.iter_mut().filter(ours).for_each(|e| e.recall[1].1 -= 0.006);
    assert_eq!(of(&judge(&history), "gameday-cpu"), Finding::Worse);

    let mut history = nights(&[1.0; 5]);
    history.entries.iter_mut().filter(ours).for_each(|e| e.peak_bytes *= 1.2);
    assert_eq!(of(&judge(&history), "gameday-cpu"), Finding::Larger);

    let mut history = nights(&[1.0; 5]);
    history.entries.retain(|e| e.began != last || e.engine != "gameday-cpu");
    let verdict = judge(&history);
    assert_eq!(of(&verdict, "gameday-cpu"), Finding::Missing);
    assert!(verdict.unclear() && !verdict.regressed() && verdict.text().contains("not in the newest run"));
}

#[test]
fn the_picture_and_the_words() {
    let history = nights(&[1.0, 1.05, 0.97, 1.02, 1.5]);
    insta::assert_snapshot!("history", plot(&history));
    insta::assert_snapshot!("history_words", judge(&history).text());
    assert!(plot(&History::default()).contains("no run in this history"));
}
