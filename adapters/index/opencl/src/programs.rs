//! The programs: what each is for, in which shape, and its text.
//!
//! All shapes find the same, bit by bit: every product is one chain of fma in the order of the values, or of whole
//! numbers. Which one is the right one for a device is a question of speed alone.

use index::BYTES;
use std::env;

const COMMON: &str = include_str!("kernels/common.cl");
const TILE: &str = include_str!("kernels/tile.cl");
const ASSIGN: &str = include_str!("kernels/assign.cl");
const LISTS: &str = include_str!("kernels/lists.cl");
const MATRIX: &str = include_str!("kernels/matrix.cl");
const LEAF: &str = include_str!("kernels/leaf.cl");
const LOCAL: &str = include_str!("kernels/local.cl");
const WHOLE: &str = include_str!("kernels/whole.cl");

/// Names the shape, where it is not to be that of the device's type.
const VARIABLE: &str = "GAMEDAY_OPENCL_TIER";

/// Work-items of a group in the shape for GPUs.
pub(crate) const GROUP: usize = 64;

/// The shape of the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// For processors: vectors of sixteen, a worker for each compute unit.
    Vector,
    /// The same, with leaves on a grid multiplied by the processor's matrix unit.
    Matrix,
    /// For GPUs: groups of 64, tiles in local memory.
    Local,
}

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Finding so many centres of each row, and all pairs in leaves: a compiler takes as long to begin as for either.
    Rows(usize),
    /// The nearest centre of points with whole coordinates.
    Whole,
}

impl Tier {
    /// The one for a processor (maybe with a `matrix_unit` that kernels can use) or for another device, unless
    /// `GAMEDAY_OPENCL_TIER` names one.
    pub(crate) fn of(processor: bool, matrix_unit: impl Fn() -> bool) -> Result<Self, String> {
        match env::var(VARIABLE).unwrap_or_default().as_str() {
            "" if !processor => Ok(Self::Local),
            "" | "matrix" if processor && matrix_unit() => Ok(Self::Matrix),
            "" | "vector" => Ok(Self::Vector),
            "matrix" => {
                Err(format!("{VARIABLE} is `matrix`, and kernels of this device can use no matrix unit"))
            }
            "local" => Ok(Self::Local),
            other => Err(format!("{VARIABLE} is `{other}`: say `vector`, `matrix` or `local`")),
        }
    }

    /// The one for rows of so many values, in leaves with such scales: what is on no grid has no bytes, and of too many
    /// values some sums would not fit. See `Grid` of the crate `index`.
    pub(crate) fn for_rows(self, dim: usize, scales: &[f32]) -> Self {
        let on_grids = BYTES.contains(&dim) && scales.iter().all(|&scale| scale > 0.0);
        if self == Self::Matrix && !on_grids { Self::Vector } else { self }
    }

    /// As a report says it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Vector => "fp32 float16 vectors",
            Self::Matrix => "fp32 float16 vectors, int8 amx",
            Self::Local => "fp32 local memory",
        }
    }
}

impl Work {
    /// Source and options, for rows of so many values.
    pub(crate) fn program(self, tier: Tier, dim: usize) -> (String, String) {
        let f = if let Self::Rows(f) = self { f } else { 0 };
        let kernel = match (self, tier) {
            (Self::Rows(_), Tier::Vector) => format!("{TILE}{ASSIGN}{LISTS}{LEAF}"),
            (Self::Rows(_), Tier::Matrix) => format!("{TILE}{ASSIGN}{LISTS}{MATRIX}"),
            (Self::Rows(_), Tier::Local) => LOCAL.to_owned(),
            (Self::Whole, _) => WHOLE.to_owned(),
        };
        (format!("{COMMON}{kernel}"), format!("-cl-std=CL1.2 -DD={dim} -DF={f}"))
    }
}
