//! World `own`: a stack that gameday did not launch. It is asked by its addresses, and acted upon by its owner's commands.
//!
//! | module | what |
//! |---|---|
//! | `play` | a restore drill from its first question to the clean-up |
//! | `fault` | a fault drill from its alarms to the undo |
//! | `place` | source and scratch: what is asked of a store, whatever it is |
//! | `postgres`, `bucket`, `milvus`, `by_command` | the stores |
//! | `grpc` | connections to gRPC servers, and asking for their health |
//! | `command` | the user's commands: a clean environment, limits, and nothing left running |
//! | `secrets` | values of variables, and how they are kept out of whatever is written |
//! | `sum` | many lines as one figure |
//! | `canary` | planting and pruning, for cron |
//! | `tls` | whose certificates are believed |
//! | `alarm` | services that forbid the start, or end the run |
//! | `probe` | questions on behalf of alarms |
//!
//! Invariants: the source is written by [`place::Place::mark`] alone, after the journal has said so; every question and
//! command has a limit; what a command started does not outlive the drill.

mod alarm;
pub mod bucket;
pub mod by_command;
pub mod canary;
pub mod command;
pub mod config;
pub mod fault;
mod grpc;
pub mod heal;
pub mod milvus;
pub mod place;
pub mod play;
pub mod postgres;
pub mod probe;
pub mod secrets;
pub mod sum;
pub mod tls;
