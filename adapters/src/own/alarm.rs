//! Alarms: a service that must be well before a drill begins, and one whose outage ends it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness::clock::Clock;
use harness::own::event::Asked;
use harness::own::stack::Stack;

use super::probe::Asker;
use super::secrets::Secrets;

/// How long a service must answer well before a drill begins.
const STEADY: Duration = Duration::from_secs(5);

/// Who asks on behalf of alarms.
#[derive(Debug, Clone)]
pub(super) struct Alarms<'a> {
    pub(super) stack: &'a Stack,
    pub(super) secrets: &'a Arc<Secrets>,
    /// The folder of the stack's file.
    pub(super) dir: &'a Path,
    pub(super) run: &'a str,
    pub(super) clock: Clock,
}

impl Alarms<'_> {
    pub(super) fn asker(&self, service: &str) -> Result<Asker, String> {
        let asker = Asker::new(self.stack, service, self.secrets, self.dir, self.run);
        asker.map_err(|why| format!("{service} cannot be asked: {why}"))
    }

    /// Waits until the service that has to be well was well for long enough. `record` writes answers down.
    ///
    /// # Errors
    /// Why the drill must not begin.
    pub(super) async fn may_begin(&self, record: impl Fn(Asked)) -> Result<(), String> {
        let Some(service) = &self.stack.alarm.forbid_start else { return Ok(()) };
        let asker = self.asker(service)?;
        let (steady_us, mut worst_us) = (STEADY.as_micros() as u64, 0);
        let enough = |bad_us: u64, asked_us: u64| {
            worst_us = worst_us.max(bad_us);
            worst_us > 0 || asked_us >= steady_us
        };
        drop(asker.watch(self.clock, |answer| record(answer.asked(service)), enough).await);
        match worst_us {
            0 => Ok(()),
            _ => Err(format!("{service} was not well before the drill: nothing was run")),
        }
    }

    /// Resolves when the run has to end, and says why; never without such an alarm. `record` writes answers down.
    pub(super) fn must_end(
        &self,
        record: impl Fn(Asked) + 'static,
    ) -> impl Future<Output = String> + 'static {
        let end = self.stack.alarm.end_run.clone();
        let asker = end.as_ref().map(|e| self.asker(&e.probe));
        let clock = self.clock;
        async move {
            match (end, asker) {
                (Some(end), Some(Ok(asker))) => {
                    let most_us = end.bad_for.us().max(1);
                    drop(
                        asker
                            .watch(clock, |a| record(a.asked(&end.probe)), |bad_us, _| bad_us >= most_us)
                            .await,
                    );
                    format!("{} was bad for {}", end.probe, end.bad_for)
                }
                (Some(_), Some(Err(why))) => why,
                _ => std::future::pending().await,
            }
        }
    }
}
