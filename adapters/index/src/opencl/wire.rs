//! Numbers on their way to the engine, and what it answers: see the table in `opencl`.

use super::Lost;
use std::io::{self, Read, Write};
use std::process::ChildStdout;

/// Values that are sent or read at a time.
pub(super) const PIECE: usize = 1 << 16;

pub(super) fn numbers(to: &mut impl Write, numbers: impl IntoIterator<Item = u32>) -> io::Result<()> {
    numbers.into_iter().try_for_each(|number| to.write_all(&number.to_le_bytes()))
}

/// An answer as `read` takes it (`None`: it makes no sense), or the reason of a refusal.
pub(super) fn answer<T>(
    from: &mut ChildStdout,
    read: impl FnOnce(&mut io::Take<&mut ChildStdout>) -> io::Result<Option<T>>,
) -> io::Result<Result<Option<T>, String>> {
    let (mut status, mut len) = ([0], [0; 8]);
    from.read_exact(&mut status)?;
    from.read_exact(&mut len)?;
    let mut from = from.take(u64::from_le_bytes(len));
    if status == [0] { read(&mut from).map(Ok) } else { Ok(Err(name(&mut from)?.unwrap_or_default())) }
}

/// Words for a person: all of an answer.
pub(super) fn name(from: &mut io::Take<&mut ChildStdout>) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    // Not allocated beforehand: the length is whatever the other side says.
    from.read_to_end(&mut bytes)?;
    if from.limit() > 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// So many numbers, and nothing else.
pub(super) fn exactly(from: &mut io::Take<&mut ChildStdout>, count: usize) -> io::Result<Option<Vec<u32>>> {
    if from.limit() != count as u64 * 4 {
        return Ok(None);
    }
    let mut found = vec![0; count];
    let mut bytes = vec![0; 4 * count.min(PIECE)];
    for piece in found.chunks_mut(PIECE) {
        let bytes = &mut bytes[..4 * piece.len()];
        from.read_exact(bytes)?;
        for (number, four) in piece.iter_mut().zip(bytes.as_chunks().0) {
            *number = u32::from_le_bytes(*four);
        }
    }
    Ok(Some(found))
}

/// Numbers each of which passes.
pub(super) fn checked(numbers: Vec<u32>, pass: impl Fn(u32) -> bool) -> Result<Vec<u32>, Lost> {
    if numbers.iter().all(|&number| pass(number)) { Ok(numbers) } else { Err(senseless()) }
}

pub(super) fn senseless() -> Lost {
    Lost::Failed("its answer makes no sense".to_owned())
}
