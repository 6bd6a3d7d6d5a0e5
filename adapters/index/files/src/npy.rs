//! NumPy's `.npy`: magic bytes, version, the length of a header, and the header: a Python dictionary, such as
//! `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`. Then the values.

use crate::input::{Input, Stored};
use crate::{FileError, Found};

const MAGIC: [u8; 6] = *b"\x93NUMPY";

/// A header longer than this is of a record with thousands of fields, or garbage.
const LONGEST: u64 = 1 << 16;

/// What stands before the values.
pub(crate) struct Header {
    /// The type of a value, by NumPy's name.
    pub(crate) kind: String,
    pub(crate) shape: Vec<u64>,
    fortran: bool,
    /// Where the values begin.
    pub(crate) at: u64,
}

pub(crate) fn read(input: &Input) -> Result<Found, FileError> {
    let header = Header::read(input)?;
    let stored = match header.kind.as_str() {
        "<f2" => Stored::F16,
        "<f4" => Stored::F32,
        "<f8" => Stored::F64,
        other => return Err(unsuitable(input, other)),
    };
    let &[rows, dim] = header.shape.as_slice() else {
        let found = format!("an array of {} dimensions, {:?}", header.shape.len(), header.shape);
        return Err(input.unsuitable(found, "vectors are the rows of two: x.reshape(rows, values)"));
    };
    if header.fortran && rows > 1 && dim > 1 {
        let remedy = "save it by rows: numpy.save(path, numpy.ascontiguousarray(x))";
        return Err(input.unsuitable("an array in Fortran order, column by column", remedy));
    }
    let dim = usize::try_from(dim).unwrap_or(usize::MAX);
    if rows == 0 {
        return Err(FileError::NoRows { path: input.path().to_owned() });
    }
    if dim == 0 {
        return Err(input.unsuitable("vectors of 0 values", "save rows that have values"));
    }
    let found = Found { dim, rows: input.rows(header.at, stored, rows, dim)?, ids: None };
    input.ends(header.at + found.rows.values().len() as u64 * width(&header.kind))?;
    Ok(found)
}

/// Bytes of a value of a type that is known.
pub(crate) fn width(kind: &str) -> u64 {
    kind.chars().last().and_then(|digit| digit.to_digit(10)).unwrap_or(1).into()
}

fn unsuitable(input: &Input, kind: &str) -> FileError {
    let remedy = "save it as floats: numpy.save(path, x.astype('<f4'))";
    match kind.split_at_checked(1) {
        Some((">", _)) => input.unsuitable(format!("big-endian values, {kind}"), remedy),
        _ => {
            input.unsuitable(format!("values of type {kind}, which are no floats of 2, 4 or 8 bytes"), remedy)
        }
    }
}

impl Header {
    pub(crate) fn read(input: &Input) -> Result<Self, FileError> {
        let [magic @ .., major, _minor]: [u8; 8] = input.array("the magic bytes", 0)?;
        if magic != MAGIC {
            return Err(input.damaged(0, "it does not begin as a .npy does"));
        }
        let (from, length) = match major {
            1 => (10, u16::from_le_bytes(input.array("the length of the header", 8)?).into()),
            2 | 3 => (12, u32::from_le_bytes(input.array("the length of the header", 8)?).into()),
            _ => return Err(input.damaged(6, format!("version {major} of .npy is not known"))),
        };
        if length > LONGEST {
            return Err(input.damaged(8, format!("a header of {length} bytes is none")));
        }
        let text = input.bytes("the header", from, length)?;
        let parsed = std::str::from_utf8(&text).ok().and_then(|text| Text(text).header(from + length));
        parsed.ok_or_else(|| {
            input.damaged(from, "the header is no dictionary of descr, fortran_order and shape")
        })
    }
}

/// What is left of the header's text.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn header(mut self, at: u64) -> Option<Header> {
        let (mut kind, mut fortran, mut shape) = (None, None, None);
        self.takes("{")?;
        while !self.0.trim_start().starts_with('}') {
            let key = self.string()?;
            self.takes(":")?;
            match key {
                "descr" => kind = Some(self.kind()?),
                "fortran_order" => fortran = Some(self.truth()?),
                "shape" => shape = Some(self.shape()?),
                _ => return None,
            }
            if self.takes(",").is_none() {
                break;
            }
        }
        self.takes("}")?;
        self.0.trim().is_empty().then_some(())?;
        Some(Header { kind: kind?, fortran: fortran?, shape: shape?, at })
    }

    fn takes(&mut self, word: &str) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(word)?;
        Some(())
    }

    fn string(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let quote = text.chars().next().filter(|quote| ['\'', '"'].contains(quote))?;
        let (inside, rest) = text[1..].split_once(quote)?;
        self.0 = rest;
        Some(inside)
    }

    /// The name of a type, or what a record has instead.
    fn kind(&mut self) -> Option<String> {
        if let Some(name) = self.string() {
            return Some(name.to_owned());
        }
        self.takes("[")?;
        let mut open = 1;
        let end = self.0.find(|c| {
            open += i32::from(c == '[') - i32::from(c == ']');
            open == 0
        })?;
        self.0 = &self.0[end + 1..];
        Some("record".into())
    }

    fn truth(&mut self) -> Option<bool> {
        if self.takes("True").is_some() { Some(true) } else { self.takes("False").map(|()| false) }
    }

    fn shape(&mut self) -> Option<Vec<u64>> {
        self.takes("(")?;
        let mut shape = Vec::new();
        while self.takes(")").is_none() {
            let text = self.0.trim_start();
            let (digits, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
            shape.push(digits.parse().ok()?);
            // As Python 2 wrote long numbers.
            self.0 = rest.strip_prefix('L').unwrap_or(rest);
            if self.takes(",").is_none() {
                self.takes(")")?;
                break;
            }
        }
        Some(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_as_numpy_writes_them_are_read_and_others_are_not() {
        let shape =
            |text: &str| Text(text).header(0).map(|header| (header.kind, header.fortran, header.shape));
        let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }      \n";
        assert_eq!(shape(good), Some(("<f4".into(), false, vec![3, 4])));
        assert_eq!(shape(&good.replace("(3, 4)", "(3L,)")).unwrap().2, [3]);
        assert_eq!(shape(&good.replace("(3, 4)", "()")).unwrap().2, [0; 0]);
        let record = good.replace("'<f4'", "[('a', '<f4', (2,)), ('b', [('c', '<f8')])]");
        assert_eq!(shape(&record).unwrap().0, "record");
        for wrong in [
            "",
            "{",
            "{}",
            "{'descr': '<f4'}",
            &good.replace("False", "Maybe"),
            &good.replace("(3, 4)", "(3, -4)"),
            &good.replace("(3, 4)", "(3, 4"),
            &good.replace("(3, 4)", "(99999999999999999999, 4)"),
            &good.replace("'shape'", "'what'"),
            &good.replace('}', "} more"),
            &record.replace("])]", ""),
        ] {
            assert_eq!(shape(wrong), None, "{wrong}");
        }
    }
}
