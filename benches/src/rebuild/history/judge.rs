//! Whether the newest figures of a history are worse than the former ones of the same machine.
//!
//! The rule, for each engine of ours in the newest run of a machine, against all former runs of the same set, parameters and searcher:
//!
//! - **slower** where its median is above 1.10 times the median of the former medians *and* its interval lies wholly above the interval
//!   of that median (see [`spread`](super::super::stats::spread)): neither a drift of 5 % nor a machine that swings is one;
//! - **larger** where its peak memory is above 1.10 times their median and above each of them within its interval;
//! - **worse** where its recall at some setting is more than 0.005 below the median of theirs;
//! - what looks slower while others took more than a tenth of the machine, or was built once, is **unclear**;
//! - with fewer than [`FEWEST`] former runs nothing is judged: **too few**;
//! - what the machine's last run but one had on a set that is in the newest run too, and the newest has not, is **missing**.

use std::fmt::Write as _;

use super::{
    super::{
        compare::{RECALL_FELL, SLOWER},
        stats::{median, spread},
        summary::BUSY,
    },
    Entry, History,
};

/// Former runs without which nothing is judged.
pub const FEWEST: usize = 3;
/// Ratio of memory from which on a build is larger.
pub const MEMORY_GREW: f64 = 1.10;

/// What follows for one contender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// As good as before, or better.
    Fine,
    /// It got slower.
    Slower,
    /// It takes more memory.
    Larger,
    /// Its recall fell.
    Worse,
    /// It looks slower, and the machine was busy, or there is one build.
    Unclear,
    /// There are too few former runs.
    TooFew,
    /// The newest run does not have it.
    Missing,
}

/// One contender of the newest run of a machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The newest line; of what is missing, the last there was.
    pub newest: Entry,
    /// How many former runs it is held against.
    pub former: usize,
    /// Its time as a multiple of their median.
    pub time: Option<f64>,
    /// Its memory as a multiple of their median.
    pub memory: Option<f64>,
    /// By how much recall fell where it fell most, and at which setting.
    pub fell: Option<(f64, u32)>,
    /// What follows.
    pub finding: Finding,
}

/// All that was judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// In the order of the file.
    pub rows: Vec<Judged>,
    /// Lines that could not be read.
    pub garbage: usize,
}

/// Judges the newest run of each machine.
pub fn judge(history: &History) -> Verdict {
    let mut rows = Vec::new();
    for newest in history.entries.iter().filter(|e| e.began == last_of(history, &e.machine)) {
        let former: Vec<&Entry> =
            history.entries.iter().filter(|e| e.began < newest.began && e.key() == newest.key()).collect();
        rows.push(row(newest, &former));
    }
    rows.extend(missing(history));
    Verdict { rows, garbage: history.garbage.len() }
}

fn last_of(history: &History, machine: &str) -> u64 {
    history.entries.iter().filter(|e| e.machine == machine).map(|e| e.began).max().unwrap_or(0)
}

/// What the last run before had of a set that the newest has too.
fn missing(history: &History) -> Vec<Judged> {
    let gone = |e: &&Entry| {
        let last = last_of(history, &e.machine);
        let mut of_set = history
            .entries
            .iter()
            .filter(|o| (&o.machine, &o.set, &o.digest) == (&e.machine, &e.set, &e.digest));
        let before = of_set.clone().map(|o| o.began).filter(|began| *began < last).max();
        let measured = of_set.clone().any(|o| o.began == last);
        measured && Some(e.began) == before && !of_set.any(|o| o.began == last && o.key() == e.key())
    };
    let all = history.entries.iter().filter(|e| e.ours).filter(gone);
    let row = |e: &Entry| Judged {
        newest: e.clone(),
        former: 0,
        time: None,
        memory: None,
        fell: None,
        finding: Finding::Missing,
    };
    all.map(row).collect()
}

fn row(newest: &Entry, former: &[&Entry]) -> Judged {
    let of = |figure: fn(&Entry) -> f64| {
        let all: Vec<f64> = former.iter().map(|e| figure(e)).collect();
        spread(&all)
    };
    let (times, memories) = (of(|e| e.seconds), of(|e| e.peak_bytes));
    let time = times.map(|then| newest.seconds / then.median);
    let memory = memories.filter(|then| then.median > 0.0).map(|then| newest.peak_bytes / then.median);
    let slower =
        time.is_some_and(|x| x > SLOWER) && times.is_some_and(|then| newest.spread().low > then.high);
    let larger =
        memory.is_some_and(|x| x > MEMORY_GREW) && memories.is_some_and(|then| newest.peak_bytes > then.high);
    let fell = fell(newest, former);
    let finding = match () {
        () if former.len() < FEWEST => Finding::TooFew,
        // Rounding must not decide.
        () if fell.is_some_and(|(by, _)| by > RECALL_FELL + 1e-9) => Finding::Worse,
        () if slower && (newest.others > BUSY || newest.builds < 2) => Finding::Unclear,
        () if slower => Finding::Slower,
        () if larger => Finding::Larger,
        () => Finding::Fine,
    };
    Judged { newest: newest.clone(), former: former.len(), time, memory, fell, finding }
}

fn fell(newest: &Entry, former: &[&Entry]) -> Option<(f64, u32)> {
    let falls = newest.recall.iter().filter_map(|(setting, recall)| {
        let of = |e: &&Entry| e.recall.iter().find(|(s, _)| s == setting).map(|(_, recall)| *recall);
        let then: Vec<f64> = former.iter().filter_map(of).collect();
        Some((median(&then)? - recall, *setting))
    });
    falls.max_by(|a, b| a.0.total_cmp(&b.0))
}

impl Verdict {
    /// Whether an engine of ours got worse.
    pub fn regressed(&self) -> bool {
        self.ours().any(|f| matches!(f, Finding::Slower | Finding::Larger | Finding::Worse))
    }

    /// Whether something could not be told: also where nothing was judged at all.
    pub fn unclear(&self) -> bool {
        self.garbage > 0
            || self.ours().next().is_none()
            || self.ours().any(|f| matches!(f, Finding::Unclear | Finding::TooFew | Finding::Missing))
    }

    fn ours(&self) -> impl Iterator<Item = Finding> {
        self.rows.iter().filter(|r| r.newest.ours).map(|r| r.finding)
    }

    /// For a person, one line a row.
    pub fn text(&self) -> String {
        let mut out = String::from(
            "THE NEWEST RUN AGAINST THE FORMER ONES OF ITS MACHINE (slower: above 1.10 x the median of theirs, and its\n\
             interval above theirs; larger: memory above 1.10 x and above theirs; worse: recall fell by more than 0.005)\n",
        );
        for r in &self.rows {
            let word = match (r.newest.ours, r.finding) {
                (false, _) => "peer",
                (_, Finding::Fine) => "ok",
                (_, Finding::Slower) => "SLOWER",
                (_, Finding::Larger) => "LARGER",
                (_, Finding::Worse) => "WORSE",
                (_, Finding::Unclear) => "UNCLEAR",
                (_, Finding::TooFew) => "TOO FEW",
                (_, Finding::Missing) => "MISSING",
            };
            let e = &r.newest;
            let _ = write!(out, "  {word:<8} {} {} on {}: ", e.engine, e.kind, e.set);
            if r.finding == Finding::Missing {
                let _ = writeln!(out, "not in the newest run; last measured {}", e.date);
                continue;
            }
            let _ = write!(out, "{:.2} s ({:.2} to {:.2})", e.seconds, e.low, e.high);
            for (what, x) in [("time", r.time), ("memory", r.memory)] {
                let _ = x.map(|x| write!(out, ", {what} x {x:.3}"));
            }
            let _ = r.fell.map(|(fell, at)| write!(out, ", recall {:+.4} at {at}", 0.0 - fell));
            let _ = writeln!(out, ", of {} former runs", r.former);
        }
        if self.ours().any(|f| f == Finding::TooFew) {
            let _ =
                writeln!(out, "  TOO FEW: nothing is judged by fewer than {FEWEST} former runs of the same");
        }
        if self.ours().any(|f| f == Finding::Unclear) {
            out.push_str("  UNCLEAR: it looks slower, and others took more than a tenth of the machine, or it was built once\n");
        }
        out
    }
}
