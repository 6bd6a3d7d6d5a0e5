//! How the vectors of the lists are stored: as they are, or as what they differ from their centroid in fewer bits.
//!
//! `IVF_SQ8` keeps a byte a value: each dimension's range over all vectors is cut into 256 steps, and a code stands for the
//! middle of its step. `IVF_PQ` keeps a byte a part: the nearest of 256 trained parts. Both as FAISS reads them.

use super::product;
use crate::bulk::rows::Rows;
use crate::crew;
use crate::engine::{BuildError, Progress};
use crate::{IndexSpec, Kind};
use std::ops::Range;

/// Vectors of a list that are worked on at a time.
const BLOCK: usize = 512;

/// Steps of a range.
const STEPS: f32 = 255.0;

/// What is stored, in the order of the lists.
#[derive(Debug)]
pub(super) enum Codes {
    Flat(Vec<f32>),
    Sq8 {
        /// The least difference, and by how much the greatest exceeds it; of each dimension.
        least: Vec<f32>,
        range: Vec<f32>,
        codes: Vec<u8>,
    },
    Pq {
        m: usize,
        /// 256 parts, for each of the `m` places.
        parts: Vec<f32>,
        codes: Vec<u8>,
    },
}

/// Vectors and the lists they are in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<'a> {
    pub(super) rows: Rows<'a>,
    pub(super) centroids: Rows<'a>,
    /// The list of each row.
    pub(super) assigned: &'a [u32],
    /// The rows, list after list.
    pub(super) order: &'a [u32],
}

impl Placed<'_> {
    /// What a row differs from its centroid.
    pub(super) fn residual(self, row: u32) -> impl Iterator<Item = f32> {
        let centroid = self.centroids.row(self.assigned[row as usize]);
        self.rows.row(row).iter().zip(centroid).map(|(value, centroid)| value - centroid)
    }
}

impl Placed<'_> {
    /// Some of the values of [`residual`](Self::residual); what overflowed is cut off.
    pub(super) fn part(self, row: u32, from: usize, width: usize) -> impl Iterator<Item = f32> {
        let centroid = &self.centroids.row(self.assigned[row as usize])[from..][..width];
        let values = self.rows.row(row)[from..][..width].iter().zip(centroid);
        values.map(|(value, centroid)| (value - centroid).clamp(f32::MIN, f32::MAX))
    }
}

impl Codes {
    pub(super) fn of(
        placed: Placed<'_>,
        spec: &IndexSpec,
        progress: &mut Progress<'_>,
    ) -> Result<Self, BuildError> {
        match spec.kind {
            Kind::IvfFlat { .. } => flat(placed, progress),
            Kind::IvfSq8 { .. } => sq8(placed, progress),
            Kind::IvfPq { m, .. } => {
                let (parts, codes) = product::build(placed, m as usize, spec.seed, progress)?;
                Ok(Self::Pq { m: m as usize, parts, codes })
            }
            Kind::Hnsw { .. } => unreachable!("a graph has no lists"),
        }
    }

    /// The vectors in these places, which are all in the list of `centroid`; `decoded` is room for them.
    pub(super) fn values<'a>(
        &'a self,
        places: Range<usize>,
        centroid: &[f32],
        decoded: &'a mut Vec<f32>,
    ) -> &'a [f32] {
        let dim = centroid.len();
        decoded.clear();
        match self {
            Self::Flat(data) => return &data[places.start * dim..places.end * dim],
            Self::Sq8 { least, range, codes } => {
                for codes in codes[places.start * dim..places.end * dim].chunks_exact(dim) {
                    let steps = least.iter().zip(range).zip(codes).zip(centroid);
                    decoded.extend(steps.map(|(((least, range), code), centroid)| {
                        centroid + (least + (f32::from(*code) + 0.5) / STEPS * range)
                    }));
                }
            }
            Self::Pq { m, parts, codes } => {
                let width = dim / m;
                for codes in codes[places.start * m..places.end * m].chunks_exact(*m) {
                    for ((place, &code), centroid) in
                        codes.iter().enumerate().zip(centroid.chunks_exact(width))
                    {
                        let part = &parts[(place * product::PARTS + code as usize) * width..][..width];
                        decoded.extend(part.iter().zip(centroid).map(|(part, centroid)| centroid + part));
                    }
                }
            }
        }
        decoded
    }
}

fn flat(placed: Placed<'_>, progress: &mut Progress<'_>) -> Result<Codes, BuildError> {
    let dim = placed.rows.dim;
    let mut data = vec![0.0; placed.rows.data.len()];
    let items = placed.order.chunks(BLOCK).zip(data.chunks_mut(BLOCK * dim));
    crew::each(
        items,
        progress,
        || (),
        |(), (order, data)| {
            for (&row, data) in order.iter().zip(data.chunks_exact_mut(dim)) {
                data.copy_from_slice(placed.rows.row(row));
            }
        },
    )?;
    Ok(Codes::Flat(data))
}

fn sq8(placed: Placed<'_>, progress: &mut Progress<'_>) -> Result<Codes, BuildError> {
    let dim = placed.rows.dim;
    let blocks = placed.order.len().div_ceil(BLOCK);
    // The least and the greatest differences of each block, then of all: the same in any order.
    let mut ends = vec![(vec![f32::INFINITY; dim], vec![f32::NEG_INFINITY; dim]); blocks];
    let items = placed.order.chunks(BLOCK).zip(&mut ends);
    crew::each(
        items,
        &mut progress.part(0.0, 0.5),
        || (),
        |(), (order, (least, most))| {
            for &row in order {
                for ((least, most), value) in least.iter_mut().zip(&mut *most).zip(placed.residual(row)) {
                    *least = if value < *least { value } else { *least };
                    *most = if value > *most { value } else { *most };
                }
            }
        },
    )?;
    let (mut least, mut most) = (vec![f32::MAX; dim], vec![f32::MIN; dim]);
    for (low, high) in &ends {
        least.iter_mut().zip(low).for_each(|(least, low)| *least = least.min(*low));
        most.iter_mut().zip(high).for_each(|(most, high)| *most = most.max(*high));
    }
    // Differences that overflow are cut off: what is stored is finite.
    least.iter_mut().for_each(|least| *least = least.clamp(f32::MIN, f32::MAX));
    let range: Vec<f32> =
        most.iter().zip(&least).map(|(most, least)| (most - least).clamp(0.0, f32::MAX)).collect();
    let scale: Vec<f32> =
        range.iter().map(|range| if *range > 0.0 { (STEPS / range).min(f32::MAX) } else { 0.0 }).collect();
    let mut codes = vec![0u8; placed.rows.data.len()];
    let items = placed.order.chunks(BLOCK).zip(codes.chunks_mut(BLOCK * dim));
    crew::each(
        items,
        &mut progress.part(0.5, 1.0),
        || (),
        |(), (order, codes)| {
            for (&row, codes) in order.iter().zip(codes.chunks_exact_mut(dim)) {
                let steps = codes.iter_mut().zip(placed.residual(row)).zip(&least).zip(&scale);
                for (((code, value), least), scale) in steps {
                    // Saturates, and turns what is no number into 0.
                    *code = ((value - least) * scale) as u8;
                }
            }
        },
    )?;
    Ok(Codes::Sq8 { least, range, codes })
}
