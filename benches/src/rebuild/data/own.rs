//! A user's own vectors: any file that `gameday index build` takes, as a data set.
//!
//! Queries come from a file of their own; where there is none, a seeded sample of the rows is held out: those rows are in no index
//! and are what is asked. Under cosine, rows are brought to length one, once and before anything is timed, so that every library is
//! given the same bytes. What is made of it lies in the cache under the digest of its contents, so a file that changed is another set.

use std::path::{Path, PathBuf};

use index_files::{FileError, Options, Table, open};

use super::{Meta, Metric, Set, VERSION, digest, files, metric::norm, note, real::shuffle, whole, write_set};
use crate::rebuild::{Trouble, result::Own as Described};

/// Fewer vectors are built before a clock has ticked.
pub const LEAST_ROWS: usize = 1_000;
/// Fewer queries say nothing about a recall.
pub const LEAST_QUERIES: usize = 10;
/// No more rows are held out, and no more than a tenth of them.
pub const HELD_OUT: usize = 1_000;

/// What a user named.
#[derive(Debug, Clone)]
pub struct OwnFiles {
    /// The vectors.
    pub vectors: PathBuf,
    /// The queries, if they have a file.
    pub queries: Option<PathBuf>,
    /// How distances are measured.
    pub metric: Metric,
    /// What the files do not say by themselves.
    pub options: Options,
}

/// A user's data set that was looked at: its files can be read, and fit each other.
#[derive(Debug, Clone)]
pub struct Own {
    files: OwnFiles,
    /// Its name: that of the file.
    pub name: String,
    /// Values of a vector.
    pub dim: usize,
}

impl Own {
    /// Looks at the files before anything is built.
    ///
    /// # Errors
    /// A file that cannot be taken, too few rows, or queries of another dimension.
    pub fn look(files: OwnFiles) -> Result<Own, Trouble> {
        let (base, _) = tables(&files)?;
        let name = files.vectors.file_name().unwrap_or(files.vectors.as_os_str());
        Ok(Own { name: name.to_string_lossy().into_owned(), dim: base.dim(), files })
    }

    /// What a result says of it.
    pub fn described(&self) -> Described {
        let name =
            |path: &PathBuf| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Described { metric: self.files.metric, queries: self.files.queries.as_ref().map(name) }
    }
}

/// The files, opened and held against each other; how much is held out where there are no queries.
fn tables(files: &OwnFiles) -> Result<(Table, Option<Table>), Trouble> {
    let base = open(&files.vectors, &files.options).map_err(refused)?;
    let queries = files.queries.as_deref().map(|path| open(path, &files.options)).transpose();
    let queries = queries.map_err(refused)?;
    let left = base.len() - if queries.is_none() { held_out(base.len()) } else { 0 };
    let name = files.vectors.display();
    if left < LEAST_ROWS {
        let held = if queries.is_none() { ", of which a tenth is held out as queries" } else { "" };
        let what = format!("{name} has {} vectors{held}: too few to time a build of", base.len());
        let remedy = format!("name a file of {LEAST_ROWS} vectors or more, and queries with --queries FILE");
        return Err(Trouble::usage(what, remedy));
    }
    if let (Some(queries), Some(path)) = (&queries, &files.queries) {
        let path = path.display();
        if queries.dim() != base.dim() {
            let what = format!(
                "{path} has queries of {} values, {name} has vectors of {}",
                queries.dim(),
                base.dim()
            );
            return Err(Trouble::usage(what, "name queries that the same model made"));
        }
        if queries.len() < LEAST_QUERIES {
            let what = format!("{path} has {} queries, which say nothing about a recall", queries.len());
            let remedy =
                format!("name {LEAST_QUERIES} or more, or leave --queries out: rows are held out then");
            return Err(Trouble::usage(what, remedy));
        }
    }
    Ok((base, queries))
}

/// The set in the cache, made there where it is not.
pub(super) fn prepare(
    cache: &Path,
    own: &Own,
    say: &mut dyn FnMut(&str),
    stopped: &dyn Fn() -> bool,
) -> Result<Set, Trouble> {
    let metric = own.files.metric;
    let (base, queries) = rows(&own.files)?;
    let meta = Meta {
        version: VERSION,
        metric,
        vectors: base.len() / own.dim,
        dim: own.dim,
        queries: queries.len() / own.dim,
        base: files::written(&base),
        query: files::written(&queries),
        truth: files::Written::default(),
        near: files::Written::default(),
    };
    let sum = digest(&meta);
    let folder = cache.join("data/own").join(&sum[..16]);
    let there = whole(&folder)?.filter(|there| digest(there) == sum);
    if let Some(there) = there {
        return Ok(set(own, folder, &there));
    }
    let count = meta.queries;
    say(&format!(
        "{}: {} x {} ({}); its exact neighbours of {count} queries are found once, and kept in {}",
        own.name,
        meta.vectors,
        own.dim,
        metric.name(),
        folder.display()
    ));
    let made = write_set(&folder, (&base, &queries), own.dim, metric, stopped)?;
    note(&folder, &made)?;
    Ok(set(own, folder, &made))
}

fn set(own: &Own, folder: PathBuf, meta: &Meta) -> Set {
    let (name, described) = (own.name.clone(), Some(own.described()));
    Set { own: described, ..Set::of(name, folder, meta) }
}

/// Base and queries, as they are built and asked.
fn rows(files: &OwnFiles) -> Result<(Vec<f32>, Vec<f32>), Trouble> {
    let (base, queries) = tables(files)?;
    let values = base.vectors().map_err(refused)?;
    let (mut rows, mut asked) = match &queries {
        Some(queries) => (values.data().to_vec(), queries.vectors().map_err(refused)?.data().to_vec()),
        None => split(values.data(), base.dim(), files.metric),
    };
    if files.metric == Metric::Cosine {
        scale(&mut rows, base.dim());
        scale(&mut asked, base.dim());
        if let Some(at) = asked.chunks(base.dim()).position(|query| norm(query) == 0.0) {
            let path = files.queries.as_ref().unwrap_or(&files.vectors).display();
            let what = format!("{path}: query {at} has length zero, so no direction to compare under cosine");
            return Err(Trouble::usage(what, "leave it out, or measure with --metric l2"));
        }
    }
    Ok((rows, asked))
}

/// How many rows are held out of `n`.
fn held_out(n: usize) -> usize {
    (n / 10).min(HELD_OUT)
}

/// Base and queries of rows that have no queries beside them; both keep the order of the file.
fn split(values: &[f32], dim: usize, metric: Metric) -> (Vec<f32>, Vec<f32>) {
    let n = values.len() / dim;
    // A row without direction can be built, not asked.
    let askable = |row: &usize| metric != Metric::Cosine || norm(&values[row * dim..][..dim]) > 0.0;
    let mut order: Vec<usize> = (0..n).filter(askable).collect();
    shuffle(&mut order);
    let mut held = vec![false; n];
    order.iter().take(held_out(n)).for_each(|row| held[*row] = true);
    let (mut base, mut queries) = (Vec::with_capacity(values.len()), Vec::new());
    for (row, held) in values.chunks_exact(dim).zip(held) {
        if held { &mut queries } else { &mut base }.extend_from_slice(row);
    }
    (base, queries)
}

/// Brings rows to length one; those of length zero stay.
fn scale(rows: &mut [f32], dim: usize) {
    for row in rows.chunks_exact_mut(dim) {
        let length = norm(row);
        if length > 0.0 {
            row.iter_mut().for_each(|x| *x /= length);
        }
    }
}

/// Files that cannot be taken are a mistake of whoever named them. Their texts end with the remedy.
fn refused(error: FileError) -> Trouble {
    let text = error.to_string();
    match text.rsplit_once("; ") {
        Some((what, remedy)) => Trouble::usage(what, remedy),
        None => Trouble::usage(text, "name another file, or write it anew"),
    }
}

#[cfg(test)]
mod tests;
