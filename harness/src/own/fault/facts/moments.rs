//! When things happened in a fault drill: its first fault, strikes, the end of watching; and what is still broken.

use super::{At, Facts, NOTICED, ProbeRecord, Witnessed};
use crate::own::fault::{
    FaultStep,
    event::{Command, Look, Pass, Ran, Stage, Task},
};

impl Facts {
    /// How long answers are waited for when watching has stopped.
    pub(super) fn drain_us(&self) -> u64 {
        let probes = self.drill.services().map(|(_, s)| s.probe.timeout.us() + s.probe.every.us());
        probes.max().unwrap_or(0)
    }

    /// A fault by its name.
    pub fn fault(&self, name: &str) -> Option<&FaultStep> {
        self.drill.fault.fault.iter().find(|f| f.name == name)
    }

    /// A command that has ended.
    pub fn ended(&self, task: Task, step: &str) -> Option<&At<Ran>> {
        self.ran.get(&Command { task, step: step.to_owned() })
    }

    /// When the first fault was issued.
    pub fn t0_us(&self) -> Option<u64> {
        let injected =
            |f: &FaultStep| self.started.get(&Command { task: Task::Inject, step: f.name.clone() });
        self.drill.fault.fault.iter().filter_map(injected).map(|s| s.at_us).min()
    }

    /// When a fault was seen to have struck: by `observe`, or by users if that came too late.
    pub fn struck_us(&self, fault: &str) -> Option<u64> {
        let look = self.looked.get(&(fault.to_owned(), Look::Struck))?;
        let ran = self.ended(Task::Inject, fault).filter(|r| r.is.code == Some(0))?;
        let seen = match look.is.there {
            Some(there) => there || self.noticed(fault).is_some(),
            None => false,
        };
        seen.then_some(look.at_us.max(ran.at_us))
    }

    /// The first of several bad answers of a service that uses what a fault broke, asked since it was issued and known when it
    /// was looked: the service, when it was asked, and the event. Nobody, where another fault had been begun: it may have been
    /// that one.
    pub fn noticed(&self, fault: &str) -> Option<(&String, u64, u64)> {
        let began = self.started.get(&Command { task: Task::Inject, step: fault.to_owned() })?;
        let faults = self.started.iter().filter(|(c, _)| c.task == Task::Inject);
        if faults.filter(|(_, s)| s.seq < began.seq).count() > 0 {
            return None;
        }
        let look = self.looked.get(&(fault.to_owned(), Look::Struck))?;
        let component = &self.fault(fault)?.component;
        let bad = self.drill.detectors(Some(component)).into_iter().filter_map(|id| {
            let bad = |p: &&ProbeRecord| !p.good && p.due_us >= began.at_us && p.done_us <= look.at_us;
            let all: Vec<&ProbeRecord> = self.services.get(id)?.probes.iter().filter(bad).collect();
            let first = all.iter().min_by_key(|p| p.due_us).filter(|_| all.len() >= NOTICED)?;
            Some((id, first.due_us, first.seq))
        });
        bad.min_by_key(|(_, due_us, _)| *due_us)
    }

    /// When the last one was; absent while one is not.
    pub fn last_strike_us(&self) -> Option<u64> {
        let all: Option<Vec<u64>> = self.drill.fault.fault.iter().map(|f| self.struck_us(&f.name)).collect();
        all?.into_iter().max()
    }

    /// When watching stopped: probes after this count for nothing.
    pub fn watched_until_us(&self) -> u64 {
        self.stages.iter().find(|(s, _)| *s > Stage::Storm).map_or(self.end_us, |(_, at)| *at)
    }

    /// When a stage began.
    pub fn entered_us(&self, stage: Stage) -> Option<u64> {
        self.stages.iter().find(|(s, _)| *s == stage).map(|(_, at)| *at)
    }

    /// The reading of a witness.
    pub fn witnessed(&self, pass: Pass, witness: &str) -> Option<&At<Witnessed>> {
        self.witnessed.get(&(pass, witness.to_owned()))
    }

    /// Faults that were begun and were never seen to be gone after their undo.
    pub fn open(&self) -> Vec<&FaultStep> {
        let injected =
            |f: &&FaultStep| self.started.contains_key(&Command { task: Task::Inject, step: f.name.clone() });
        let gone = |f: &&FaultStep| {
            let look = self.looked.get(&(f.name.clone(), Look::Gone));
            look.is_some_and(|l| l.is.there == Some(false))
        };
        self.drill.fault.fault.iter().filter(injected).filter(|f| !gone(f)).collect()
    }
}
