//! The outside world.

pub mod vectordb;
