//! Which lie: what about, since when, of which store, and in which scenario.

use harness::topology::Role;

/// A small stack whose `VICTIM` dies and is started again.
pub(super) const STACK: &str = r#"
name = "lies"
[stack]
regions = REGIONS
roles = ["vector", "object", "feature"]
pattern = "PATTERN"
[data]
vectors = { count = 120, dim = 4, queries = 200 }
objects = { count = 30, size = 64 }
features = { entities = 60 }
[load]
vector = "40/s"
object = "40/s"
feature = "40/s"
[[service]]
name = "rag"
uses = ["vector", "object"]
probe = { search = {}, get = {}, every = "50ms", timeout = "300ms" }
[[service]]
name = "reco"
uses = ["feature"]
probe = { lookup = {}, every = "50ms", timeout = "300ms" }
[[fault]]
at = "500ms"
inject = { FAULT = { node = "east/VICTIM" } }
[[recover]]
name = "restart"
at = "1200ms"
act = { restart = { node = "east/VICTIM" } }
[objectives]
rto = "4s"
rpo = "RPO"
quality = 0.98
stable_for = "1s"
"#;

/// Users of a standby: their service is sent there when the primary's store is cut off.
pub(super) const STANDBY: &str = r#"
name = "standby"
[stack]
regions = ["east", "west"]
roles = ["object", "feature"]
pattern = "hot-standby"
[data]
objects = { count = 30, size = 64 }
features = { entities = 60 }
[load]
object = "10/s"
feature = "40/s"
[[service]]
name = "reco"
uses = ["feature", "object"]
probe = { lookup = {}, get = {}, every = "50ms", timeout = "300ms" }
[[fault]]
at = "500ms"
for = "2s"
inject = { cut = { to = "east/feature" } }
[[recover]]
when = "detected"
act = { route = { service = "reco", to = "west" } }
[objectives]
rto = "10s"
rpo = "0s"
stable_for = "1s"
"#;

/// Since when a world lies.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Since {
    Recovery,
    Reading,
    /// Nodes were restarted after users had been asked what is there.
    Restart,
    SecondReading,
}

/// What it lies about.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Kind {
    Honest,
    /// An acknowledged record is not there, has another value, an older one, or is there twice.
    Lost(Since),
    Rotten(Since),
    Older(Since),
    Twice(Since),
    /// A record is there that nobody wrote, or that was removed.
    Stranger(Since),
    Undeleted(Since),
    /// The store cannot be read.
    Unreadable(Since),
    /// A write is refused and stored all the same.
    RefusedAndStored,
    /// A write is acknowledged after recovery and not stored; the RPO allows seconds, or nothing.
    AcknowledgedAndLost {
        rpo: bool,
    },
    /// Writes are refused, or never answered: since recovery, or since before the fault.
    RefusesWrites,
    HangsWrites,
    NeverTookWrites,
    /// What users read is missing, or wrong, or too late.
    ReadsNothing,
    ReadsWrong,
    ReadsLate,
    /// What users read is what it was before the load, though writes are acknowledged, and everything is there when it is
    /// read back.
    ReadsOlder,
    /// Searches find half, or everything, or are refused again so many milliseconds after the recovery.
    SearchesHalf,
    SearchesAll,
    DiesAgain(u64),
    /// The step of the runbook says that it failed.
    StepFails,
    /// The standby that users are sent to has an older value.
    StaleStandby,
}

/// One lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lie {
    pub(super) kind: Kind,
    pub(super) role: Role,
    pub(super) pick: u64,
}

/// Chance from a seed (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

pub(super) const STORES: [Role; 3] = [Role::Vector, Role::Object, Role::Feature];

/// Lies that the drill's first reading, or its users, meet.
pub(super) const PLAIN: &[Kind] = &[
    Kind::Lost(Since::Recovery),
    Kind::Lost(Since::Reading),
    Kind::Rotten(Since::Recovery),
    Kind::Rotten(Since::Reading),
    Kind::Older(Since::Reading),
    Kind::Twice(Since::Reading),
    Kind::Stranger(Since::Recovery),
    Kind::Stranger(Since::Reading),
    Kind::Undeleted(Since::Reading),
    Kind::Unreadable(Since::Reading),
    Kind::RefusedAndStored,
    Kind::AcknowledgedAndLost { rpo: false },
    Kind::ReadsNothing,
    Kind::ReadsWrong,
    Kind::ReadsLate,
    Kind::SearchesHalf,
    Kind::SearchesAll,
    Kind::DiesAgain(0),
    Kind::StepFails,
    Kind::Lost(Since::SecondReading),
    Kind::Rotten(Since::SecondReading),
];

/// Lies that only the rules of "users' eyes", "writes count", "read back, restart, read back again" and "losses after
/// the storm's recovery" find.
pub(super) const DEEP: &[Kind] = &[
    Kind::AcknowledgedAndLost { rpo: true },
    Kind::RefusesWrites,
    Kind::HangsWrites,
    Kind::NeverTookWrites,
    Kind::Lost(Since::Restart),
    Kind::Rotten(Since::Restart),
    Kind::Older(Since::Restart),
    Kind::Twice(Since::Restart),
    Kind::Stranger(Since::Restart),
    Kind::Unreadable(Since::Restart),
    Kind::Stranger(Since::SecondReading),
    Kind::Twice(Since::SecondReading),
    Kind::Unreadable(Since::SecondReading),
    Kind::StaleStandby,
    Kind::ReadsOlder,
];

impl Kind {
    /// Since when it is told to whoever reads the store.
    pub(super) fn since(self) -> Option<Since> {
        match self {
            Kind::Lost(since)
            | Kind::Rotten(since)
            | Kind::Older(since)
            | Kind::Twice(since)
            | Kind::Stranger(since)
            | Kind::Undeleted(since)
            | Kind::Unreadable(since) => Some(since),
            _ => None,
        }
    }

    /// Whether the first reading meets a lie about a key, so that its account must list that key.
    pub(super) fn must_be_listed(self) -> bool {
        match self {
            Kind::RefusedAndStored | Kind::AcknowledgedAndLost { .. } => true,
            Kind::Unreadable(_) => false,
            _ => matches!(self.since(), Some(Since::Recovery | Since::Reading)),
        }
    }

    /// Whether the lie waits for somebody who looks: a drill that does not look has proved nothing.
    pub(super) fn waits(self) -> bool {
        self.since() == Some(Since::Restart) || self == Kind::StaleStandby
    }
}

impl Lie {
    pub(super) fn of(chance: &mut Chance, kinds: &[Kind]) -> Lie {
        let kind = match chance.of(kinds) {
            Kind::DiesAgain(_) => Kind::DiesAgain(100 + chance.below(800)),
            other => other,
        };
        let role = match kind {
            Kind::Undeleted(_) | Kind::SearchesHalf | Kind::SearchesAll | Kind::DiesAgain(_) => Role::Vector,
            Kind::StaleStandby => Role::Feature,
            Kind::ReadsNothing | Kind::ReadsWrong | Kind::ReadsLate | Kind::ReadsOlder => {
                chance.of(&[Role::Object, Role::Feature])
            }
            _ => chance.of(&STORES),
        };
        Lie { kind, role, pick: chance.below(1 << 30) }
    }

    pub(super) fn scenario(self, chance: &mut Chance) -> String {
        if self.kind == Kind::StaleStandby || (self.kind == Kind::Honest && chance.below(4) == 0) {
            return STANDBY.into();
        }
        let (regions, pattern) =
            chance.of(&[("[\"east\"]", "single"), ("[\"east\", \"west\"]", "active-active")]);
        // Of equal regions each may lag behind the others, for longer than this drill lasts.
        let (regions, pattern) =
            if self.kind == Kind::ReadsOlder { ("[\"east\"]", "single") } else { (regions, pattern) };
        let rpo = if self.kind == (Kind::AcknowledgedAndLost { rpo: true }) { "5s" } else { "0s" };
        // Where a service is to fail, its own store is the one that came back.
        let victim = if self.kind == Kind::StepFails { self.role } else { chance.of(&STORES) };
        STACK
            .replace("REGIONS", regions)
            .replace("PATTERN", pattern)
            .replace("FAULT", chance.of(&["kill", "pause"]))
            .replace("VICTIM", victim.word())
            .replace("RPO", rpo)
    }
}
