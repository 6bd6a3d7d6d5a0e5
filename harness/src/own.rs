//! World `own`: a stack that gameday did not launch, and what a person writes about it.
//!
//! `stack.toml` ([`mod@stack`]) says once what there is: components with their addresses, services with their probes, records
//! of gameday's own (canaries), and the user's data that must come back (witnesses). A restore drill ([`restore`]) restores
//! the user's own backup into a scratch place with the user's own command, and asks whether the data is there. It needs
//! no engine and breaks nothing. A fault drill ([`fault`]) breaks a component by its owner's commands.
//!
//! ```text
//! stack.toml, drill.toml --load--> Drill --(played by adapters::own)--> events --Facts::of--> Facts --judge--> Report
//! ```
//!
//! Invariants: the source is asked and never written, but for a canary of ours; secrets are named by variables and stand in
//! no file of ours; a verdict is a pure function of the events.

pub mod ask;
mod check;
pub mod event;
pub mod facts;
pub mod fault;
mod judge;
mod load;
mod report;
pub mod restore;
pub mod stack;

pub use event::{Event, RestoreEvent};
pub use facts::Facts;
pub use load::{Drill, drill, is_stack, kind, stack};
pub use report::{AnswersReport, RestoreReport, WitnessReport, objectives};
pub use restore::Kind;

#[cfg(test)]
mod tests;
