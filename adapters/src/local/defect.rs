//! Defects that the local world can be given on purpose, by the words of the simulation.

use harness::ports::EnvironmentError;
use harness::sim::Flaw as Word;

use crate::features;
use crate::gpu;
use crate::vectordb::Flaw;

/// Acknowledged writes that a forgetful node keeps out of its log.
const FORGOTTEN: u32 = 25;
/// A restore leaves an intruder's role where it is. Only worlds with a real feature store know it.
const KEEPS_ROLE: &str = "keeps-role";
/// How long a flapping node is good, and then bad.
const FLAP_MS: u32 = 400;

/// What is wrong with this world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Defect {
    /// Planted in the vector node from its first start.
    always: Vec<Flaw>,
    /// Planted in it from its second start.
    restarted: Vec<Flaw>,
    /// Faults are issued to nothing.
    pub(super) silent: bool,
    /// Planted in restores of the feature node.
    pub(super) features: Option<features::Flaw>,
    /// Planted in the driver of workers.
    pub(super) driver: Option<gpu::Flaw>,
}

impl Defect {
    /// The defect of that word.
    pub(super) fn of(word: Option<&str>) -> Result<Self, EnvironmentError> {
        let Some(word) = word else { return Ok(Self::default()) };
        if word == KEEPS_ROLE {
            return Ok(Self { features: Some(features::Flaw::KeepsRole), ..Self::default() });
        }
        let known = word.parse().ok().and_then(Self::planted);
        known.ok_or_else(|| {
            let all = Word::ALL.into_iter().filter(|w| Self::planted(*w).is_some());
            let all: Vec<&str> = all.map(Word::word).chain([KEEPS_ROLE]).collect();
            EnvironmentError {
                what: format!("the local world has no flaw `{word}`"),
                remedy: format!("choose one of: {}; or run the drill in world sim", all.join(", ")),
            }
        })
    }

    fn planted(word: Word) -> Option<Self> {
        let always = |flaw| Some(Self { always: vec![flaw], ..Self::default() });
        match word {
            Word::ForgetsAcked => always(Flaw::DropAcked { n: FORGOTTEN }),
            Word::NeverWakes => always(Flaw::NeverWake),
            Word::Flaps => always(Flaw::FlapAfterRecovery { good_ms: FLAP_MS, bad_ms: FLAP_MS }),
            Word::WrongAfterRebuild => always(Flaw::WrongNeighbour),
            // Not while the store is filled, where a refusal ends the drill.
            Word::ResurrectsRefused => {
                Some(Self { restarted: vec![Flaw::ResurrectRefused], ..Self::default() })
            }
            Word::StaleRestore => {
                Some(Self { features: Some(features::Flaw::StaleRestore), ..Self::default() })
            }
            Word::SilentFault => Some(Self { silent: true, ..Self::default() }),
            Word::LostShard => Some(Self { driver: Some(gpu::Flaw::LostShard), ..Self::default() }),
            _ => None,
        }
    }

    /// What is planted in the vector node at its n-th start, counted from 0.
    pub(super) fn at_start(&self, n: u32) -> Vec<Flaw> {
        let restarted = self.restarted.iter().filter(|_| n > 0);
        self.always.iter().chain(restarted).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_words_are_refused_with_the_known_ones() {
        for word in ["nonsense", "", "hanging-search"] {
            let refused = Defect::of(Some(word)).unwrap_err();
            assert!(refused.remedy.contains("forgets-acked") && refused.remedy.contains("silent-fault"));
            assert!(!refused.remedy.contains("hanging-search"), "{refused}");
        }
        assert_eq!(Defect::of(None).unwrap(), Defect::default());
    }

    #[test]
    fn refusals_are_resurrected_only_after_a_restart() {
        let defect = Defect::of(Some("resurrects-refused")).unwrap();
        assert!(defect.at_start(0).is_empty());
        assert_eq!(defect.at_start(1), [Flaw::ResurrectRefused]);
        assert_eq!(Defect::of(Some("never-wakes")).unwrap().at_start(0), [Flaw::NeverWake]);
    }
}
