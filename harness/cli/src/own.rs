//! Commands on a stack that gameday did not launch: its files, and what is played with them.

pub(crate) mod canary;
pub(crate) mod heal;
pub(crate) mod init;
mod live;
pub(crate) mod plan;
pub(crate) mod rehearse;
pub(crate) mod run;

use std::{
    cell::RefCell,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use adapters::own::{play, secrets::Secrets};
use harness::{
    diagnose::{self, Diagnostic, FILE_MAX},
    own::{self, Drill, fault, stack::Stack},
    report::ObjectiveReport,
};

use crate::{
    exit::Failure,
    inputs::{Input, Mistakes},
    say,
};

/// A drill of any kind on a stack that gameday did not launch.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum AnyDrill {
    /// A backup is restored.
    Restore(Box<Drill>),
    /// A component is broken.
    Fault(Box<fault::Drill>),
}

impl AnyDrill {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        match self {
            AnyDrill::Restore(d) => &d.restore.name,
            AnyDrill::Fault(d) => &d.fault.name,
        }
    }

    /// What it is about.
    pub(crate) fn stack(&self) -> &Stack {
        match self {
            AnyDrill::Restore(d) => &d.stack,
            AnyDrill::Fault(d) => &d.stack,
        }
    }

    /// What has to hold.
    pub(crate) fn objectives(&self) -> Vec<ObjectiveReport> {
        match self {
            AnyDrill::Restore(d) => own::objectives(&d.restore),
            AnyDrill::Fault(d) => fault::objectives(&d.fault, &d.stack),
        }
    }

    /// The values of the variables that it needs, or the names of those that have none.
    pub(crate) fn secrets(&self) -> Result<Secrets, Vec<String>> {
        match self {
            AnyDrill::Restore(d) => Secrets::of_drill(d, value_of),
            AnyDrill::Fault(d) => Secrets::of_fault(d, value_of),
        }
    }
}

/// A drill with its files.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Drill and stack.
    pub(crate) drill: AnyDrill,
    /// The drill's file.
    pub(crate) path: PathBuf,
    /// Its content.
    pub(crate) bytes: Vec<u8>,
    /// The content of the stack's file.
    pub(crate) stack_bytes: Vec<u8>,
    /// The folder of the drill's file.
    pub(crate) dir: PathBuf,
    /// The folder of the stack's file.
    pub(crate) stack_dir: PathBuf,
    /// What was changed on the command line.
    pub(crate) overrides: Vec<String>,
}

/// Whether a file is a drill on somebody's own stack.
pub(crate) fn is_own(input: &Input) -> bool {
    own::kind(&input.bytes).is_some()
}

/// The folder that a file lies in, absolute.
fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}

fn text(path: &Path, bytes: &[u8], found: &[Diagnostic]) -> Mistakes {
    let text = diagnose::render(&path.display().to_string(), bytes, found, say::colour());
    Mistakes { count: found.len(), text }
}

/// Reads a drill and its stack, and looks for the programs that it names.
///
/// # Errors
/// All mistakes of both files, as text.
pub(crate) fn load(input: &Input, changes: &[(String, String)]) -> Result<Loaded, Mistakes> {
    let dir = folder_of(&input.path);
    let beside: RefCell<Option<Mistakes>> = RefCell::new(None);
    let stack_of: RefCell<(PathBuf, Vec<u8>)> = RefCell::default();
    let stack = |name: &str| {
        let path = dir.join(name);
        let bytes = bytes_of(&path).map_err(|e| format!("`{}` cannot be read: {e}", path.display()))?;
        let stack = own::stack(&bytes).map_err(|found| {
            let shown = input.path.parent().unwrap_or(Path::new("")).join(name);
            *beside.borrow_mut() = Some(text(&shown, &bytes, &found));
            format!("the stack file has mistakes ({})", found.len())
        })?;
        *stack_of.borrow_mut() = (path, bytes);
        Ok(stack)
    };
    let read = match own::kind(&input.bytes) {
        Some(own::Kind::Fault) => {
            fault::drill(&input.bytes, changes, stack).map(|d| AnyDrill::Fault(Box::new(d)))
        }
        _ => own::drill(&input.bytes, changes, stack).map(|d| AnyDrill::Restore(Box::new(d))),
    };
    let drill = read.map_err(|found| {
        let mut mistakes = text(&input.path, &input.bytes, &found);
        if let Some(other) = beside.take() {
            mistakes.count += other.count - 1;
            mistakes.text = format!("{}\n{}", other.text, mistakes.text);
        }
        mistakes
    })?;
    let (stack_path, stack_bytes) = stack_of.into_inner();
    let stack_dir = folder_of(&stack_path);
    let missing = match &drill {
        AnyDrill::Restore(drill) => play::programs(drill, &dir, &stack_dir),
        AnyDrill::Fault(drill) => adapters::own::fault::programs(drill, &dir, &stack_dir),
    };
    if !missing.is_empty() {
        let whole = |message: &String| Diagnostic {
            message: format!("a command cannot be run: {message}"),
            span: None,
            hint: Some(
                "commands are looked for in the folder of the file that names them, and on the PATH".into(),
            ),
        };
        let found: Vec<Diagnostic> = missing.iter().map(whole).collect();
        return Err(text(&input.path, &input.bytes, &found));
    }
    let overrides = changes.iter().map(|(path, value)| format!("{path}={value}")).collect();
    Ok(Loaded {
        drill,
        path: input.path.clone(),
        bytes: input.bytes.clone(),
        stack_bytes,
        dir,
        stack_dir,
        overrides,
    })
}

/// A file, and never more of it than is accepted.
fn bytes_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The mistakes of a stack's file.
pub(crate) fn check_stack(input: &Input) -> Result<(), Mistakes> {
    own::stack(&input.bytes).map(drop).map_err(|found| text(&input.path, &input.bytes, &found))
}

/// Reads a stack's file by itself.
pub(crate) fn read_stack(path: &Path) -> Result<Stack, Failure> {
    let bytes = bytes_of(path).map_err(|e| {
        let what = format!("`{}` cannot be read: {e}", path.display());
        Failure::usage(what, "name a stack file; `gameday init --endpoints` writes one to edit")
    })?;
    own::stack(&bytes).map_err(|found| {
        let mistakes = text(path, &bytes, &found);
        say::err(&mistakes.text);
        Failure::usage(format!("`{}` has mistakes", path.display()), "correct what is named above")
    })
}

/// The values of all variables that a drill needs.
pub(crate) fn secrets_of(loaded: &Loaded) -> Result<Arc<Secrets>, Failure> {
    loaded.drill.secrets().map(Arc::new).map_err(|missing| unset(&missing))
}

/// The value of a variable of gameday's own environment.
pub(crate) fn value_of(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Variables without a value, all at once.
pub(crate) fn unset(missing: &[String]) -> Failure {
    let s = if missing.len() == 1 { "a variable is" } else { "variables are" };
    Failure::usage(
        format!("{s} not set: {}", missing.join(", ")),
        "export them before: the files name them, and their values stand in no file of gameday's",
    )
}
