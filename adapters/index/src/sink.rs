//! The bytes of a file on their way out: numbers, little-endian, gathered into pieces. No file is in memory as a whole.

use std::io::{self, Write};

/// Bytes written at a time.
const PIECE: usize = 1 << 20;
/// Values turned into bytes before the next look at the piece.
const VALUES: usize = 1 << 12;

/// Where a file's bytes go. What does not grow with the index is gathered without a look at the piece.
pub(crate) struct Sink<'a> {
    to: &'a mut dyn Write,
    piece: Vec<u8>,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(to: &'a mut dyn Write) -> Self {
        Self { to, piece: Vec::with_capacity(PIECE + 4 * VALUES) }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.piece.extend_from_slice(bytes);
    }

    pub(crate) fn int(&mut self, value: i32) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn number(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    /// A number of 64 bits.
    pub(crate) fn size(&mut self, value: usize) {
        self.bytes(&(value as u64).to_le_bytes());
    }

    pub(crate) fn items<const N: usize>(&mut self, items: impl Iterator<Item = [u8; N]>) -> io::Result<()> {
        for item in items {
            self.bytes(&item);
            self.look()?;
        }
        Ok(())
    }

    pub(crate) fn floats(&mut self, values: &[f32]) -> io::Result<()> {
        for values in values.chunks(VALUES) {
            let at = self.piece.len();
            self.piece.resize(at + size_of_val(values), 0);
            for (out, value) in self.piece[at..].as_chunks_mut().0.iter_mut().zip(values) {
                *out = value.to_le_bytes();
            }
            self.look()?;
        }
        Ok(())
    }

    /// Bytes of codes, as many as there are.
    pub(crate) fn codes(&mut self, codes: &[u8]) -> io::Result<()> {
        codes.chunks(PIECE).try_for_each(|codes| {
            self.bytes(codes);
            self.look()
        })
    }

    /// Writes the piece, if it is full.
    #[inline]
    pub(crate) fn look(&mut self) -> io::Result<()> {
        if self.piece.len() < PIECE {
            return Ok(());
        }
        self.to.write_all(&self.piece)?;
        self.piece.clear();
        Ok(())
    }

    /// Writes what is left.
    pub(crate) fn end(self) -> io::Result<()> {
        self.to.write_all(&self.piece)
    }
}

/// All that is written, in memory.
pub(crate) fn bytes(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes).expect("memory takes what it is given, or the process ends");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes.
    struct Disk(usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn three(to: &mut dyn Write, values: &[f32], codes: &[u8]) -> io::Result<()> {
        let mut out = Sink::new(to);
        out.number(7);
        out.floats(values)?;
        out.items(values.iter().map(|value| value.to_le_bytes()))?;
        out.codes(codes)?;
        out.end()
    }

    #[test]
    fn pieces_are_written_in_order_and_a_full_disk_is_heard_of() {
        let values: Vec<f32> = (0..400_000u32).map(|n| n as f32).collect();
        let codes = vec![5; 3 * PIECE / 2];
        let found = bytes(|to| three(to, &values, &codes));
        let floats: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert!(found == [&7u32.to_le_bytes()[..], &floats, &floats, &codes].concat());
        assert!(three(&mut Disk(found.len()), &values, &codes).is_ok());
        for room in [0, PIECE + 9, found.len() - 1] {
            let error = three(&mut Disk(room), &values, &codes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{room}");
        }
    }
}
