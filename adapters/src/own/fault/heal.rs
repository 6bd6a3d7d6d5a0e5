//! What a fault drill left broken when its harness was killed, and undoing it.
//!
//! The run's own watchdog does it at once: it has the variables that the harness had. `gameday heal` does it later, and only
//! if its user says so: the journal could be anybody's. What was undone is written to `heal.jsonl`, so that nothing is undone
//! again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::journal::{JournalError, Reader};
use harness::own::fault::event::{FaultEvent, Task};
use harness::own::fault::{Drill, Facts, FaultStep, RecoverAct};
use harness::own::stack::Command;
use harness::report::Played;
use serde::{Deserialize, Serialize};

use super::steps::{ATTEMPTS, mark, there};
use crate::local::sweep::{sweep, sweep_session};
use crate::own::command::{Show, Spec, run};
use crate::own::play::guard;
use crate::own::secrets::Secrets;

/// The file in a run's folder that says where its files lie.
pub const PLACES: &str = "files.json";
/// Where clean-ups are written down.
const HEALED: &str = "heal.jsonl";
/// A line of it is never longer.
const LINE_MAX: u64 = 1 << 20;

/// How long the effect may take to go once the undo has ended well.
const GONE: Duration = Duration::from_secs(10);
/// How long the watchdog waits for whoever drills on the stack.
const WAIT: Duration = Duration::from_secs(30);
/// How long it is waited before it is looked again.
const AGAIN: Duration = Duration::from_millis(200);

/// Where the files of a run lie.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Places {
    /// The folder of the drill's file.
    pub dir: PathBuf,
    /// The folder of the stack's file.
    pub stack_dir: PathBuf,
    /// The session of the harness: what its commands started in another one lives on.
    #[serde(default)]
    pub session: i32,
}

/// What a run left.
#[derive(Debug)]
pub struct Left {
    /// The run.
    pub run: String,
    /// Drill and stack.
    pub drill: Drill,
    /// Faults that were begun and never seen to be gone, by their place in the drill, the last first.
    pub faults: Vec<usize>,
    /// The marks of runbooks and undos that may still be running.
    pub marks: Vec<String>,
}

/// What became of one fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// Its name.
    pub fault: String,
    /// Its undo ended well, and its effect was seen to be gone.
    pub gone: bool,
    /// What was seen, in words.
    pub how: String,
}

/// All commands that a drill names in its own file.
pub(in crate::own) fn commands(drill: &Drill) -> Vec<&Command> {
    let faults =
        drill.fault.fault.iter().flat_map(|f| {
            [Some(f.inject.command()), f.observe.as_ref(), f.undo.as_ref()].into_iter().flatten()
        });
    let recover = drill.fault.recover.iter().filter_map(|r| match &r.act {
        RecoverAct::Command(c) => Some(c),
        RecoverAct::None {} => None,
    });
    faults.chain(recover).collect()
}

/// Reads what the run in a folder left; `None` if it is no fault drill's.
///
/// # Errors
/// If its journal cannot be read, or was altered.
pub fn left(folder: &Path) -> Result<Option<Left>, JournalError> {
    let mut journal = BufReader::new(File::open(folder.join("journal.jsonl"))?);
    if !Played::begins(journal.fill_buf()?, "fault_began") {
        return Ok(None);
    }
    let facts = Facts::of(Reader::<_, FaultEvent>::new(journal))?;
    let healed = healed(folder);
    let named = |f: &FaultStep| facts.drill.fault.fault.iter().position(|g| g.name == f.name);
    let open = facts.open().into_iter().filter(|f| !healed.contains(&f.name));
    let mut faults: Vec<usize> = open.filter_map(named).collect();
    faults.reverse();
    let run = facts.began.run.clone();
    let unended = facts.started.iter().filter(|(c, started)| {
        c.task != Task::Inject && facts.ran.get(*c).is_none_or(|ran| ran.seq < started.seq)
    });
    let marks = unended.filter_map(|(c, _)| {
        let n = match c.task {
            Task::Recover => facts.drill.fault.recover.iter().position(|r| r.name == c.step)?,
            _ => facts.drill.fault.fault.iter().position(|f| f.name == c.step)?,
        };
        Some(mark(&run, c.task, n))
    });
    let marks = marks.collect();
    Ok(Some(Left { run, drill: facts.drill, faults, marks }))
}

/// Faults that a clean-up has seen to be gone.
fn healed(folder: &Path) -> BTreeSet<String> {
    #[derive(Deserialize)]
    struct Line {
        event: String,
        #[serde(flatten)]
        undone: Undone,
    }
    let Ok(file) = File::open(folder.join(HEALED)) else { return BTreeSet::new() };
    let lines = BufReader::new(file.take(64 * LINE_MAX)).lines().map_while(Result::ok);
    let undone = lines.filter_map(|line| serde_json::from_str::<Line>(&line).ok());
    undone.filter(|l| l.event == "undone" && l.undone.gone).map(|l| l.undone.fault).collect()
}

/// Writes down what was undone, so that it is not undone again.
///
/// # Errors
/// If it cannot be written.
pub fn remember(folder: &Path, undone: &[Undone]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut file = File::options().create(true).append(true).open(folder.join(HEALED))?;
    for one in undone {
        let mut line = serde_json::to_value(one)?;
        line["event"] = "undone".into();
        writeln!(file, "{line}")?;
    }
    file.sync_data()
}

/// Ends what is still running of the faults of a run, and undoes what is still broken. Blocks until all is done; every
/// command has its limit. Answers with what became of each fault. `died`: the harness has just died, so that a runbook which
/// is under way is ended as well; later, whatever bears its mark may be its owner's server.
///
/// # Errors
/// If no command can be run at all.
pub fn undo(
    left: &Left,
    places: &Places,
    secrets: &Secrets,
    (show, died): (Option<&Show>, bool),
) -> std::io::Result<Vec<Undone>> {
    let _alone = alone(left, places, secrets, died)?;
    // What could not be ended is told by the undo, which then fails; it is tried all the same.
    let _ = sweep(&format!("{}.look", left.run));
    for mark in left.marks.iter().filter(|_| died) {
        let _ = sweep_session(mark, places.session);
    }
    for n in &left.faults {
        let _ = sweep_session(&mark(&left.run, Task::Inject, *n), places.session);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut all = Vec::new();
        for n in &left.faults {
            all.push(one(left, *n, &places.dir, secrets, show).await);
        }
        Ok(all)
    })
}

/// Keeps others from drilling on the stack until all is undone. Its own watchdog waits for whoever holds it, which may be a
/// drill that sees the fault and gives up, and then undoes all the same; somebody who asks later is refused.
fn alone(left: &Left, places: &Places, secrets: &Secrets, died: bool) -> std::io::Result<Option<File>> {
    let name = super::whole_name(&left.drill.stack, secrets, &places.stack_dir);
    let until = std::time::Instant::now() + WAIT;
    loop {
        match guard::hold(&name) {
            Ok(held) => return Ok(Some(held)),
            Err(why) if !died => {
                let what = format!("stack {}: {why}", left.drill.stack.name);
                return Err(std::io::Error::other(what));
            }
            Err(_) if std::time::Instant::now() >= until => return Ok(None),
            Err(_) => std::thread::sleep(AGAIN),
        }
    }
}

async fn one(left: &Left, n: usize, dir: &Path, secrets: &Secrets, show: Option<&Show>) -> Undone {
    let step = &left.drill.fault.fault[n];
    // What the undo started stays, whatever becomes of those that look.
    let (undoes, looks) = (format!("{}.heal{n}", left.run), format!("{}.look", left.run));
    let spec = |c: &Command| {
        let env = c.env.iter().filter_map(|n| Some((n.clone(), secrets.get(n)?.to_owned())));
        (c.run.clone(), env.collect::<Vec<_>>(), c.limit.std())
    };
    let play = async |c: &Command, mark: &str, show: Option<&Show>| {
        let (words, env, limit) = spec(c);
        let spec = Spec {
            words: &words,
            dir,
            env,
            limit,
            run: mark,
            log: None,
            secrets,
            sweeps: false,
            keeps: true,
        };
        run(spec, show, None, std::future::pending()).await
    };
    let (Some(undo), Some(observe)) = (&step.undo, &step.observe) else {
        return Undone { fault: step.name.clone(), gone: false, how: "it has no undo".into() };
    };
    let (mut how, mut gone) = (String::new(), false);
    for _ in 0..ATTEMPTS {
        let ended = play(undo, &undoes, show).await;
        how = format!("undo: {}", ended.how);
        let until = tokio::time::Instant::now() + GONE;
        while !gone && tokio::time::Instant::now() < until {
            let looked = play(observe, &looks, None).await;
            gone = there(looked.code) == Some(false);
            how = format!("{}; the effect is still there: {}", ended.how, looked.how);
            if !gone {
                tokio::time::sleep(AGAIN).await;
            }
        }
        if gone {
            break;
        }
        // Whatever its inject command started, in whatever session: the effect is still there.
        let mark = mark(&left.run, Task::Inject, n);
        let _ = tokio::task::spawn_blocking(move || sweep(&mark)).await;
    }
    Undone { fault: step.name.clone(), gone, how: if gone { "gone".into() } else { how } }
}
