//! How long one service was gone, from its probes alone.
//!
//! A probe is good if it was answered in time and rightly. Recovery is the first good answer that starts a window of
//! `stable_for` without a bad probe; it is awarded only once that window has been seen to its end. The truth lies
//! between the last bad probe and the first good answer: both are kept, and the late end is judged.

/// One probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProbeRecord {
    /// Its number on the schedule.
    pub n: u64,
    /// When the schedule wanted it sent.
    pub due_us: u64,
    /// When it was sent.
    pub sent_us: u64,
    /// When the answer came, or the deadline passed.
    pub done_us: u64,
    /// Whether the answer was a good one.
    pub good: bool,
    /// Its event.
    pub seq: u64,
}

/// The span in which the true moment lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// The last bad probe was sent.
    pub early_us: u64,
    /// The first good answer came.
    pub late_us: u64,
}

/// What the probes of one service show about the time after the first fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outage {
    /// t1: the first bad probe was due.
    pub t1_us: Option<u64>,
    /// Its number.
    pub first_bad: Option<u64>,
    /// t4: the first good answer after it.
    pub t4_us: Option<u64>,
    /// t5: the start of the first stable window, seen to its end.
    pub recovered: Option<Window>,
    /// A window that was still running when watching stopped began here.
    pub pending_us: Option<u64>,
    /// Bad probes after the first fault.
    pub bad: u64,
    /// All probes after the first fault.
    pub asked: u64,
    /// How late the harness itself sent a probe, at worst, while it mattered.
    pub lag_us: u64,
    /// Probes of the schedule that are missing while it mattered.
    pub missing: u64,
    /// The schedule's period.
    pub period_us: u64,
    /// The last probe that was answered or given up.
    pub watched_until_us: u64,
    /// The events that prove it: first bad, last bad, first good, end of the window.
    pub evidence: Vec<u64>,
}

impl Outage {
    /// From probes in the order of their numbers. `t0_us`: the first fault was issued; `struck_us`: the last one had
    /// struck; `watched_us`: watching stopped.
    pub(super) fn of(
        probes: &[ProbeRecord],
        t0_us: u64,
        struck_us: u64,
        watched_us: u64,
        stable_us: u64,
    ) -> Outage {
        let counts = |p: &&ProbeRecord| p.done_us >= t0_us && p.due_us <= watched_us;
        let after: Vec<ProbeRecord> = probes.iter().filter(counts).copied().collect();
        let first_bad = after.iter().find(|p| !p.good);
        let until = after.iter().map(|p| p.due_us).max().unwrap_or(t0_us).min(watched_us);
        let mut outage = Outage {
            t1_us: first_bad.map(|p| p.due_us),
            first_bad: first_bad.map(|p| p.n),
            t4_us: None,
            recovered: None,
            pending_us: None,
            bad: after.iter().filter(|p| !p.good).count() as u64,
            asked: after.len() as u64,
            lag_us: 0,
            missing: 0,
            period_us: period(probes),
            watched_until_us: until,
            evidence: Vec::new(),
        };
        outage.recovery(&after, struck_us, stable_us, until);
        if outage.bad == 0 {
            // That nothing failed is proved from the first probe to the last.
            outage.evidence.extend(after.first().map(|p| p.seq));
            outage.evidence.extend(after.last().filter(|_| after.len() > 1).map(|p| p.seq));
        }
        outage.doubt(&after, t0_us, until, stable_us);
        outage
    }

    fn recovery(&mut self, after: &[ProbeRecord], struck_us: u64, stable_us: u64, until: u64) {
        let Some(first_bad) = after.iter().position(|p| !p.good) else { return };
        self.evidence.push(after[first_bad].seq);
        self.t4_us = after[first_bad..].iter().filter(|p| p.good).map(|p| p.done_us).min();
        let mut start = first_bad;
        // Each round skips a run of bad probes and tries the window that begins after it.
        while let Some(next) = after[start..].iter().position(|p| p.good && p.done_us >= struck_us) {
            let good = &after[start + next];
            let relapse = after[start + next..].iter().position(|p| !p.good);
            let end_us = good.done_us.saturating_add(stable_us);
            // A service that is bad again later, while no fault is left to strike, had not recovered.
            let held = relapse.is_none() && until >= end_us;
            if held {
                // Answers may overtake each other: the first one to arrive ends the outage.
                let run = &after[start + next..];
                let run = &run[..relapse.unwrap_or(run.len())];
                let late_us = run.iter().map(|p| p.done_us).min().unwrap_or(good.done_us).max(struck_us);
                let before = after[..start + next].iter().rev().find(|p| !p.good);
                let early_us = before.map_or(late_us, |p| p.sent_us).min(late_us);
                self.recovered = Some(Window { early_us, late_us });
                self.evidence.extend(before.map(|p| p.seq));
                self.evidence.push(good.seq);
                return;
            }
            let Some(relapse) = relapse else {
                self.pending_us = Some(good.done_us);
                return;
            };
            start += next + relapse;
        }
    }

    /// Whether the harness itself was too slow, or lost probes, inside the interval that decides.
    fn doubt(&mut self, after: &[ProbeRecord], t0_us: u64, until: u64, stable_us: u64) {
        let end_us = self.recovered.map_or(until, |w| w.late_us.saturating_add(stable_us));
        let deciding = || after.iter().filter(|p| p.due_us >= t0_us && p.due_us <= end_us);
        self.lag_us = deciding().map(|p| p.sent_us.saturating_sub(p.due_us)).max().unwrap_or(0);
        let (first, last) = (deciding().map(|p| p.n).min(), deciding().map(|p| p.n).max());
        if let (Some(first), Some(last)) = (first, last) {
            self.missing = (last - first).saturating_add(1).saturating_sub(deciding().count() as u64);
        }
    }

    /// Whether the harness can vouch for its own timing.
    pub fn doubtful(&self) -> Option<String> {
        if self.lag_us > self.period_us.saturating_mul(2) {
            let (lag, period) = (crate::time::human_us(self.lag_us), crate::time::human_us(self.period_us));
            return Some(format!(
                "the harness itself was {lag} late with a probe, more than twice the period of {period}"
            ));
        }
        (self.missing > 0).then(|| format!("{} probes of the schedule are missing", self.missing))
    }
}

fn period(probes: &[ProbeRecord]) -> u64 {
    match probes {
        [a, .., b] if b.n > a.n => b.due_us.saturating_sub(a.due_us) / (b.n - a.n),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probes every 10 us; `g` good, `b` bad, answered after 1 us.
    fn outage(pattern: &str, t0_us: u64, stable_us: u64) -> Outage {
        let record = |(n, c): (usize, char)| {
            let due_us = n as u64 * 10;
            ProbeRecord {
                n: n as u64,
                due_us,
                sent_us: due_us,
                done_us: due_us + 1,
                good: c == 'g',
                seq: n as u64,
            }
        };
        let probes: Vec<ProbeRecord> = pattern.chars().enumerate().map(record).collect();
        Outage::of(&probes, t0_us, t0_us, pattern.len() as u64 * 10, stable_us)
    }

    #[test]
    fn recovery_is_the_start_of_the_first_stable_window() {
        let o = outage("ggbbbggggggg", 15, 40);
        assert_eq!(o.t1_us, Some(20));
        assert_eq!(o.recovered, Some(Window { early_us: 40, late_us: 51 }));
        assert_eq!((o.bad, o.missing), (3, 0));
    }

    #[test]
    fn a_relapse_starts_the_wait_anew() {
        let o = outage("ggbbggbgggggg", 15, 40);
        assert_eq!((o.t4_us, o.recovered), (Some(41), Some(Window { early_us: 60, late_us: 71 })));
        assert_eq!(outage("ggbgbgbgbgbgb", 15, 40).recovered, None);
    }

    #[test]
    fn a_window_that_was_not_seen_to_its_end_is_pending() {
        let o = outage("ggbbggg", 15, 40);
        assert_eq!((o.recovered, o.pending_us), (None, Some(41)));
    }

    #[test]
    fn nothing_bad_is_no_outage() {
        let o = outage("gggggggg", 15, 40);
        assert_eq!((o.t1_us, o.recovered, o.bad), (None, None, 0));
    }

    #[test]
    fn no_recovery_is_awarded_before_the_last_fault_has_struck() {
        let record = |n: u64, good| ProbeRecord {
            n,
            due_us: n * 10,
            sent_us: n * 10,
            done_us: n * 10 + 1,
            good,
            seq: n,
        };
        let probes: Vec<_> = (0..20).map(|n| record(n, n != 2)).collect();
        let o = Outage::of(&probes, 15, 100, 200, 40);
        assert_eq!(o.recovered.unwrap().late_us, 101);
        assert_eq!(Outage::of(&probes, 15, u64::MAX, 200, 40).recovered, None);
    }

    #[test]
    fn a_slow_harness_is_doubted() {
        let mut probes: Vec<_> = Vec::new();
        for n in 0..20u64 {
            let due_us = n * 10;
            let sent_us = if n == 5 { due_us + 50 } else { due_us };
            probes.push(ProbeRecord { n, due_us, sent_us, done_us: sent_us + 1, good: n != 4, seq: n });
        }
        assert!(Outage::of(&probes, 15, 15, 200, 40).doubtful().unwrap().contains("late"));
        probes.retain(|p| p.n != 5);
        assert!(Outage::of(&probes, 15, 15, 200, 40).doubtful().unwrap().contains("missing"));
    }
}
