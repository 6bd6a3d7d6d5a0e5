//! Rows of numbers in files: plain little-endian, read and written in pieces so that memory holds them once.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A piece that is a multiple of every element's size.
const PIECE: usize = 1 << 18;

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Length in bytes.
    pub bytes: u64,
    /// Of these bytes, in hexadecimal.
    pub sha256: String,
}

/// All values of a file of `f32`.
///
/// # Errors
/// What the system said, or a length that is no multiple of four.
pub fn read_rows(path: &Path) -> io::Result<Vec<f32>> {
    read(path, f32::from_le_bytes)
}

/// All values of a file of IEEE half precision, made wider.
pub(super) fn read_halves(path: &Path) -> io::Result<Vec<f32>> {
    read(path, |b: [u8; 2]| half(u16::from_le_bytes(b)))
}

fn read<const N: usize>(path: &Path, value: impl Fn([u8; N]) -> f32) -> io::Result<Vec<f32>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if !length.is_multiple_of(N as u64) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{length} bytes are no rows")));
    }
    let count = usize::try_from(length / N as u64).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut values = Vec::with_capacity(count);
    let mut reader = BufReader::with_capacity(PIECE, file).take(length);
    let mut piece = vec![0; PIECE];
    while values.len() < count {
        let wanted = (count - values.len()).saturating_mul(N).min(PIECE);
        reader.read_exact(&mut piece[..wanted])?;
        values.extend(piece[..wanted].as_chunks::<N>().0.iter().map(|b| value(*b)));
    }
    Ok(values)
}

/// Half precision to single, exactly.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let fraction = u32::from(bits) & 0x3ff;
    let value = match exponent {
        // A multiple of 2^-24, which single precision holds exactly.
        0 => return f32::from_bits(sign | (fraction as f32 / 16_777_216.0).to_bits()),
        0x1f => 0xff << 23,
        e => (e + 112) << 23,
    };
    f32::from_bits(sign | value | (fraction << 13))
}

pub(super) fn write_rows(path: &Path, values: &[f32]) -> io::Result<Written> {
    write(path, values, |x| x.to_le_bytes())
}

pub(super) fn write_i32(path: &Path, values: &[i32]) -> io::Result<Written> {
    write(path, values, |x| x.to_le_bytes())
}

/// What [`write_rows`] would answer, without a file.
pub(super) fn written(values: &[f32]) -> Written {
    let mut sum = Sha256::new();
    for piece in values.chunks(PIECE / 4) {
        let piece: Vec<u8> = piece.iter().flat_map(|v| v.to_le_bytes()).collect();
        sum.update(&piece);
    }
    Written { bytes: values.len() as u64 * 4, sha256: text(&sum.finalize()) }
}

fn write<T: Copy>(path: &Path, values: &[T], bytes: impl Fn(T) -> [u8; 4]) -> io::Result<Written> {
    let mut out = BufWriter::with_capacity(PIECE, File::create(path)?);
    let mut sum = Sha256::new();
    for piece in values.chunks(PIECE / 4) {
        let piece: Vec<u8> = piece.iter().flat_map(|v| bytes(*v)).collect();
        sum.update(&piece);
        out.write_all(&piece)?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(Written { bytes: values.len() as u64 * 4, sha256: text(&sum.finalize()) })
}

/// Length and digest of a file.
///
/// # Errors
/// What the system said.
pub fn sha256_of(path: &Path) -> io::Result<Written> {
    let mut file = File::open(path)?;
    let (mut sum, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
    loop {
        let n = file.read(&mut piece)?;
        if n == 0 {
            return Ok(Written { bytes, sha256: text(&sum.finalize()) });
        }
        bytes += n as u64;
        sum.update(&piece[..n]);
    }
}

/// The digest of some bytes, in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    text(&Sha256::digest(bytes))
}

fn text(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn rows_read_back_as_they_were_written_and_their_digest_is_that_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        for n in [0, 1, 70_000] {
            let values: Vec<f32> = (0..n).map(|i| i as f32 / 3.0).collect();
            let written = write_rows(&path, &values).unwrap();
            assert_eq!(read_rows(&path).unwrap(), values);
            assert_eq!(sha256_of(&path).unwrap(), written);
            assert_eq!(super::written(&values), written);
        }
        fs::write(&path, [1, 2, 3]).unwrap();
        assert!(read_rows(&path).unwrap_err().to_string().contains("no rows"));
        assert!(read_rows(&folder.path().join("none")).is_err());
    }

    #[test]
    fn half_precision_is_exact() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65_504.0),
            (0x0400, 6.103_515_6e-5),
            (0x0001, 5.960_464_5e-8),
            (0x83ff, -6.097_555e-5),
            (0x3555, 0.333_251_95),
        ] {
            assert_eq!(half(bits), value, "{bits:#06x}");
        }
        assert!(half(0x7c00).is_infinite() && half(0x7e00).is_nan());
    }
}
