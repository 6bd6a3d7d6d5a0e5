//! `gameday-opencl`: what an OpenCL device can do of an index build, asked over standard input and output.
//!
//! A process of its own, for a driver may abort the one it is in, and for gameday must start where there is none.
//! Started by the crate `index`, which describes the conversation in its module `opencl`. It ends when its input ends.
//!
//! `device` picks and drives the device, `packed` lays out what a kernel reads, `programs` are made of `kernels`, `cache`
//! keeps them compiled.

mod cache;
mod device;
mod packed;
mod programs;

use device::{Device, Found};
use rustix::pipe::fcntl_setpipe_size;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{env, fs};

/// Numbers read or written at a time: they stay in the cache while they are turned into what is held.
const PIECE: usize = 1 << 16;
/// Bytes of a pipe: the most that Linux grants everybody.
const PIPE: usize = 1 << 20;
/// The argument of a process that starts over after it has compiled.
const PREPARED: &str = "prepared";
/// Bytes that a compiler may leave behind: starting over takes a tenth of a second.
const LEFT: usize = 64 << 20;
/// Rows that programs are tried with.
const TRIED: usize = 32;
/// Values of the longest row that programs are made for before there are rows.
const LONGEST: usize = 1 << 16;

/// What went wrong, for a person.
type Failure = Box<dyn std::error::Error>;

fn main() {
    // Longer pipes let both ends work at once; where they cannot be had, it takes a little longer.
    let _ = fcntl_setpipe_size(io::stdin(), PIPE);
    let _ = fcntl_setpipe_size(io::stdout(), PIPE);
    // The other end hears what happened; if it is gone, there is nobody to tell.
    let _ = converse(&mut BufReader::new(io::stdin().lock()), &mut io::stdout().lock());
}

fn converse(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    let mut device = match Device::open() {
        Ok(device) => device,
        Err(failure) => return refuse(output, &failure.to_string()),
    };
    // Who starts over was asked for something: that it is done is the answer, and all know its name.
    let prepared = env::args().nth(1).is_some_and(|word| word == PREPARED);
    answer(output, if prepared { &[] } else { device.name().as_bytes() })?;
    loop {
        let mut request = [0];
        if input.read(&mut request)? == 0 {
            return Ok(());
        }
        let done = match request[0] {
            b'P' => prepare(&mut device, input, prepared).map(|()| None),
            b'D' => hold(&mut device, input).map(|()| None),
            b'A' => assign(&mut device, input).map(Some),
            b'L' => leaves(&mut device, input).map(Some),
            b'N' => whole(&mut device, input).map(Some),
            other => Err(format!("there is no request {other}").into()),
        };
        match done {
            Ok(None) => answer(output, &[])?,
            Ok(Some(found)) => numbers_of(output, &found)?,
            // What was not read of the request would be taken for the next one.
            Err(failure) => return refuse(output, &failure.to_string()),
        }
    }
}

/// Compiles what a build will ask for, and runs it once. Compilers leave more memory behind than many an index takes, and
/// have no way to give it back: the process starts over, with what they made on disk.
fn prepare(device: &mut Device, input: &mut impl Read, prepared: bool) -> Result<(), Failure> {
    let (dim, f, leaves) = (number(input)? as usize, number(input)? as usize, number(input)? > 0);
    if !(1..=LONGEST).contains(&dim) {
        return Err(format!("rows have 1 to {LONGEST} values, not {dim}").into());
    }
    let before = resident();
    let (rows, centre) = (vec![1.0; TRIED * dim], vec![0.0; dim]);
    device.hold(dim, TRIED, &mut vec![0; 4 * rows.len()].as_slice())?;
    if f > 0 {
        device.assign(&rows, &centre, f)?;
    }
    if leaves {
        let members: Vec<u32> = (0..TRIED as u32).collect();
        device.leaves(&[0, TRIED as u32], &members, &[1.0], &centre)?;
    }
    device.hold(dim, 0, &mut io::empty())?;
    if !prepared && resident() > before + LEFT {
        // Where that fails there is less memory, and nothing else.
        if let Ok(program) = env::current_exe() {
            let _ = Command::new(program).arg(PREPARED).exec();
        }
    }
    Ok(())
}

/// Memory of this process, in bytes; 0 where the system does not say.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    kilobytes.unwrap_or(0) << 10
}

fn hold(device: &mut Device, input: &mut impl Read) -> Result<(), Failure> {
    let (dim, rows) = (number(input)? as usize, number(input)? as usize);
    device.hold(dim, rows, input)
}

fn assign(device: &mut Device, input: &mut impl Read) -> Result<Found, Failure> {
    let (f, k) = (number(input)? as usize, number(input)? as usize);
    let centres = floats(input, k * device.dim())?;
    let centre = floats(input, device.dim())?;
    device.assign(&centres, &centre, f)
}

fn leaves(device: &mut Device, input: &mut impl Read) -> Result<Found, Failure> {
    let leaves = number(input)? as usize;
    let starts = numbers(input, leaves + 1)?;
    let members = numbers(input, starts.last().map_or(0, |end| *end as usize))?;
    let scales = floats(input, leaves)?;
    let centres = floats(input, leaves * device.dim())?;
    device.leaves(&starts, &members, &scales, &centres)
}

fn whole(device: &mut Device, input: &mut impl Read) -> Result<Found, Failure> {
    let (dim, points, centres) = (number(input)? as usize, number(input)? as usize, number(input)? as usize);
    let whole = |of: Vec<u32>| of.into_iter().map(u32::cast_signed).collect::<Vec<i32>>();
    let points = whole(numbers(input, points.saturating_mul(dim))?);
    let centres = whole(numbers(input, centres.saturating_mul(dim))?);
    device.whole(dim, &points, &centres)
}

fn answer(output: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    reply(output, 0, bytes)
}

fn refuse(output: &mut impl Write, why: &str) -> io::Result<()> {
    reply(output, 1, why.as_bytes())
}

fn reply(output: &mut impl Write, status: u8, bytes: &[u8]) -> io::Result<()> {
    output.write_all(&[status])?;
    output.write_all(&(bytes.len() as u64).to_le_bytes())?;
    output.write_all(bytes)?;
    output.flush()
}

fn numbers_of(output: &mut impl Write, found: &Found) -> io::Result<()> {
    output.write_all(&[0])?;
    output.write_all(&(found.len() as u64 * 4).to_le_bytes())?;
    let (mut numbers, mut bytes) = (vec![0; PIECE], Vec::new());
    for at in (0..found.len()).step_by(PIECE) {
        let piece = &mut numbers[..PIECE.min(found.len() - at)];
        // The length is said already: an answer that ends early is none.
        found.read(at, piece).map_err(|failure| io::Error::other(failure.to_string()))?;
        bytes.resize(4 * piece.len(), 0);
        for (to, number) in bytes.as_chunks_mut().0.iter_mut().zip(&*piece) {
            *to = number.to_le_bytes();
        }
        output.write_all(&bytes)?;
    }
    output.flush()
}

fn number(input: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn numbers(input: &mut impl Read, count: usize) -> io::Result<Vec<u32>> {
    // Not allocated beforehand: the count is whatever the other side says.
    let mut found = Vec::new();
    let mut bytes = vec![0; 4 * count.min(PIECE)];
    while found.len() < count {
        let piece = &mut bytes[..4 * (count - found.len()).min(PIECE)];
        input.read_exact(piece)?;
        found.extend(piece.as_chunks().0.iter().map(|four| u32::from_le_bytes(*four)));
    }
    Ok(found)
}

fn floats(input: &mut impl Read, count: usize) -> io::Result<Vec<f32>> {
    Ok(numbers(input, count)?.into_iter().map(f32::from_bits).collect())
}
