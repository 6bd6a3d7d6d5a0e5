//! The programs: what each is for, in which shape, and its text.
//!
//! Both shapes find the same, bit by bit: every product is one chain of fma in the order of the values. Which one is
//! the right one for a device is a question of speed alone.

use std::env;

const COMMON: &str = include_str!("kernels/common.cl");
const TILE: &str = include_str!("kernels/tile.cl");
const ASSIGN: &str = include_str!("kernels/assign.cl");
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
    /// The one for a processor or for another device, unless `GAMEDAY_OPENCL_TIER` names one.
    pub(crate) fn of(processor: bool) -> Result<Self, String> {
        match env::var(VARIABLE).unwrap_or_default().as_str() {
            "" if processor => Ok(Self::Vector),
            "" => Ok(Self::Local),
            "vector" => Ok(Self::Vector),
            "local" => Ok(Self::Local),
            other => Err(format!("{VARIABLE} is `{other}`: say `vector` or `local`")),
        }
    }

    /// As a report says it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Vector => "fp32 float16 vectors",
            Self::Local => "fp32 local memory",
        }
    }
}

impl Work {
    /// Source and options, for rows of so many values.
    pub(crate) fn program(self, tier: Tier, dim: usize) -> (String, String) {
        let f = if let Self::Rows(f) = self { f } else { 0 };
        let kernel = match (self, tier) {
            (Self::Rows(_), Tier::Vector) => format!("{TILE}{ASSIGN}{LEAF}"),
            (Self::Rows(_), Tier::Local) => LOCAL.to_owned(),
            (Self::Whole, _) => WHOLE.to_owned(),
        };
        (format!("{COMMON}{kernel}"), format!("-cl-std=CL1.2 -DD={dim} -DF={f}"))
    }
}
