//! Three verdicts; the worst wins; nothing never passes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is concluded. Ordered: `pass < unknown < fail`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Measured, and within the objective.
    Pass,
    /// Nothing was proved, either way.
    Unknown,
    /// An objective was missed.
    Fail,
}

impl Verdict {
    /// The worst of several; nothing at all is unknown.
    pub fn worst(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
        verdicts.into_iter().max().unwrap_or(Verdict::Unknown)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Pass => "PASS",
            Verdict::Unknown => "UNKNOWN",
            Verdict::Fail => "FAIL",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some() -> impl Strategy<Value = Verdict> {
        prop_oneof![Just(Verdict::Pass), Just(Verdict::Unknown), Just(Verdict::Fail)]
    }

    proptest! {
        #[test]
        fn merging_is_commutative_associative_and_idempotent(a in some(), b in some(), c in some()) {
            let merge = |x, y| Verdict::worst([x, y]);
            prop_assert_eq!(merge(a, b), merge(b, a));
            prop_assert_eq!(merge(a, merge(b, c)), merge(merge(a, b), c));
            prop_assert_eq!(merge(a, a), a);
        }
    }

    #[test]
    fn nothing_is_unknown() {
        assert_eq!(Verdict::worst([]), Verdict::Unknown);
    }
}
