//! Vector indexes: build, search, save and load, with the same bytes on every machine.
//!
//! # A tour
//!
//! ```
//! use index::{Engine, IndexSpec, Index, Vectors, build};
//! use std::ops::ControlFlow;
//!
//! let ids = [7, 8, 9];
//! let data = [0.0, 0.0, 1.0, 0.0, 5.0, 5.0];
//! let vectors = Vectors::new(2, &ids, &data)?;
//! let spec = IndexSpec::hnsw();
//! let index = build(vectors, &spec, Engine::Cpu, &mut |_done| ControlFlow::Continue(()))?;
//!
//! let nearest = index.search(&[0.9, 0.0], 1, &|_id| true)?;
//! assert_eq!(nearest[0].id, 8);
//!
//! let again = Index::from_bytes(&index.to_bytes(), &spec)?;
//! assert_eq!(again.search(&[0.9, 0.0], 1, &|id| id != 8)?[0].id, 7);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`save`] and [`load`] are the same with a file: `save` answers the [`Checksum`] of what it wrote, the caller
//! keeps it beside the file, `load` refuses any other bytes.
//!
//! # Promises
//!
//! - **Deterministic**: same vectors, spec and engine give the same bytes on every machine; the same query gives
//!   the same answer, ties broken by id.
//! - **Garbage is refused**: no file, however damaged, makes loading or searching panic, hang or allocate more
//!   than a small multiple of the file's length.
//! - **Found by others**: a finished graph is searched as hnswlib and FAISS search it; where they would not find what is
//!   there, it is built by insertion instead, and [`Ran`] says so.
//! - **Open formats**: HNSW files are hnswlib's own, IVF files are described in the module that writes them.
//!
//! # Modules
//!
//! | module | what |
//! |---|---|
//! | `spec` | what to build: [`IndexSpec`], [`Kind`], [`Metric`] |
//! | `vectors` | what it is built from: [`Vectors`] |
//! | `rows_file` | vectors in a file, mapped: [`RowsFile`] |
//! | `engine` | [`build`], and which [`Engine`] does it |
//! | `searcher` | the finished [`Index`] |
//! | `sample` | what share of true neighbours an index finds: [`Sample`] |
//! | `hnsw` | the graph: layers, search, the check of a finished one, hnswlib's file layout |
//! | `bulk` | how a layer is built: partition, all pairs in leaves, pruning; the nearest centres, by floats and integers |
//! | `ivf` | inverted lists, of whole vectors or of codes: k-means, search, file layout |
//! | `distance`, `tile` | the kernels: one pair, many with many; each for every instruction set, with identical bits |
//! | [`nearest`] | the nearest centres by themselves, for benchmarks |
//! | `crew` | the threads of a build |
//! | `device`, [`opencl`] | who does the heavy work; the OpenCL engine, a process of its own |
//! | `faiss` | export to FAISS; to hnswlib nothing needs to be exported |
//! | `file`, `sink` | checksums, atomic save, load; files written in pieces |

mod bulk;
mod crew;
mod device;
mod distance;
mod draw;
mod engine;
mod faiss;
mod file;
mod hnsw;
mod ivf;
mod key;
mod nearest;
pub mod opencl;
mod reader;
mod rows_file;
mod sample;
mod searcher;
mod sink;
mod spec;
mod tile;
mod vectors;

pub use bulk::leaf::BYTES;
pub use engine::{BuildError, Engine, Ran, build};
pub use file::{Checksum, ChecksumError, LoadError, SaveError, load, save, save_with, spec_of};
pub use nearest::{Rounded, nearest};
pub use rows_file::RowsFile;
pub use sample::{Answered, Sample};
pub use searcher::{Index, Neighbor, Reach, SearchError};
pub use spec::{IndexSpec, Kind, Metric, SpecError};
pub use tile::matrix_unit;
pub use vectors::{Vectors, VectorsError};
