//! The promises of the crate, checked from outside.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod copies;
mod data;
mod faiss_back;
mod files;
mod garbage;
mod peers;
mod search;
mod theirs;
