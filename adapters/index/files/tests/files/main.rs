//! Files of every format: sound ones are read, all others are refused with file, place and remedy.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod formats;
mod garbage;
mod made;
mod refused;
