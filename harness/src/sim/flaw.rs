//! Defects that a world can be given on purpose: each must cause one finding, or gameday could not be believed.

use std::{fmt, str::FromStr};

/// One defect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Flaw {
    /// The newest acknowledged writes are gone after a restart.
    ForgetsAcked,
    /// After a restart the process is there and never answers.
    NeverWakes,
    /// After a restart, service comes and goes.
    Flaps,
    /// Writes that were refused appear later.
    ResurrectsRefused,
    /// After a rebuild, answers come fast, and one neighbour in ten is wrong.
    WrongAfterRebuild,
    /// A restore brings back yesterday's values and calls it done.
    StaleRestore,
    /// After a restart, searches hang while everything else works.
    HangingSearch,
    /// Faults are acknowledged and do nothing.
    SilentFault,
    /// Some values have other bytes after a restart.
    CorruptsValues,
    /// Some records are there twice after a restart.
    DuplicatesRecords,
    /// A restore of the feature store brings back yesterday's values: writes newer than the backup are gone.
    StaleFeatures,
    /// A restore of the feature store leaves the intruder's role in place.
    KeepsRole,
    /// When a worker is lost, one shard of the step under way is dropped, and the step counts as done.
    LostShard,
    /// A fence is reported and not set: both regions take writes.
    SplitBrain,
    /// A standby of the vector store is far behind, and is promoted as if it were not.
    LaggingStandby,
}

impl Flaw {
    /// Every flaw.
    pub const ALL: [Flaw; 15] = [
        Flaw::ForgetsAcked,
        Flaw::NeverWakes,
        Flaw::Flaps,
        Flaw::ResurrectsRefused,
        Flaw::WrongAfterRebuild,
        Flaw::StaleRestore,
        Flaw::HangingSearch,
        Flaw::SilentFault,
        Flaw::CorruptsValues,
        Flaw::DuplicatesRecords,
        Flaw::StaleFeatures,
        Flaw::KeepsRole,
        Flaw::LostShard,
        Flaw::SplitBrain,
        Flaw::LaggingStandby,
    ];

    /// The word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Flaw::ForgetsAcked => "forgets-acked",
            Flaw::NeverWakes => "never-wakes",
            Flaw::Flaps => "flaps",
            Flaw::ResurrectsRefused => "resurrects-refused",
            Flaw::WrongAfterRebuild => "wrong-after-rebuild",
            Flaw::StaleRestore => "stale-restore",
            Flaw::HangingSearch => "hanging-search",
            Flaw::SilentFault => "silent-fault",
            Flaw::CorruptsValues => "corrupts-values",
            Flaw::DuplicatesRecords => "duplicates-records",
            Flaw::StaleFeatures => "stale-features",
            Flaw::KeepsRole => "keeps-role",
            Flaw::LostShard => "lost-shard",
            Flaw::SplitBrain => "split-brain",
            Flaw::LaggingStandby => "lagging-standby",
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Flaw {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known: Vec<&str> = Flaw::ALL.iter().map(|f| f.word()).collect();
        let found = Flaw::ALL.into_iter().find(|f| f.word() == text);
        found.ok_or_else(|| format!("there is no flaw `{text}`; flaws: {}", known.join(", ")))
    }
}
