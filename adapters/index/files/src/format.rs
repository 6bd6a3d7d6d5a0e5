//! Which format a file is in: by the names that have no magic bytes, then by these bytes, then by any other name.

use crate::FileError;
use crate::faiss;
use crate::input::Input;

/// A format of files of vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// NumPy's array.
    Npy,
    /// Rows of a 32-bit count and as many `f32`.
    Fvecs,
    /// Rows of a 32-bit count and as many bytes.
    Bvecs,
    /// Apache Parquet: a column of lists.
    Parquet,
    /// A tensor of a model's file.
    Safetensors,
    /// A flat index of FAISS, with or without ids.
    Faiss,
    /// `f32` and nothing else.
    Raw,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Npy, Self::Fvecs, Self::Bvecs, Self::Parquet, Self::Safetensors, Self::Faiss, Self::Raw];

    /// Its name, which is how its files end.
    pub fn name(self) -> &'static str {
        match self {
            Self::Npy => "npy",
            Self::Fvecs => "fvecs",
            Self::Bvecs => "bvecs",
            Self::Parquet => "parquet",
            Self::Safetensors => "safetensors",
            Self::Faiss => "faiss",
            Self::Raw => "f32",
        }
    }

    pub(crate) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    pub(crate) fn of(input: &Input) -> Result<Self, FileError> {
        let ending = input.path().extension().unwrap_or_default().to_ascii_lowercase();
        let named = Self::ALL.into_iter().find(|format| ending == format.name());
        if let Some(bare @ (Self::Fvecs | Self::Bvecs | Self::Raw)) = named {
            return Ok(bare);
        }
        let head = input.bytes("the magic bytes", 0, input.length().min(9))?;
        let by_magic = match head.as_slice() {
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Some(Self::Npy),
            [b'P', b'A', b'R', b'1', ..] => Some(Self::Parquet),
            [a, b, c, d, ..] if faiss::is_word([*a, *b, *c, *d]) => Some(Self::Faiss),
            [.., b'{'] if head.len() == 9 => Some(Self::Safetensors),
            _ => None,
        };
        by_magic.or(named).ok_or_else(|| FileError::Unknown { path: input.path().to_owned() })
    }
}
