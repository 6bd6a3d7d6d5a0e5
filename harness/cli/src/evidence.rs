//! `gameday evidence`: keys, checks, reviews, bundles.

mod keys;

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::{Args, Subcommand};
use reports::evidence::{
    bundle,
    keys::Allowed,
    ledger::Head,
    plain::{self, Links},
    review, stamp,
    store::{HEAD, Store},
    verify::{Ask, Checked, verify},
};

use crate::{
    compliance::quarter,
    exit::{Exit, Failure},
    say,
};
pub(crate) use keys::Keys;
use keys::{Keygen, Pem, or_at_home};

/// Make keys; verify, review, amend and bundle signed evidence
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday evidence keygen --identity ops@example.org
  gameday run scenarios/ --evidence evidence/
  gameday evidence verify evidence/ --recompute
  gameday evidence review evidence/ RUN --key reviewer.key --statement \"I compared it with our logs.\"
  gameday evidence bundle evidence/ --quarter 2026Q4 --out 2026Q4/

Keys are trusted only because a file of signers names them; give auditors that file, and a copy of
HEAD after every drill, on another way than the evidence.")]
pub(crate) struct Evidence {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Keygen(Keygen),
    Pem(Pem),
    Verify(Verify),
    Review(Review),
    Amend(Amend),
    Bundle(Bundle),
}

/// Check a folder of evidence; trusts nothing in it but what a known key has signed
#[derive(Args)]
#[command(after_help = "\
Examples:
  gameday evidence verify evidence/
  gameday evidence verify evidence/ --recompute                    every number again, from raw events
  gameday evidence verify 2026Q4/ --signers auditors_own_file --anchor HEAD.of.september
  gameday evidence verify evidence/ --json | jq .problems

Ends with 0 if everything verifies, 5 if anything does not; each problem names its file and line.
Only --anchor finds a ledger that was rolled back to an older signed state of itself.")]
struct Verify {
    /// The folder of evidence, or a bundle
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    #[command(flatten)]
    trust: Trust,
    /// Rebuild every number from the journals and compare
    #[arg(long)]
    recompute: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a check trusts.
#[derive(Args, Debug)]
pub(crate) struct Trust {
    /// The file of signers whose keys are trusted [default: allowed_signers beside your key]
    #[arg(long, value_name = "FILE")]
    signers: Option<PathBuf>,
    /// A copy of HEAD that was kept elsewhere
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
}

/// Review a run that another person has played
#[derive(Args)]
#[command(after_help = "\
Example:
  gameday evidence review evidence/ RUN --key reviewer.key --statement \"I compared it with our logs.\"

Refused while RUN/record.toml has fields that no person has filled, where a drill that did not pass
has no [[finding]], and to the operator of the drill.")]
struct Review {
    /// The folder of evidence
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// The run
    #[arg(value_name = "RUN")]
    run: String,
    /// What was looked at, and what came of it
    #[arg(long, value_name = "TEXT")]
    statement: String,
    #[command(flatten)]
    keys: Keys,
}

/// Put a word about a run on record; nothing that is on record changes
#[derive(Args)]
#[command(after_help = "\
Example:
  gameday evidence amend evidence/ RUN --reason \"the harness's machine lost power; ticket OPS-12\"

No stamp is ever made up: where the clock of this machine stands before what the ledger has reached,
nothing new is put on record. If the clock is right now and was ahead before, say so once, with
--clock-was-ahead; what was stamped in the future is then not believed, and named by every check.")]
struct Amend {
    /// The folder of evidence
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// The run
    #[arg(value_name = "RUN")]
    run: String,
    /// What has to be said
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Say as well that lines stamped later than now were stamped by a clock that was ahead
    #[arg(long)]
    clock_was_ahead: bool,
    #[command(flatten)]
    keys: Keys,
}

/// Make a folder for the auditor: a quarter's runs, the whole ledger, and a script that checks them
#[derive(Args)]
#[command(after_help = "\
Example:
  gameday evidence bundle evidence/ --quarter 2026Q4 --out 2026Q4/
  sh 2026Q4/verify.sh 2026Q4/ allowed_signers HEAD.of.september      what the auditor types")]
struct Bundle {
    /// The folder of evidence
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// The quarter, such as 2026Q4
    #[arg(long, value_name = "QUARTER")]
    quarter: String,
    /// The new folder
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    #[command(flatten)]
    keys: Keys,
}

impl Trust {
    /// Checks a folder.
    pub(crate) fn check(&self, folder: &Path, recompute: bool) -> Result<Checked, Failure> {
        if !folder.is_dir() {
            let what = format!("`{}` is not a folder", folder.display());
            return Err(Failure::usage(
                what,
                "name the folder that `gameday run --evidence` wrote, or a bundle",
            ));
        }
        let signers = or_at_home(self.signers.as_ref(), "allowed_signers")?;
        let inside = |path: &Path| {
            path.canonicalize().ok().zip(folder.canonicalize().ok()).is_some_and(|(p, f)| p.starts_with(f))
        };
        if inside(&signers) || self.anchor.as_deref().is_some_and(inside) {
            return Err(Failure::usage(
                "signers and anchor lie in the evidence that they are to check",
                "name files that came on another way: whoever can change the evidence can change these",
            ));
        }
        let allowed = Allowed::load(&signers)?;
        let anchor = self.anchor.as_deref().map(anchor).transpose()?;
        Ok(verify(folder, Ask { allowed: &allowed, anchor: anchor.as_ref(), recompute, now: clock()? }))
    }
}

/// This machine's clock, if it can be one.
fn clock() -> Result<SystemTime, Failure> {
    let now = SystemTime::now();
    stamp(now)?;
    Ok(now)
}

fn anchor(path: &Path) -> Result<Head, Failure> {
    let wrong = |why: String| {
        let what = format!("the anchor `{}` cannot be used: {why}", path.display());
        Failure::usage(what, "name a copy of the file HEAD")
    };
    let text = plain::read(path, Links::Followed, plain::SMALL).map_err(|e| wrong(e.to_string()))?;
    let text = String::from_utf8(text).map_err(|_| wrong("it is not text".into()))?;
    Head::parse(&text).ok_or_else(|| wrong("it is not a head".into()))
}

/// Every problem and remark; the failure if there is a problem.
pub(crate) fn refused(checked: &Checked, folder: &Path) -> Option<Failure> {
    for remark in &checked.remarks {
        say::err(&format!("remark: {}\n", reports::clean(remark)));
    }
    for problem in &checked.problems {
        say::err(&format!("DOES NOT VERIFY: {problem}\n"));
    }
    let n = checked.problems.len();
    (n > 0).then(|| {
        let noun = if n == 1 { "problem" } else { "problems" };
        Failure::evidence(
            format!("`{}` does not verify: {n} {noun}", folder.display()),
            "go back to an untouched copy; what is in this one proves nothing",
        )
    })
}

impl Evidence {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::Keygen(command) => command.run(),
            Command::Pem(command) => command.run(),
            Command::Verify(command) => command.run(),
            Command::Review(command) => {
                let (signer, allowed) = command.keys.operator()?;
                let mut store = existing(&command.folder, &allowed)?;
                let (run, words) = (&command.run, &command.statement);
                let head = review::review(&mut store, run, words, &signer, &allowed, SystemTime::now())?;
                recorded("reviewed", &command.folder, &head)
            }
            Command::Amend(command) => {
                let (signer, allowed) = command.keys.operator()?;
                let mut store = existing(&command.folder, &allowed)?;
                let words = (command.reason.as_str(), command.clock_was_ahead);
                let head = review::amend(&mut store, &command.run, words, &signer, SystemTime::now())?;
                recorded("amended", &command.folder, &head)
            }
            Command::Bundle(command) => command.run(),
        }
    }
}

fn existing(folder: &Path, allowed: &Allowed) -> Result<Store, Failure> {
    if !folder.join(HEAD).exists() {
        let what = format!("`{}` holds no evidence", folder.display());
        return Err(Failure::usage(what, "name the folder that `gameday run --evidence` wrote"));
    }
    Ok(Store::open(folder, allowed)?)
}

fn recorded(what: &str, folder: &Path, head: &Head) -> Result<Exit, Failure> {
    say::out(&format!(
        "{what}; {} now has {} entries. Keep its HEAD elsewhere:\n{}",
        folder.display(),
        head.entries,
        head.text()
    ))?;
    Ok(Exit::Pass)
}

impl Verify {
    fn run(self) -> Result<Exit, Failure> {
        let checked = self.trust.check(&self.folder, self.recompute)?;
        if self.json {
            say::out(&checked.json(self.recompute, self.trust.anchor.is_some()))?;
            return Ok(if checked.problems.is_empty() { Exit::Pass } else { Exit::Evidence });
        }
        if let Some(failure) = refused(&checked, &self.folder) {
            return Err(failure);
        }
        let closed = checked.runs.iter().filter(|r| r.closed.is_some()).count();
        let again = checked.runs.iter().filter(|r| r.recomputed.is_some()).count();
        let head = checked.head.as_ref().map(Head::text).unwrap_or_default();
        let mut text = format!("VERIFIED: {} runs declared, {closed} closed\n", checked.runs.len());
        if self.recompute {
            text.push_str(&format!(
                "every number of {again} runs was rebuilt from raw events, and is the same\n"
            ));
        } else {
            text.push_str("numbers were not rebuilt: add --recompute\n");
        }
        if self.trust.anchor.is_none() {
            text.push_str("no --anchor was given: a roll-back to an older signed state would not be found\n");
        }
        say::out(&(text + &head))?;
        Ok(Exit::Pass)
    }
}

impl Bundle {
    fn run(self) -> Result<Exit, Failure> {
        let (from, until) = quarter(&self.quarter)?;
        let (signer, allowed) = self.keys.operator()?;
        let checked =
            verify(&self.folder, Ask { allowed: &allowed, anchor: None, recompute: true, now: clock()? });
        if let Some(failure) = refused(&checked, &self.folder) {
            return Err(failure);
        }
        let period = (self.quarter.as_str(), from.as_str(), until.as_str());
        let list = bundle::bundle(&self.folder, &checked, period, &signer, &self.out)?;
        say::out(&format!(
            "{}: {} runs of {}, opening at {} entries, closing at {}\n",
            self.out.display(),
            list.runs.len(),
            list.quarter,
            list.opening.0,
            list.closing.0
        ))?;
        Ok(Exit::Pass)
    }
}
