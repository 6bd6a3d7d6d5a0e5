//! Who does the heavy work of a build: the processor, or the OpenCL engine while it lives.
//!
//! Both find the same, bit by bit, so a device lost in the middle costs time and nothing else: what it did not answer is
//! asked of the processor, and the build goes on there.

use crate::bulk::assign::{self, Centres};
use crate::bulk::exact;
use crate::bulk::leaf::{self, Leaves};
use crate::bulk::rows::Rows;
use crate::engine::{BuildError, Engine, Progress, Ran};
use crate::opencl::{Lost, Remote};
use crate::tile::Tier;

/// The worker of one build.
pub(crate) struct Device {
    remote: Option<Remote>,
    /// Whether the engine has answered anything: one that was never asked built nothing.
    answered: bool,
    /// The processor's kernels.
    tier: &'static str,
    ran: Ran,
}

impl Device {
    /// The engine asked for, or the processor if it cannot be had.
    pub(crate) fn open(engine: Engine, progress: &mut Progress<'_>) -> Result<Self, BuildError> {
        let tier = Tier::detect().name();
        let ran = Ran { engine: Engine::Cpu, tier: tier.to_owned(), note: None, recall: None };
        let mut device = Self { remote: None, answered: false, tier, ran };
        if engine == Engine::OpenCl {
            match Remote::open(progress) {
                Ok(remote) => {
                    device.ran = Ran { engine, tier: remote.name().to_owned(), note: None, recall: None };
                    device.remote = Some(remote);
                }
                Err(lost) => device.go_on(lost)?,
            }
        }
        Ok(device)
    }

    /// What worked, for a report.
    pub(crate) fn ran(self) -> Ran {
        if self.remote.is_none() || self.answered {
            return self.ran;
        }
        let note = "opencl: there was nothing to ask it: so few vectors need no search for neighbours";
        Ran { engine: Engine::Cpu, tier: self.tier.to_owned(), note: Some(note.to_owned()), recall: None }
    }

    /// Tells what will be asked, so that it is compiled before memory is needed for anything else: `f` centres of each row
    /// of `dim` values, and maybe neighbours in leaves.
    pub(crate) fn prepare(
        &mut self,
        dim: usize,
        f: usize,
        leaves: bool,
        progress: &mut Progress<'_>,
    ) -> Result<(), BuildError> {
        match self.remote.as_mut().map(|remote| remote.prepare(dim, f, leaves, progress)) {
            Some(Err(lost)) => self.go_on(lost),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// See [`assign::nearest_centres`]; for all rows, and by differences where that will not do.
    pub(crate) fn nearest_centres(
        &mut self,
        rows: Rows<'_>,
        centres: Rows<'_>,
        f: usize,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<u32>, BuildError> {
        let all: Vec<u32> = (0..rows.len() as u32).collect();
        let found = self.fast_centres(rows, &all, centres, f, progress)?;
        if exact::will_do(rows, &all, centres, f, &found) {
            return Ok(found);
        }
        exact::nearest_centres(rows, centres, f, &mut progress.part(1.0, 1.0))
    }

    fn fast_centres(
        &mut self,
        rows: Rows<'_>,
        all: &[u32],
        centres: Rows<'_>,
        f: usize,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<u32>, BuildError> {
        if let Some(remote) = &mut self.remote {
            match remote.nearest_centres(rows, centres, &Centres::centre(centres), f, progress) {
                Ok(found) => {
                    self.answered = true;
                    return Ok(found);
                }
                Err(lost) => self.go_on(lost)?,
            }
        }
        assign::nearest_centres(rows, all, centres, f, progress)
    }

    /// See [`leaf::neighbours`].
    pub(crate) fn neighbours(
        &mut self,
        rows: Rows<'_>,
        leaves: &Leaves,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<u16>, BuildError> {
        if let Some(remote) = &mut self.remote {
            match remote.neighbours(rows, leaves, progress) {
                Ok(mut found) => {
                    self.answered = true;
                    leaf::mend(rows, leaves, &mut found, &mut progress.part(1.0, 1.0))?;
                    return Ok(found);
                }
                Err(lost) => self.go_on(lost)?,
            }
        }
        leaf::neighbours(rows, leaves, progress)
    }

    /// Goes on without the engine, unless nothing is to go on.
    fn go_on(&mut self, lost: Lost) -> Result<(), BuildError> {
        self.remote = None;
        match lost {
            Lost::Cancelled => Err(BuildError::Cancelled),
            Lost::Failed(why) => {
                let tier = self.tier.to_owned();
                self.ran =
                    Ran { engine: Engine::Cpu, tier, note: Some(format!("opencl: {why}")), recall: None };
                Ok(())
            }
        }
    }
}
