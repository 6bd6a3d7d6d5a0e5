//! From files to a drill that may be played: all mistakes at once.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::de::DeTable;

use super::{
    check,
    restore::{Kind, Restore},
    stack::{Canary, Component, Stack, Witness},
};
use crate::diagnose::{self, Diagnostic, Problem};

/// A restore drill and the stack that it is about.
#[derive(Clone, PartialEq, Debug)]
pub struct Drill {
    /// What is done.
    pub restore: Restore,
    /// On what.
    pub stack: Stack,
}

impl Drill {
    /// The component whose backup is restored.
    ///
    /// # Panics
    /// If the stack has none of this name: such a drill is refused when it is loaded.
    pub fn source(&self) -> &Component {
        self.stack
            .component
            .get(&self.restore.source)
            .expect("a drill without its source is refused when loaded")
    }

    /// The canaries of the source.
    pub fn canary(&self) -> Option<&Canary> {
        self.stack.canary.get(&self.restore.source)
    }

    /// What must come back, by name.
    pub fn witnesses(&self) -> impl Iterator<Item = (&String, &Witness)> {
        let wanted = |id: &String| self.restore.witness.is_empty() || self.restore.witness.contains(id);
        self.stack.witness.iter().filter(move |(id, w)| w.component == self.restore.source && wanted(id))
    }
}

/// Which kind of drill on somebody's own stack a file says that it is; `None` if it says nothing of it. What is no kind at
/// all is taken for a restore drill, whose reader says what there is. Who names a stack file has only forgotten the kind.
pub fn kind(bytes: &[u8]) -> Option<Kind> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (table, _) = DeTable::parse_recoverable(text);
    let table = table.get_ref();
    let fault = match table.get("kind") {
        Some(said) => said.get_ref().as_str() == Some("fault"),
        None if table.contains_key("stack_file") => table.contains_key("fault"),
        None => return None,
    };
    Some(if fault { Kind::Fault } else { Kind::Restore })
}

/// Keys that stand in stack files alone.
const OF_STACKS: [&str; 6] = ["component", "canary", "witness", "level", "allow", "alarm"];

/// Whether a file says that it is a stack.
pub fn is_stack(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let (table, _) = DeTable::parse_recoverable(text);
    let table = table.get_ref();
    let drill = ["kind", "stack_file", "stack", "fault", "recover"];
    OF_STACKS.iter().any(|k| table.contains_key(*k)) && !drill.iter().any(|k| table.contains_key(*k))
}

/// Reads a stack file.
///
/// # Errors
/// All mistakes of the file, in its order; never none.
pub fn stack(bytes: &[u8]) -> Result<Stack, Vec<Diagnostic>> {
    let (stack, ()) = diagnose::read(bytes, &[], |s| none(check::stack(s)))?;
    Ok(stack)
}

/// A kind of drill on somebody's own stack: its file, and the stack that it names.
pub(super) trait Written: Sized {
    /// What a person writes.
    type File: DeserializeOwned + JsonSchema;

    /// The stack file that it names.
    fn stack_file(file: &Self::File) -> &str;

    /// Both.
    fn of(file: Self::File, stack: Stack) -> Self;

    /// What types cannot see.
    fn mistakes(file: &Self::File, stack: &Stack) -> Vec<Problem>;

    /// Reads the file. `stack` is asked for the stack file that it names, and answers with why it cannot be had.
    fn read(
        bytes: &[u8],
        overrides: &[(String, String)],
        stack: impl Fn(&str) -> Result<Stack, String>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let compile = |file: &Self::File| {
            let stack = stack(Self::stack_file(file)).map_err(|why| {
                let hint = "write its place as seen from this file, such as \"../stack.toml\"".to_owned();
                vec![Problem { path: "stack_file".into(), message: why, hint: Some(hint) }]
            })?;
            none(Self::mistakes(file, &stack)).map(|()| stack)
        };
        let (file, stack) = diagnose::read(bytes, overrides, compile)?;
        Ok(Self::of(file, stack))
    }
}

impl Written for Drill {
    type File = Restore;

    fn stack_file(file: &Restore) -> &str {
        &file.stack_file
    }

    fn of(restore: Restore, stack: Stack) -> Drill {
        Drill { restore, stack }
    }

    fn mistakes(file: &Restore, stack: &Stack) -> Vec<Problem> {
        check::restore(file, stack)
    }
}

/// Reads a restore drill. `stack` is asked for the stack file that it names, and answers with why it cannot be had.
///
/// # Errors
/// All mistakes of the file, in its order; never none.
pub fn drill(
    bytes: &[u8],
    overrides: &[(String, String)],
    stack: impl Fn(&str) -> Result<Stack, String>,
) -> Result<Drill, Vec<Diagnostic>> {
    Drill::read(bytes, overrides, stack)
}

fn none(problems: Vec<Problem>) -> Result<(), Vec<Problem>> {
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
