//! The outside world.

pub mod local;
pub mod s3;
