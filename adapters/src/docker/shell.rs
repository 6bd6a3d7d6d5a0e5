//! Commands inside a container, through the engine: the [`Shell`] of products that are operated from inside.

use async_trait::async_trait;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures::StreamExt;
use harness::shortage;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::Engine;
use crate::postgres::{Command, Output, Shell, ShellError};

/// What a command may write. One that writes more has failed: half of an archive is none.
const MOST: usize = 64 << 20;

/// Runs commands in one container, as one of its users.
#[derive(Debug, Clone)]
pub(super) struct Inside {
    pub(super) engine: Engine,
    pub(super) container: String,
    pub(super) user: &'static str,
}

impl Inside {
    async fn exec(&self, command: &Command) -> Result<Output, String> {
        let said = self.attached(command).await.inspect_err(|e| _ = shortage::notice_in(e));
        let said = said.map_err(|e| e.to_string())?;
        said.ok_or_else(|| format!("it wrote more than {} MiB", MOST >> 20))
    }

    /// Nothing, if it writes too much.
    async fn attached(&self, command: &Command) -> Result<Option<Output>, bollard::errors::Error> {
        let docker = self.engine.docker();
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            user: Some(self.user.to_owned()),
            cmd: Some(command.argv.clone()),
            ..Default::default()
        };
        let exec = docker.create_exec(&self.container, options).await?.id;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let started = docker.start_exec(&exec, None::<StartExecOptions>).await?;
        if let StartExecResults::Attached { mut output, mut input } = started {
            input.write_all(&command.stdin).await?;
            input.shutdown().await?;
            while let Some(said) = output.next().await {
                let (to, bytes) = match said? {
                    bollard::container::LogOutput::StdErr { message } => (&mut stderr, message),
                    said => (&mut stdout, said.into_bytes()),
                };
                if bytes.len() > MOST.saturating_sub(to.len()) {
                    return Ok(None);
                }
                to.extend_from_slice(&bytes);
            }
        }
        let code = docker.inspect_exec(&exec).await?.exit_code;
        // A command whose end nobody knows has not succeeded.
        let code = code.and_then(|code| i32::try_from(code).ok()).unwrap_or(-1);
        Ok(Some(Output { code, stdout, stderr }))
    }
}

#[async_trait]
impl Shell for Inside {
    async fn run(&self, command: Command) -> Result<Output, ShellError> {
        let program = || command.argv.first().cloned().unwrap_or_default();
        match timeout(command.limit, self.exec(&command)).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(why)) => Err(ShellError::NotRun { program: program(), why }),
            Err(_) => {
                let why = format!("it did not end within {:?}", command.limit);
                Err(ShellError::NotRun { program: program(), why })
            }
        }
    }
}
