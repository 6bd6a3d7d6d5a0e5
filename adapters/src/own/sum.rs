//! Many lines as one figure that does not depend on their order, in little memory: see [`Sum`].

use harness::own::event::Sum;
use sha2::{Digest as _, Sha256};

/// Lines that are longer are refused: they would not fit into memory.
const LINE_MAX: usize = 64 << 20;

/// Adds lines up.
#[derive(Debug)]
pub struct Summer {
    groups: Vec<(u64, [u64; 4])>,
    rows: u64,
    bytes: u64,
    /// The line that has begun.
    line: Vec<u8>,
}

impl Default for Summer {
    fn default() -> Self {
        Summer { groups: vec![(0, [0; 4]); usize::from(Sum::GROUPS)], rows: 0, bytes: 0, line: Vec::new() }
    }
}

impl Summer {
    /// Takes a piece of the text, which may end anywhere.
    ///
    /// # Errors
    /// If a line is too long.
    pub fn feed(&mut self, mut piece: &[u8]) -> Result<(), String> {
        while let Some(end) = piece.iter().position(|b| *b == b'\n') {
            if self.line.is_empty() {
                self.line(&piece[..end]);
            } else {
                self.line.extend_from_slice(&piece[..end]);
                let line = std::mem::take(&mut self.line);
                self.line(&line);
                self.line = line;
                self.line.clear();
            }
            piece = &piece[end + 1..];
        }
        if self.line.len() + piece.len() > LINE_MAX {
            return Err(format!("a line of it is longer than {} MiB", LINE_MAX >> 20));
        }
        self.line.extend_from_slice(piece);
        Ok(())
    }

    /// Adds one line.
    pub fn line(&mut self, line: &[u8]) {
        let hash = Sha256::digest(line);
        let group = usize::from(u16::from_be_bytes([hash[0], hash[1]]) % Sum::GROUPS);
        let (count, sum) = &mut self.groups[group];
        *count += 1;
        add(sum, &hash);
        self.rows += 1;
        self.bytes += line.len() as u64 + 1;
    }

    /// The figure. A last line that was not ended counts as one.
    pub fn end(mut self) -> Sum {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.line(&line);
        }
        let groups = self.groups.iter().enumerate().filter(|(_, (count, _))| *count > 0);
        let groups = groups.map(|(i, (count, sum))| (i as u16, *count, hex(sum)));
        Sum { rows: self.rows, bytes: self.bytes, groups: groups.collect() }
    }
}

/// Addition modulo 2^256, the least word first.
fn add(sum: &mut [u64; 4], hash: &[u8]) {
    let mut carry = false;
    for (word, bytes) in sum.iter_mut().zip(hash.rchunks_exact(8)) {
        let bytes: [u8; 8] = bytes.try_into().expect("chunks of eight have eight bytes");
        let (with, over) = word.overflowing_add(u64::from_be_bytes(bytes));
        let (with, over2) = with.overflowing_add(u64::from(carry));
        (*word, carry) = (with, over || over2);
    }
}

fn hex(sum: &[u64; 4]) -> String {
    sum.iter().rev().map(|word| format!("{word:016x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(text: &[u8], pieces: usize) -> Sum {
        let mut summer = Summer::default();
        text.chunks(pieces.max(1)).for_each(|p| summer.feed(p).unwrap());
        summer.end()
    }

    proptest! {
        #[test]
        fn order_and_pieces_do_not_matter(mut lines in prop::collection::vec("[a-z]{0,9}", 1..60), cut in 1usize..40) {
            let text = |lines: &[String]| lines.iter().map(|l| format!("{l}\n")).collect::<String>();
            let first = sum(text(&lines).as_bytes(), 1 << 20);
            prop_assert!(first.is_whole());
            prop_assert_eq!(&sum(text(&lines).as_bytes(), cut), &first);
            lines.reverse();
            prop_assert_eq!(&sum(text(&lines).as_bytes(), cut), &first);
        }

        #[test]
        fn one_line_more_less_or_changed_is_seen(lines in prop::collection::vec("[a-z]{1,9}", 1..60), at in 0usize..60) {
            let text = |lines: &[String]| lines.iter().map(|l| format!("{l}\n")).collect::<String>();
            let first = sum(text(&lines).as_bytes(), 64);
            let at = at % lines.len();
            let (mut less, mut more, mut other) = (lines.clone(), lines.clone(), lines.clone());
            more.push(lines[at].clone());
            less.remove(at);
            other[at].push('!');
            for changed in [less, more, other] {
                let now = sum(text(&changed).as_bytes(), 64);
                prop_assert_ne!(&now, &first);
                prop_assert!(first.differs_at_least(&now) >= 1);
                prop_assert!(first.same_rows(&now) < first.rows.max(now.rows));
            }
        }
    }

    #[test]
    fn sums_carry_over_all_words() {
        let mut sum = [u64::MAX; 4];
        let mut one = [0u8; 32];
        one[31] = 1;
        add(&mut sum, &one);
        assert_eq!(sum, [0; 4]);
        // SHA-256 of "abc", FIPS 180-2 appendix B.1: one line is its own sum.
        let mut summer = Summer::default();
        summer.feed(b"abc").unwrap();
        assert_eq!(
            summer.end().groups[0].2,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn an_empty_text_has_no_lines_and_an_empty_line_is_one() {
        assert_eq!(sum(b"", 1).rows, 0);
        assert_eq!(sum(b"\n", 1).rows, 1);
        assert_eq!(sum(b"a\nb", 1).rows, 2);
    }
}
