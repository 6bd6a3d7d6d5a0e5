//! Everything that can be checked without trusting whoever made the evidence.
//!
//! All problems are found at once, each with its file and line. What is not wrong but must be known (a run that was
//! never closed, one that nobody reviewed) is a remark. Only an anchor, an older head that was kept elsewhere, tells a
//! ledger from an earlier state of itself.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    bundle,
    keys::{self, Allowed},
    ledger::{Amended, Closed, Declared, Head, Kind, Ledger, Reviewed},
    plain::{self, Links},
    recompute::{Recomputed, impossible, recompute},
    record::{self, Completeness},
    review,
    seal::{self, RECORD, REVIEW, REVIEW_SIG, SCENARIO, STACK},
    stamps::{self, Span},
    store::{HEAD, HEAD_SIG, RUNS},
};

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The file, with the line where there is one.
    pub place: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place.display(), crate::clean(&self.what))
    }
}

/// One run that was declared.
#[derive(Clone, PartialEq, Debug)]
pub struct Run {
    /// When it was declared, RFC 3339.
    pub declared_at: String,
    /// When it was really declared, if that stamp is not believed.
    pub declared_doubt: Option<Span>,
    /// As it was declared.
    pub declared: Declared,
    /// When it was closed, and how.
    pub closed: Option<(String, Closed)>,
    /// When it was really closed, if that stamp is not believed.
    pub closed_doubt: Option<Span>,
    /// When it was last reviewed, and by whom.
    pub reviewed: Option<(String, Reviewed)>,
    /// Amendments.
    pub amended: Vec<Amended>,
    /// Who signed its files.
    pub signed_by: Option<String>,
    /// What its events say, where they were asked again.
    pub recomputed: Option<Recomputed>,
    /// How complete its record is.
    pub record: Option<Completeness>,
}

impl Run {
    /// Whether it was declared in a period; where its stamp is not believed, whether it may have been. `until` is not
    /// part of the period.
    pub fn declared_within(&self, from: &str, until: &str) -> bool {
        match &self.declared_doubt {
            Some(span) => span.meets(from, until),
            None => (from..until).contains(&self.declared_at.as_str()),
        }
    }

    /// The first moment at which it may have been declared.
    pub fn declared_from(&self) -> &str {
        self.declared_doubt.as_ref().map_or(&self.declared_at, |span| &span.from)
    }

    /// When it was declared, seconds since 1970, if that is known.
    pub fn declared_unix(&self) -> Option<u64> {
        stamps::believed(&self.declared_at, self.declared_doubt.as_ref())
    }

    /// When it had ended at the earliest, seconds since 1970, if that is known.
    pub fn ended_unix(&self) -> Option<u64> {
        let (at, _) = self.closed.as_ref()?;
        stamps::believed(at, self.closed_doubt.as_ref()).or_else(|| self.declared_unix())
    }
}

/// A folder of evidence after the check.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Checked {
    /// Every run that was declared, in order.
    pub runs: Vec<Run>,
    /// The signed head.
    pub head: Option<Head>,
    /// What is wrong; the evidence verifies only if there is nothing.
    pub problems: Vec<Problem>,
    /// What must be known.
    pub remarks: Vec<String>,
}

impl Checked {
    /// For programs: what was checked and how far, each run in short, and all that is wrong.
    pub fn json(&self, recomputed: bool, anchored: bool) -> String {
        let run = |r: &Run| {
            serde_json::json!({
                "run": r.declared.run,
                "scenario": r.declared.scenario,
                "world": r.declared.world,
                "counts_as": r.declared.counts_as,
                "declared_at": r.declared_at,
                "stamps_believed": r.declared_doubt.is_none() && r.closed_doubt.is_none(),
                "closed_at": r.closed.as_ref().map(|(at, _)| at),
                "verdict": r.closed.as_ref().map(|(_, c)| c.verdict),
                "signed_by": r.signed_by,
                "reviewed_at": r.reviewed.as_ref().map(|(at, _)| at),
                "recomputed": r.recomputed.is_some(),
            })
        };
        let problem =
            |p: &Problem| serde_json::json!({ "place": p.place.display().to_string(), "what": p.what });
        let head = self.head.as_ref();
        let value = serde_json::json!({
            "verified": self.problems.is_empty(),
            "recomputed": recomputed,
            "anchored": anchored,
            "head": head.map(|h| serde_json::json!({ "entries": h.entries, "head": h.last, "ledger": h.ledger })),
            "runs": self.runs.iter().map(run).collect::<Vec<_>>(),
            "problems": self.problems.iter().map(problem).collect::<Vec<_>>(),
            "remarks": self.remarks,
        });
        serde_json::to_string_pretty(&value).expect("a check is plain data") + "\n"
    }
}

/// What is asked of the check.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Who may sign; from elsewhere than the evidence.
    pub allowed: &'a Allowed,
    /// A head that was kept elsewhere.
    pub anchor: Option<&'a Head>,
    /// Whether every number is rebuilt from the journals.
    pub recompute: bool,
    /// The clock of whoever looks.
    pub now: SystemTime,
}

/// Checks a folder of evidence.
pub fn verify(evidence: &Path, ask: Ask<'_>) -> Checked {
    let mut checked = Checked::default();
    let parts = bundle::parts(evidence, ask.allowed, &mut checked.problems);
    let Some(ledger) = head(evidence, ask, &mut checked) else { return checked };
    checked.remarks.extend(ask.allowed.broken().map(|why| format!("{why}; nobody is trusted because of it")));
    checked.runs = runs(evidence, &ledger, ask.now, &mut checked);
    let mut known: BTreeSet<String> = [RUNS, HEAD, HEAD_SIG].map(str::to_owned).into();
    known.extend(parts.as_ref().map(|p| p.files.clone()).unwrap_or_default());
    for run in &mut checked.runs {
        let left_out = parts.as_ref().is_some_and(|p| !p.runs.contains(&run.declared.run));
        known.insert(run.declared.run.clone());
        if left_out {
            checked.remarks.push(format!("{}: not part of this bundle", run.declared.run));
            continue;
        }
        check_run(evidence, run, ask, &mut checked.problems, &mut checked.remarks);
    }
    match seal::names(evidence) {
        Err(e) => problem(&mut checked.problems, evidence, format!("it cannot be read: {e}")),
        Ok(names) => {
            for name in names.iter().filter(|n| !known.contains(*n)) {
                let what = "no run of the ledger explains it: it was added, or the ledger was cut";
                problem(&mut checked.problems, &evidence.join(name), what);
            }
        }
    }
    checked
}

fn problem(problems: &mut Vec<Problem>, place: &Path, what: impl Into<String>) {
    problems.push(Problem { place: place.to_owned(), what: what.into() });
}

fn at_line(path: &Path, line: u64) -> PathBuf {
    PathBuf::from(format!("{}:{line}", path.display()))
}

/// The ledger, if it is whole and its head was signed.
fn head(evidence: &Path, ask: Ask<'_>, checked: &mut Checked) -> Option<Ledger> {
    let problems = &mut checked.problems;
    let mut read = |name: &str, most: u64| {
        let read = plain::read(&evidence.join(name), Links::Refused, most);
        read.map_err(|why| problem(problems, &evidence.join(name), why.to_string())).ok()
    };
    let (bytes, text, signature) =
        (read(RUNS, plain::MOST), read(HEAD, plain::SMALL), read(HEAD_SIG, plain::SMALL));
    let bytes = bytes?;
    let ledger = match Ledger::parse(&bytes) {
        Ok(ledger) if ledger.entries.is_empty() => {
            problem(problems, &evidence.join(RUNS), "it is empty: there is nothing to verify");
            return None;
        }
        Ok(ledger) => ledger,
        Err(_) if plain::line_ends_converted(&bytes, |b| Ledger::parse(b).is_ok()) => {
            problem(problems, &evidence.join(RUNS), seal::CONVERTED);
            return None;
        }
        Err(broken) => {
            problem(problems, &at_line(&evidence.join(RUNS), broken.line), broken.why);
            return None;
        }
    };
    if let Some((text, signature)) = text.as_ref().zip(signature) {
        check_head(text, &signature, &ledger, ask.allowed)
            .unwrap_or_else(|why| problem(problems, &evidence.join(HEAD_SIG), why));
    }
    let text = text.unwrap_or_default();
    let said = std::str::from_utf8(&text).ok().and_then(Head::parse);
    let found = Head::of(&ledger, &bytes);
    match &said {
        None if plain::line_ends_converted(&text, |b| b == found.text().as_bytes()) => {
            problem(problems, &evidence.join(HEAD), seal::CONVERTED);
        }
        None if text.is_empty() => {}
        None => problem(problems, &evidence.join(HEAD), "it is not a head"),
        Some(said) if *said != found => {
            let what =
                format!("it was signed for {} entries, and the ledger has {}", said.entries, found.entries);
            let what =
                if said.entries == found.entries { "it was signed for another ledger".into() } else { what };
            problem(problems, &evidence.join(HEAD), what);
        }
        Some(_) => {}
    }
    if let Some(anchor) = ask.anchor {
        let at = usize::try_from(anchor.entries).unwrap_or(usize::MAX).checked_sub(1);
        let there = at.map_or(Some(""), |i| ledger.digests.get(i).map(String::as_str));
        match there {
            None => {
                let what = format!(
                    "it has {} entries, and the anchored head had {}: it was rolled back",
                    found.entries, anchor.entries
                );
                problem(problems, &evidence.join(RUNS), what);
            }
            Some(digest) if digest != anchor.last => {
                let what = "this is not the line that the anchored head ends with: history was rewritten";
                problem(problems, &at_line(&evidence.join(RUNS), anchor.entries), what);
            }
            Some(_) => {}
        }
    }
    checked.head = Some(found);
    Some(ledger)
}

fn check_head(text: &[u8], signature: &[u8], ledger: &Ledger, allowed: &Allowed) -> Result<(), String> {
    let at = ledger.entries.last().map_or("", |e| e.at.as_str());
    let who =
        ledger.last_signer().ok_or("the last line of the ledger is about a run that was never declared")?;
    allowed.check(who, keys::HEAD, text, signature, at)
}

/// The runs of a ledger; entries that contradict each other are problems.
fn runs(evidence: &Path, ledger: &Ledger, now: SystemTime, checked: &mut Checked) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let line = |i: usize| at_line(&evidence.join(RUNS), i as u64 + 1);
    let stamps = stamps::judge(&ledger.entries, now);
    for (i, why) in &stamps.remarks {
        checked.remarks.push(format!("{RUNS}:{}: {why}", i + 1));
    }
    let problems = &mut checked.problems;
    stamps.wrong.iter().for_each(|(i, why)| problem(problems, &line(*i), why.as_str()));
    for (i, entry) in ledger.entries.iter().enumerate() {
        let place = line(i);
        let doubt = stamps.doubted.get(&i).cloned();
        let mut wrong = |what: String| problem(problems, &place, what);
        let name = entry.kind.run();
        if !seal::plain(name) || [RUNS, HEAD, HEAD_SIG].contains(&name) {
            wrong(format!("`{name}` cannot name a run"));
            continue;
        }
        if let Kind::Declared(d) = &entry.kind
            && let Some(why) = impossible(d.world, d.counts_as)
        {
            wrong(why);
        }
        let run = runs.iter_mut().find(|r| r.declared.run == name);
        match (&entry.kind, run) {
            (Kind::Declared(d), None) => runs.push(Run {
                declared_at: entry.at.clone(),
                declared: (**d).clone(),
                declared_doubt: doubt,
                closed: None,
                closed_doubt: None,
                reviewed: None,
                amended: Vec::new(),
                signed_by: None,
                recomputed: None,
                record: None,
            }),
            (Kind::Declared(_), Some(_)) => wrong(format!("run {name} was declared before")),
            (_, None) => wrong(format!("run {name} was never declared")),
            (Kind::Closed(c), Some(run)) => {
                if run.closed.is_some() {
                    wrong(format!("run {name} was closed before"));
                } else {
                    run.closed = Some((entry.at.clone(), c.clone()));
                    run.closed_doubt = doubt;
                }
            }
            (Kind::Reviewed(_), Some(run)) if run.closed.is_none() => {
                wrong(format!("run {name} was reviewed, and never closed"));
            }
            (Kind::Reviewed(r), Some(run)) => run.reviewed = Some((entry.at.clone(), r.clone())),
            (Kind::Amended(a), Some(run)) => run.amended.push(a.clone()),
        }
    }
    runs
}

fn check_run(
    evidence: &Path,
    run: &mut Run,
    ask: Ask<'_>,
    problems: &mut Vec<Problem>,
    remarks: &mut Vec<String>,
) {
    let name = run.declared.run.clone();
    let folder = evidence.join(&name);
    let Some((closed_at, closed)) = run.closed.clone() else {
        remarks.push(format!("{name}: declared at {} and never closed: counts as failed", run.declared_at));
        return;
    };
    if !fs::symlink_metadata(&folder).is_ok_and(|m| m.is_dir()) {
        problem(problems, &folder, "the run was closed, and its folder is missing");
        return;
    }
    let mut say = |file: &str, why: String| problem(problems, &folder.join(file), why);
    let (wrong, signed_by) = seal::check(&folder, (&run.declared, &closed), &closed_at, ask.allowed);
    let sealed = wrong.is_empty();
    wrong.into_iter().for_each(|(file, why)| say(&file, why));
    if plain::digest(&folder.join(SCENARIO)).ok().as_ref() != Some(&run.declared.scenario_sha256) {
        say(SCENARIO, "it is not the scenario that was declared before the drill".into());
    }
    if let Some(said) = &run.declared.stack_sha256
        && plain::digest(&folder.join(STACK)).ok().as_ref() != Some(said)
    {
        say(STACK, "it is not the stack that was declared before the drill".into());
    }
    let text = plain::read(&folder.join(RECORD), Links::Refused, plain::SMALL).map_err(|e| e.to_string());
    let text = text.and_then(|t| String::from_utf8(t).map_err(|_| "it is not text in UTF-8".into()));
    match text.and_then(|t| record::completeness(&t)) {
        Ok(complete) => run.record = Some(complete),
        Err(why) => remarks.push(format!("{name}: {RECORD}: {why}")),
    }
    match &run.reviewed {
        Some(reviewed) => {
            let by = signed_by.as_deref();
            let wrong = review::check(&folder, reviewed, &closed, by, ask.allowed);
            wrong.into_iter().for_each(|(file, why)| say(file, why));
        }
        None => {
            for file in [REVIEW, REVIEW_SIG].into_iter().filter(|f| folder.join(f).exists()) {
                say(file, "the ledger knows of no review: it was added".into());
            }
            remarks.push(format!("{name}: not reviewed; {RECORD} is a draft that nobody has signed"));
        }
    }
    run.signed_by = signed_by;
    // What was changed after it was signed proves nothing, whatever can be computed from it.
    if ask.recompute && sealed {
        let (recomputed, wrong) = recompute(&folder, &run.declared, &closed);
        wrong.into_iter().for_each(|(file, why)| problem(problems, &folder.join(file), why));
        if recomputed.is_none() {
            remarks.push(format!("{name}: it left no journal that could be judged: counts as failed"));
        }
        run.recomputed = recomputed;
    }
}
