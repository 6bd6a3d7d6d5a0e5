//! The seam through which commands run inside a node: in a container by its engine, in tests as child processes.

use std::fmt::{self, Debug, Display};
use std::time::Duration;

use async_trait::async_trait;

/// What a command may take, unless it says more.
const LIMIT: Duration = Duration::from_secs(60);
/// Of what a failed command says, this much is told.
const TOLD: usize = 2_000;

/// A program with its arguments, and what it reads.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// The program, then its arguments.
    pub argv: Vec<String>,
    /// Its standard input; it may hold a secret.
    pub stdin: Vec<u8>,
    /// When it is given up.
    pub limit: Duration,
}

impl Command {
    /// A program without arguments.
    pub fn new(program: impl Into<String>) -> Self {
        Self { argv: vec![program.into()], stdin: Vec::new(), limit: LIMIT }
    }

    /// A few words of the shell, which sees the arguments as `$1`, `$2`, ...
    pub fn script<'a>(script: &str, args: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new("/bin/sh").args(["-c", script, "sh"]).args(args)
    }

    /// With more arguments.
    #[must_use]
    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.argv.extend(args.into_iter().map(str::to_owned));
        self
    }

    /// With something to read.
    #[must_use]
    pub fn reads(mut self, stdin: impl Into<Vec<u8>>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// With another limit.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

impl Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").field("argv", &self.argv).field("stdin", &self.stdin.len()).finish()
    }
}

impl Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.argv.join(" "))
    }
}

/// What a command that ended left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// Its exit code.
    pub code: i32,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it complained of.
    pub stderr: Vec<u8>,
}

/// Why there is no output, or none that was hoped for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ShellError {
    /// The command could not be run, or nobody knows how it ended.
    #[error("{program} did not run: {why}")]
    NotRun {
        /// The program.
        program: String,
        /// Why.
        why: String,
    },
    /// It ran, and failed.
    #[error("{program} failed with code {code}: {said}")]
    Failed {
        /// The program.
        program: String,
        /// Its exit code.
        code: i32,
        /// The end of what it said.
        said: String,
    },
}

/// Runs commands inside one node, as the user who runs its server.
#[async_trait]
pub trait Shell: Send + Sync + Debug {
    /// Runs a command to its end, within its limit.
    ///
    /// # Errors
    /// [`ShellError::NotRun`]. A command that fails is none.
    async fn run(&self, command: Command) -> Result<Output, ShellError>;
}

/// Runs a command that has to succeed.
pub(super) async fn must(shell: &dyn Shell, command: Command) -> Result<Vec<u8>, ShellError> {
    let program = command.argv.first().cloned().unwrap_or_default();
    let output = shell.run(command).await?;
    match output.code {
        0 => Ok(output.stdout),
        code => Err(ShellError::Failed { program, code, said: said(&output) }),
    }
}

/// The end of what a command said.
fn said(output: &Output) -> String {
    let bytes = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TOLD)..]).into_owned();
    text.trim().to_owned()
}
