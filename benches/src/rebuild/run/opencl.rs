//! The OpenCL engine before it builds anything: whether it is there, on which device, and what its start takes.
//!
//! A cold start finds neither programs of ours nor those of the driver (`PoCL` keeps its own); the next one, in the same
//! folders, finds both. All of it is in every build time too.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    builder::{START, Started},
    child::{self, NoAnswer},
    rounds::{Work, parse},
};
use crate::rebuild::{Trouble, result::StartFigures};

/// An engine that answers.
#[derive(Debug, Clone)]
pub struct OpenCl {
    /// Its kernels and device, in its own words.
    pub device: String,
    /// What its start takes.
    pub start: StartFigures,
}

impl OpenCl {
    /// Whether its kernels use a processor's matrix unit: then an engine of floats alone is another one.
    pub fn matrix_unit(&self) -> bool {
        self.device.contains("int8")
    }

    /// Starts the engine so often for rows of `dim` values, each time cold and then cached.
    ///
    /// # Errors
    /// Within: why there is no engine. Without: a disk that is full, or a request to stop.
    pub fn find(
        (program, cache): (&Path, &Path),
        (dim, threads): (usize, u32),
        rounds: u32,
        limit: Duration,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Result<OpenCl, String>, Trouble> {
        let work = Work::new(cache)?;
        let mut start =
            StartFigures { dim: u32::try_from(dim).unwrap_or(u32::MAX), ..StartFigures::default() };
        let mut device = String::new();
        for round in 0..rounds.max(1) {
            let folder = work.0.join(format!("opencl-{round}"));
            for seconds in [&mut start.cold_seconds, &mut start.cached_seconds] {
                match once(program, &folder, dim, threads, limit, stopped) {
                    Ok(started) => {
                        seconds.push(started.seconds);
                        device = started.name;
                    }
                    Err(NoAnswer::Stopped) => return Err(Trouble::stopped()),
                    Err(NoAnswer::Failed(why)) => return Ok(Err(why)),
                }
            }
        }
        Ok(Ok(OpenCl { device, start }))
    }
}

fn once(
    program: &Path,
    folder: &Path,
    dim: usize,
    threads: u32,
    limit: Duration,
    stopped: &dyn Fn() -> bool,
) -> Result<Started, NoAnswer> {
    let mut command = Command::new(program);
    command.args([START, &dim.to_string(), &threads.to_string()]);
    let folders: [(&str, PathBuf); 2] =
        [("GAMEDAY_CACHE", folder.join("gameday")), ("POCL_CACHE_DIR", folder.join("pocl"))];
    command.envs(folders).env_remove("GAMEDAY_OPENCL_CACHE");
    parse(&child::run(command, limit, stopped)?.stdout)
}
