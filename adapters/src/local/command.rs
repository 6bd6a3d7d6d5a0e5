//! The user's own command: a process group of its own in the run's folder, ended when nobody waits for it any more.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use harness::ports::Effect;

use super::proc::{Exit, Proc};

/// How much of what a command said goes into the journal.
const TAIL: u64 = 2 << 10;

/// Waits for a command's end. Dropping this kills the command and what it started.
pub(crate) async fn finish(mut command: Proc, log: &Path) -> Effect {
    // It is to find an end of input, not a pipe that stays open.
    command.cut_lifeline();
    let exit = command.wait_exit().await;
    let said = tail(log);
    let text = match said.trim() {
        "" => format!("{exit}, and said nothing"),
        said => format!("{exit}; it said: {said}"),
    };
    if exit == Exit::Code(0) { Effect::observed(text) } else { Effect::failed(text) }
}

/// The end of a log, as text.
pub(super) fn tail(log: &Path) -> String {
    let read = || {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut end = Vec::new();
        file.take(TAIL).read_to_end(&mut end)?;
        std::io::Result::Ok(end)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}
