//! Running it: processes, their limits, what others took of the machine, rounds.
//!
//! | module | what |
//! |---|---|
//! | `rounds` | who builds when, and what becomes of the files |
//! | `child` | one process: its answer, its limit, its end |
//! | `builder` | inside such a process: our own builds and searches |
//! | `opencl` | the OpenCL engine before it builds: its device, and what its start takes |
//! | `recall` | how many of the true neighbours an answer holds |
//! | `python` | the environment of the peers |
//! | `noise` | clocks: wall time, own and foreign processor time, memory |
//! | `machine` | what machine this is |

mod builder;
mod child;
mod machine;
mod noise;
mod opencl;
mod python;
mod recall;
mod rounds;

pub use builder::hidden_main;
pub use machine::here;
pub use opencl::OpenCl;
pub use python::{Python, cache, setup};
pub use rounds::{Plan, Progress, run};
