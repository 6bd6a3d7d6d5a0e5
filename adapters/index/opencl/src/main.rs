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

/// Numbers read or written at a time: they stay in the cache while they are turned into what is held.
const PIECE: usize = 1 << 16;
/// Bytes of a pipe: the most that Linux grants everybody.
const PIPE: usize = 1 << 20;

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
    answer(output, device.name().as_bytes())?;
    loop {
        let mut request = [0];
        if input.read(&mut request)? == 0 {
            return Ok(());
        }
        let done = match request[0] {
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
