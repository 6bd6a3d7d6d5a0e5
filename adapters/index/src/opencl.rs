//! The OpenCL engine from outside: a process, `gameday-opencl`, asked over its standard input and output.
//!
//! A request is a letter and what follows, all little-endian; counts are 32 bits wide.
//!
//! | letter | what follows | answer |
//! |---|---|---|
//! | `P` | dimension, `f`, whether leaves will be asked about | nothing: programs for such rows are compiled; none are held |
//! | `D` | dimension, rows, values | nothing: the rows are held for the next requests, those before are not |
//! | `A` | `f`, centres `k`, their values, the point all distances are measured from | `f` centres of each row |
//! | `L` | leaves, their `leaves + 1` starts, members, a scale and a point for each leaf | 4 places in the leaf of each member |
//! | `N` | dimension, points, centres, coordinates of both in whole numbers | the nearest centre of each point |
//!
//! An answer is a byte (0, or 1 for a refusal), a 64-bit length and so many bytes: numbers, or the reason. The process
//! greets with an answer too: its name. After a refusal, a late answer or a cancelled build it is killed.

mod wire;

use crate::bulk::leaf::{self, Grid, Leaves, NEAR, NOBODY};
use crate::bulk::rows::Rows;
use crate::engine::Progress;
use crate::hnsw;
use std::env;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use wire::{PIECE, answer, checked, exactly, name, numbers, senseless};

const PROGRAM: &str = "gameday-opencl";
/// Names the engine's program, where it does not lie beside this one.
const VARIABLE: &str = "GAMEDAY_OPENCL";
/// The compiler of a driver takes some 150 MB in small pieces; pages of 2 MB spare it one part in fifteen of its time, and
/// one arena spares us those of threads that hardly ask for memory.
const TUNABLES: (&str, &str) =
    ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1:glibc.malloc.top_pad=16777216:glibc.malloc.arena_max=1");
/// An answer later than this, in seconds, is none; `GAMEDAY_OPENCL_TIMEOUT` says otherwise.
const PATIENCE: u64 = 120;
/// Members of leaves that are asked about at a time: what is found takes some MB, on either side.
const MEMBERS: usize = 1 << 16;
/// How often a waiting build asks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);

/// Where a request is written to.
type To<'a> = BufWriter<&'a mut ChildStdin>;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The build was cancelled.
    Cancelled,
    /// The engine failed; the reason is for a person.
    Failed(String),
}

/// Where the engine's program is: where `GAMEDAY_OPENCL` says, or beside the running one.
pub fn program() -> Option<PathBuf> {
    if let Some(named) = env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        return Some(PathBuf::from(named));
    }
    let beside = env::current_exe().ok()?.with_file_name(PROGRAM).with_extension(env::consts::EXE_EXTENSION);
    beside.is_file().then_some(beside)
}

/// A running engine.
#[derive(Debug)]
pub(crate) struct Remote {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    name: String,
    patience: Duration,
    /// Which rows it holds: their dimension, how many values, and a mark of these.
    held: (usize, usize, u64),
}

impl Remote {
    pub(crate) fn open(progress: &mut Progress<'_>) -> Result<Self, Lost> {
        let program = program().ok_or_else(|| {
            Lost::Failed(format!(
                "there is no {PROGRAM} beside this program; build it with: cargo build --release -p index-opencl"
            ))
        })?;
        let mut command = Command::new(&program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        if env::var_os(TUNABLES.0).is_none() {
            command.env(TUNABLES.0, TUNABLES.1);
        }
        let mut child =
            command.spawn().map_err(|error| Lost::Failed(format!("cannot start {PROGRAM}: {error}")))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both were asked for")
        };
        let patience = env::var("GAMEDAY_OPENCL_TIMEOUT").ok().and_then(|text| text.parse().ok());
        let patience = Duration::from_secs(patience.unwrap_or(PATIENCE));
        let mut remote = Self { child, input, output, name: String::new(), patience, held: (0, 0, 0) };
        let name = remote.call(progress, |_| Ok(()), name)?;
        remote.name = name;
        Ok(remote)
    }

    /// Kernels and device, as the engine calls them.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Has everything compiled that a build of rows of `dim` values asks for: `f` centres of each (0: none), and maybe
    /// neighbours in leaves. While it holds no rows, for compilers need much memory.
    pub(crate) fn prepare(
        &mut self,
        dim: usize,
        f: usize,
        leaves: bool,
        progress: &mut Progress<'_>,
    ) -> Result<(), Lost> {
        self.held = (0, 0, 0);
        let request = |to: &mut To<'_>| {
            to.write_all(b"P")?;
            numbers(to, [dim as u32, f as u32, u32::from(leaves)])
        };
        self.call(progress, request, |from| exactly(from, 0)).map(drop)
    }

    pub(crate) fn nearest_centres(
        &mut self,
        rows: Rows<'_>,
        centres: Rows<'_>,
        centre: &[f32],
        f: usize,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<u32>, Lost> {
        self.hold(rows, progress)?;
        let request = |to: &mut To<'_>| {
            to.write_all(b"A")?;
            numbers(to, [f as u32, centres.len() as u32])?;
            numbers(to, centres.data.iter().chain(centre).map(|value| value.to_bits()))
        };
        let found = self.call(progress, request, |from| exactly(from, rows.len() * f))?;
        checked(found, |number| number < centres.len() as u32)
    }

    /// The rows are not held any more when it is done: no build asks about them again.
    pub(crate) fn neighbours(
        &mut self,
        rows: Rows<'_>,
        leaves: &Leaves,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<u16>, Lost> {
        self.hold(rows, progress)?;
        let grids = leaf::grids(rows, leaves, &mut progress.part(0.0, 0.0)).map_err(|_| Lost::Cancelled)?;
        let mut found = vec![NOBODY; leaves.members.len() * NEAR];
        let done = |start: usize| start as f32 / leaves.members.len().max(1) as f32;
        for group in leaves.groups(MEMBERS) {
            let starts = &leaves.starts[group.start..=group.end];
            let (from, to) = (starts[0], starts[group.len()]);
            let (members, places) = (&leaves.members[from..to], &mut found[from * NEAR..to * NEAR]);
            self.in_leaves(starts, members, &grids[group], places, &mut progress.part(done(from), done(to)))?;
        }
        self.release(&mut progress.part(1.0, 1.0))?;
        Ok(found)
    }

    /// The same for leaves that start and end at `starts`, all of whose `members` these are.
    fn in_leaves(
        &mut self,
        starts: &[usize],
        members: &[u32],
        grids: &[Grid],
        out: &mut [u16],
        progress: &mut Progress<'_>,
    ) -> Result<(), Lost> {
        let request = |to: &mut To<'_>| {
            to.write_all(b"L")?;
            numbers(to, [starts.len() as u32 - 1])?;
            numbers(to, starts.iter().map(|start| (start - starts[0]) as u32))?;
            numbers(to, members.iter().copied())?;
            numbers(to, grids.iter().map(|grid| grid.scale.to_bits()))?;
            grids.iter().try_for_each(|grid| numbers(to, grid.origin.iter().map(|value| value.to_bits())))
        };
        let places = self.call(progress, request, |from| exactly(from, out.len()))?;
        let sizes = starts.windows(2).map(|pair| pair[1] - pair[0]);
        let size_of_each = sizes.flat_map(|size| std::iter::repeat_n(size, size * NEAR));
        for ((out, place), size) in out.iter_mut().zip(places).zip(size_of_each) {
            *out = match place {
                u32::MAX => NOBODY,
                place if (place as usize) < size => place as u16,
                _ => return Err(Lost::Failed("it named somebody outside of a leaf".to_owned())),
            };
        }
        Ok(())
    }

    /// Gives back the memory of the rows: what comes next needs its own.
    fn release(&mut self, progress: &mut Progress<'_>) -> Result<(), Lost> {
        self.held = (0, 0, 0);
        let request = |to: &mut To<'_>| {
            to.write_all(b"D")?;
            numbers(to, [1, 0])
        };
        self.call(progress, request, |from| exactly(from, 0)).map(drop)
    }

    /// Sends the rows, unless it has them.
    fn hold(&mut self, rows: Rows<'_>, progress: &mut Progress<'_>) -> Result<(), Lost> {
        let these = (rows.dim, rows.data.len(), mark(rows.data));
        if self.held == these {
            return Ok(());
        }
        self.held = (0, 0, 0);
        let request = |to: &mut To<'_>| {
            to.write_all(b"D")?;
            numbers(to, [rows.dim as u32, rows.len() as u32])?;
            let mut bytes = Vec::new();
            rows.data.chunks(PIECE).try_for_each(|piece| {
                bytes.resize(4 * piece.len(), 0);
                for (to, value) in bytes.as_chunks_mut().0.iter_mut().zip(piece) {
                    *to = value.to_le_bytes();
                }
                to.write_all(&bytes)
            })
        };
        self.call(progress, request, |from| exactly(from, 0))?;
        self.held = these;
        Ok(())
    }

    /// Sends a request and waits for its answer, as long as the build is wanted and time is left. `read` takes the bytes
    /// of an answer that is no refusal.
    fn call<T: Send>(
        &mut self,
        progress: &mut Progress<'_>,
        request: impl FnOnce(&mut To<'_>) -> io::Result<()> + Send,
        read: impl FnOnce(&mut io::Take<&mut ChildStdout>) -> io::Result<Option<T>> + Send,
    ) -> Result<T, Lost> {
        let Self { child, input, output, patience, .. } = self;
        let deadline = Instant::now() + *patience;
        thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            scope.spawn(move || {
                let mut to = BufWriter::with_capacity(1 << 20, input);
                let sent = request(&mut to).and_then(|()| to.flush());
                // A refusal may come before the request was read to its end, and says more than the broken pipe.
                let answer = answer(output, read);
                let _ = tell.send(match (sent, answer) {
                    (Ok(()), answer) | (Err(_), answer @ Ok(Err(_))) => answer,
                    (Err(error), _) => Err(error),
                });
            });
            loop {
                let lost = match told.recv_timeout(LOOK) {
                    Ok(Ok(Ok(Some(answer)))) => return Ok(answer),
                    Ok(Ok(Ok(None))) => senseless(),
                    Ok(Ok(Err(refusal))) => Lost::Failed(refusal),
                    Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => gone(child),
                    Err(RecvTimeoutError::Timeout) if progress.at(0, 1).is_err() => Lost::Cancelled,
                    Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => continue,
                    Err(RecvTimeoutError::Timeout) => {
                        Lost::Failed(format!("{PROGRAM} did not answer within {} s", patience.as_secs()))
                    }
                };
                // Its pipes end with it, and so does the thread that waits for them.
                let _ = child.kill();
                return Err(lost);
            }
        })
    }
}

/// An engine whose pipes have ended has ended itself, or is made to.
fn gone(child: &mut Child) -> Lost {
    let _ = child.kill();
    let how = match child.wait() {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    Lost::Failed(format!("{PROGRAM} is gone: {how}"))
}

/// An engine for whole numbers: what it finds is exact, and the same on every device.
#[derive(Debug)]
pub struct Whole(Remote);

impl Whole {
    /// Starts an engine.
    ///
    /// # Errors
    /// Why there is none, for a person.
    pub fn open() -> Result<Self, String> {
        uncancelled(Remote::open).map(Self)
    }

    /// The device, as the engine calls it.
    pub fn device(&self) -> &str {
        // Kernels come first, and are others than these.
        self.0.name().split_once(" on ").map_or(self.0.name(), |(_, device)| device)
    }

    /// For each point the first of its nearest centres; both are rows of `dim` coordinates of at most 2^24. An answer
    /// later than `limit` is none.
    ///
    /// # Errors
    /// Why there is no answer. Such an engine answers nothing any more.
    pub fn nearest(
        &mut self,
        dim: usize,
        points: &[i32],
        centres: &[i32],
        limit: Duration,
    ) -> Result<Vec<u32>, String> {
        let (dim, of) = (dim.max(1), |all: &[i32]| (all.len() / dim.max(1)) as u32);
        let (n, k) = (of(points), of(centres));
        self.0.patience = limit;
        self.0.held = (0, 0, 0);
        uncancelled(|progress| {
            let request = |to: &mut To<'_>| {
                to.write_all(b"N")?;
                numbers(to, [dim as u32, n, k])?;
                let rows = points[..n as usize * dim].iter().chain(&centres[..k as usize * dim]);
                numbers(to, rows.map(|x| x.cast_unsigned()))
            };
            let found = self.0.call(progress, request, |from| exactly(from, n as usize))?;
            checked(found, |number| number < k)
        })
    }
}

/// Calls an engine on behalf of nobody who could change their mind.
fn uncancelled<T>(call: impl FnOnce(&mut Progress<'_>) -> Result<T, Lost>) -> Result<T, String> {
    let mut on = |_| ControlFlow::Continue(());
    call(&mut Progress::new(&mut on)).map_err(|lost| match lost {
        Lost::Failed(why) => why,
        Lost::Cancelled => unreachable!("nobody cancels"),
    })
}

/// What an engine does before it can answer the first build, and how long that takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Kernels and device, as the engine calls them.
    pub name: String,
    /// Until its process has found the device.
    pub device: Duration,
    /// From there until every program of a build of rows of that dimension has been compiled, or read from the cache,
    /// and has run once.
    pub programs: Duration,
}

/// Starts an engine, lets it answer the least that the build of a graph asks, and ends it.
///
/// # Errors
/// Why there is no engine, for a person.
pub fn start(dim: usize, ef_construction: u32) -> Result<Start, String> {
    uncancelled(|progress| tried(dim.max(1), hnsw::leaves(ef_construction), progress))
}

fn tried(dim: usize, f: usize, progress: &mut Progress<'_>) -> Result<Start, Lost> {
    let began = Instant::now();
    let mut remote = Remote::open(progress)?;
    let device = began.elapsed();
    remote.prepare(dim, f, true, progress)?;
    let data: Vec<f32> = (0..32 * dim).map(|at| (at % 31) as f32).collect();
    let rows = Rows { dim, data: &data };
    let centre = vec![0.0; dim];
    remote.nearest_centres(rows, rows, &centre, f, progress)?;
    let leaves = Leaves { starts: vec![0, 32], members: (0..32).collect() };
    remote.neighbours(rows, &leaves, progress)?;
    Ok(Start { name: remote.name().to_owned(), device, programs: began.elapsed() - device })
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A mark of some values: other values have another one. Where they lie in memory says nothing, for it is used again.
fn mark(values: &[f32]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut lanes = [1u64, 2, 3, 4, 5, 6, 7, 8];
    for values in values.chunks(lanes.len()) {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *lane = (lane.rotate_left(29) ^ u64::from(value.to_bits())).wrapping_mul(ODD);
        }
    }
    lanes.iter().fold(values.len() as u64, |mark, lane| (mark.rotate_left(23) ^ lane).wrapping_mul(ODD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_differ_where_values_do() {
        let values: Vec<f32> = (0..37u16).map(f32::from).collect();
        assert_eq!(mark(&values), mark(&values.clone()));
        for at in 0..values.len() {
            let mut other = values.clone();
            other[at] += 0.5;
            assert_ne!(mark(&other), mark(&values), "{at}");
            other[at] = values[at];
            other.swap(at, (at + 8) % values.len());
            assert_ne!(mark(&other), mark(&values), "{at} in another place");
        }
        assert_ne!(mark(&values[1..]), mark(&values));
        assert_ne!(mark(&[0.0]), mark(&[-0.0]), "bits count, not values");
        assert_ne!(mark(&[0.0; 8]), mark(&[0.0; 16]));
    }
}
