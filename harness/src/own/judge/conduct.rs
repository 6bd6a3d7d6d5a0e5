//! Whether a drill on somebody's own stack can be trusted at all: played to its end, and within its alarms.

use crate::{
    journal::Ending,
    judge::Finding,
    own::{event::Asked, facts::At, stack::Alarm},
    time::human_us,
    verdict::Verdict::{Pass as Good, Unknown},
};

/// Played to its end.
pub(in crate::own) fn conduct(
    breach: Option<&str>,
    aborted: Option<&str>,
    ending: Option<Ending>,
) -> Finding {
    let finding = Finding::new("conduct", "drill", "played to its end");
    if let Some(breach) = breach {
        return finding.measured("not played by gameday").because(Unknown, breach);
    }
    if let Some(why) = aborted {
        return finding.measured("given up").because(Unknown, why);
    }
    match ending {
        Some(Ending::Complete) => finding.measured("complete").because(Good, ""),
        Some(Ending::Aborted) => finding.measured("given up").because(Unknown, "nobody wrote down why"),
        Some(Ending::Environment) => {
            finding.measured("not played").because(Unknown, "the environment failed")
        }
        None => finding.measured("cut short").because(Unknown, "the journal breaks off: the harness died"),
    }
}

/// A drill that began although its alarm was bad, or went on although it had to end, is none. `before_us`: anything
/// happened only after this.
pub(in crate::own) fn alarms(
    alarm: &Alarm,
    asked: &[At<Asked>],
    before_us: u64,
    end_us: u64,
) -> Vec<Finding> {
    let of = |id: &str| asked.iter().filter(|a| a.is.service == id).collect::<Vec<_>>();
    let start = alarm.forbid_start.as_ref().map(|id| {
        let finding = Finding::new("steady", id, "good before anything happens");
        let asked: Vec<_> = of(id).into_iter().filter(|a| a.at_us <= before_us).collect();
        let bad = asked.iter().rev().find_map(|a| a.is.bad.as_ref().map(|why| (why, a.seq)));
        let finding = finding.measured(format!("{} answers", asked.len()));
        match (asked.is_empty(), bad) {
            (true, _) => finding.because(Unknown, "it was never asked"),
            (false, Some((why, seq))) => {
                finding.evidence([seq]).because(Unknown, format!("it was bad: {why}"))
            }
            (false, None) => finding.because(Good, ""),
        }
    });
    let end = alarm.end_run.as_ref().map(|end| {
        let finding = Finding::new("alarm", &end.probe, format!("never bad for {}", end.bad_for));
        let asked = of(&end.probe);
        let (mut since, mut longest): (Option<u64>, u64) = (None, 0);
        for a in &asked {
            since = a.is.bad.as_ref().map(|_| since.unwrap_or(a.is.sent_us));
            longest = longest.max(since.map_or(0, |at| a.at_us.saturating_sub(at)));
        }
        longest = longest.max(since.map_or(0, |at| end_us.saturating_sub(at)));
        let finding = finding.measured(format!(
            "{} answers, bad for {} at the longest",
            asked.len(),
            human_us(longest)
        ));
        if asked.is_empty() {
            finding.because(Unknown, "it was never asked")
        } else if longest >= end.bad_for.us() {
            finding.because(Unknown, "it was bad for longer than the run may go on")
        } else {
            finding.because(Good, "")
        }
    });
    start.into_iter().chain(end).collect()
}
