//! The vocabulary and pure logic of gameday, and the drill loop.
//!
//! ```text
//! scenarios/*.toml --diagnose--> Scenario --Plan::compile--> Plan
//!      --drill(plan, host, journal)--> events --Facts::of--> Facts --judge--> Findings --> Report
//! ```
//!
//! [`own`] is the same line for stacks that gameday did not launch: other files, other events, the same report.
//!
//! Everything but [`drill`], and the [`clock`], [`journal`] and [`urgency`] of its threads, is pure: no clock, no files,
//! no network. The outside world is behind [`ports`].

pub mod act;
pub mod clock;
#[expect(clippy::disallowed_methods, reason = "it times the world under test, and writes no journal")]
pub mod contract;
pub mod corpus;
pub mod diagnose;
pub mod drill;
pub mod facts;
pub mod fault;
pub mod inventory;
pub mod job;
pub mod journal;
pub mod judge;
pub mod ledger;
pub mod own;
pub mod plan;
pub mod ports;
pub mod pulse;
pub mod remedy;
pub mod report;
pub mod router;
pub mod scenario;
pub mod shortage;
pub mod sim;
pub mod time;
pub mod topology;
pub mod urgency;
pub mod verdict;
