//! From files to a drill that may be played: all mistakes at once.

use toml::de::DeTable;

use super::{
    check,
    restore::Restore,
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

/// Whether a file says that it is a drill on somebody's own stack.
pub fn is_restore(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let (table, _) = DeTable::parse_recoverable(text);
    table.get_ref().contains_key("kind")
}

/// Whether a file says that it is a stack.
pub fn is_stack(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let (table, _) = DeTable::parse_recoverable(text);
    let table = table.get_ref();
    table.contains_key("component") && !table.contains_key("kind")
}

/// Reads a stack file.
///
/// # Errors
/// All mistakes of the file, in its order; never none.
pub fn stack(bytes: &[u8]) -> Result<Stack, Vec<Diagnostic>> {
    let (stack, ()) = diagnose::read(bytes, &[], |s| none(check::stack(s)))?;
    Ok(stack)
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
    let compile = |r: &Restore| {
        let stack = stack(&r.stack_file).map_err(|why| {
            let hint = "write its place as seen from this file, such as \"../stack.toml\"".to_owned();
            vec![Problem { path: "stack_file".into(), message: why, hint: Some(hint) }]
        })?;
        none(check::restore(r, &stack)).map(|()| stack)
    };
    let (restore, stack) = diagnose::read(bytes, overrides, compile)?;
    Ok(Drill { restore, stack })
}

fn none(problems: Vec<Problem>) -> Result<(), Vec<Problem>> {
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
