//! Golden queries: whether what was restored answers as the source did.
//!
//! It is measured against the source's own answers, not against exact neighbours: what users were answered before is what they
//! have to be answered again, and it costs no more where there are many rows. A hit counts if the source gave it, or would have
//! given it just as well (a tie), so that texts that are stored twice do not count as misses; a query to which a hundred answers
//! are equally good is left out, and so is one to which the source does not find the vector itself. Whoever keeps an index so coarse
//! that another build of it answers otherwise says so by `min_recall`.

use std::collections::BTreeSet;

use crate::{
    judge::Finding,
    own::{
        event::{Answers, Pass, Searched, Task},
        facts::{At, Facts},
    },
    verdict::Verdict::{Fail, Pass as Good, Unknown},
};

impl Answers {
    /// Nearest that are looked for.
    pub const NEAREST: usize = 10;
    /// Vectors that are looked for, all fields of a witness together.
    pub const QUERIES: usize = 500;
    /// Hits that are kept of an answer, with those that are no worse than the last.
    pub const KEPT: usize = 100;
    /// Digits of a key.
    const DIGITS: usize = 16;

    fn is_whole(&self) -> bool {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let answer = |h: &String| {
            h.len().is_multiple_of(Self::DIGITS) && h.len() <= Self::DIGITS * Self::KEPT && h.bytes().all(hex)
        };
        self.hits.len() <= Self::QUERIES && self.hits.iter().all(answer)
    }

    /// The mean share of these answers that another place gave as well, and how many were asked; `None` if nothing can be said.
    pub fn share(&self, other: &Answers) -> Option<(f64, u64)> {
        (self.field == other.field && self.hits.len() == other.hits.len()).then_some(())?;
        let (mut sum, mut asked) = (0.0, 0u64);
        for (was, is) in self.hits.iter().zip(&other.hits) {
            let was: BTreeSet<&[u8]> = was.as_bytes().chunks(Self::DIGITS).collect();
            let is: BTreeSet<&[u8]> = is.as_bytes().chunks(Self::DIGITS).take(Self::NEAREST).collect();
            let wanted = was.len().min(Self::NEAREST);
            // The source found nothing, or so many that are equally near that any of them would do: that proves nothing.
            if (1..Self::KEPT).contains(&was.len()) {
                sum += was.intersection(&is).count().min(wanted) as f64 / wanted as f64;
                asked += 1;
            }
        }
        (asked > 0).then(|| (sum / asked as f64, asked))
    }
}

impl Searched {
    /// Whether it is what a player writes.
    pub fn is_whole(&self) -> bool {
        let fields: BTreeSet<&String> = self.answers.iter().map(|a| &a.field).collect();
        self.answers.is_empty() == self.none.is_some()
            && fields.len() == self.answers.len()
            && self.answers.iter().all(Answers::is_whole)
    }

    /// The share of these answers that another place gave as well, in the field where it is least, and how many were asked in
    /// all.
    pub fn share(&self, other: &Searched) -> Option<(f64, u64)> {
        (self.answers.len() == other.answers.len()).then_some(())?;
        let shares = self.answers.iter().zip(&other.answers).map(|(was, is)| was.share(is));
        let all: Vec<(f64, u64)> = shares.collect::<Option<_>>()?;
        let least = all.iter().map(|(share, _)| *share).min_by(f64::total_cmp)?;
        Some((least, all.iter().map(|(_, asked)| asked).sum()))
    }
}

/// How the answers of a pass compare with those of the source.
pub(in crate::own) enum Compared {
    /// The share that came back, of so many queries.
    Share(f64, u64),
    /// The source answered, and this place could not.
    Mute(String),
    /// Nobody knows.
    Nobody(String),
}

impl Compared {
    pub(in crate::own) fn is_good(&self, least: f64) -> bool {
        matches!(self, Compared::Share(share, _) if *share >= least)
    }
}

/// What has to be answered of a witness; `None` if it is not searched.
pub(in crate::own) fn least(f: &Facts, witness: &str) -> Option<f64> {
    let w = f.drill.stack.witness.get(witness)?;
    w.collection.is_some().then(|| w.least_recall())
}

pub(in crate::own) fn compared(f: &Facts, witness: &str, pass: Pass) -> (Compared, Vec<u64>) {
    let of = |pass: Pass| f.searched.get(&(pass, witness.to_owned()));
    let Some(before) = of(Pass::Before) else {
        return (Compared::Nobody("the source was not searched".into()), Vec::new());
    };
    if let Some(why) = &before.is.none {
        return (Compared::Nobody(format!("the source could not be searched: {why}")), vec![before.seq]);
    }
    let Some(now) = of(pass) else {
        return (Compared::Nobody(format!("it was not searched {pass}")), vec![before.seq]);
    };
    let seqs = vec![before.seq, now.seq];
    if let Some(why) = &now.is.none {
        return (Compared::Mute(why.clone()), seqs);
    }
    match before.is.share(&now.is) {
        Some((share, asked)) => (Compared::Share(share, asked), seqs),
        None => (
            Compared::Nobody(
                "no answer of the source could be told from another one as good, or something else was asked"
                    .into(),
            ),
            seqs,
        ),
    }
}

fn percent(share: f64) -> String {
    // Rounded down: 99.996 % is not all.
    format!("{:.2} %", (share * 10_000.0).floor() / 100.0)
}

/// Whether a witness is answered as in the source; `None` if it is not searched.
pub(super) fn answers(f: &Facts, witness: &str) -> Option<Finding> {
    let least = least(f, witness)?;
    let expected =
        format!("at least {} of the {} nearest as in the source", percent(least), Answers::NEAREST);
    let finding = Finding::new("quality", witness, expected);
    let (compared, seqs) = compared(f, witness, Pass::Restored);
    let finding = finding.evidence(seqs);
    let restored = f.ran.get(&Task::Restore).is_some_and(|r| r.is.code == Some(0));
    let fail = if restored { Fail } else { Unknown };
    Some(match compared {
        Compared::Share(share, asked) => {
            let finding = finding.measured(format!("{} of {asked} queries' answers", percent(share)));
            match share >= least {
                true => finding.because(Good, ""),
                false => finding.because(fail, "what was restored answers otherwise than the source"),
            }
        }
        Compared::Mute(why) => {
            finding.measured("no answer").because(fail, format!("users would get no answer: {why}"))
        }
        Compared::Nobody(why) => finding.because(Unknown, why),
    })
}

/// Whether the source could be searched: what a rehearsal says.
pub(super) fn searched(f: &Facts, witness: &str) -> Option<Finding> {
    least(f, witness)?;
    let finding = Finding::new("quality", witness, "can be searched in the source");
    Some(match f.searched.get(&(Pass::Before, witness.to_owned())) {
        Some(At { is: Searched { answers, none: None, .. }, seq, .. }) => {
            let asked: usize = answers.iter().map(|a| a.hits.len()).sum();
            let found: usize = answers.iter().flat_map(|a| &a.hits).filter(|h| !h.is_empty()).count();
            let finding = finding.measured(format!("{found} of {asked} queries found something"));
            let verdict = if found > 0 { Good } else { Unknown };
            let why = if found > 0 { "" } else { "nothing was found: it would prove nothing" };
            finding.evidence([*seq]).because(verdict, why)
        }
        Some(s) => finding.evidence([s.seq]).because(Unknown, s.is.none.clone().unwrap_or_default()),
        None => finding.because(Unknown, "it was not searched"),
    })
}
