//! The local world: every node a process of its own, reached over a link the harness owns.

pub mod lifeline;
