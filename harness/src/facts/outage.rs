//! How long one service was unavailable, from its probes alone.
//!
//! A probe is good if it was answered in time and rightly. Recovery is the first good answer that starts a window of
//! `stable_for` without a bad probe; it is awarded only once that window has been seen to its end. The truth lies
//! between the *sending* of the last bad probe and the *answer* of the first good one: both are kept.
//!
//! The harness may be the slow one. That widens what is known, and does not void it: what counts is when probes were
//! really sent, not when they were due. A probe that ran out of time while the harness itself stood still says nothing,
//! and is left out; the longest span in which nothing was asked is the *resolution*, and a relapse shorter than it may
//! have gone unseen.
//!
//! The law, tested as a property below: for an outage that begins at t0, and any relapse longer than the resolution,
//! under any pattern of stalls, what is known always contains the truth.

/// An answer may be read so much later than it came: shorter stalls of the harness are not told.
const LATE_US: u64 = 100_000;

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

impl ProbeRecord {
    /// Bad for want of an answer alone, while the harness stood still for a part of its life: perhaps the answer was there
    /// and nobody read it.
    pub(crate) fn void(&self, timeout_us: u64, stalls: &[(u64, u64)]) -> bool {
        !self.good && self.done_us.saturating_sub(self.sent_us) >= timeout_us && self.stalled(stalls)
    }

    /// Answered later than answers are waited for, though the harness did not stand still.
    pub(crate) fn late(&self, timeout_us: u64, stalls: &[(u64, u64)]) -> bool {
        let took_us = self.done_us.saturating_sub(self.sent_us);
        took_us > timeout_us.saturating_add(LATE_US) && !self.stalled(stalls)
    }

    fn stalled(&self, stalls: &[(u64, u64)]) -> bool {
        stalls.iter().any(|(from, to)| *from <= self.done_us && *to >= self.sent_us)
    }
}

/// The span in which the true moment lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// The last bad probe was sent.
    pub early_us: u64,
    /// The first good answer came.
    pub late_us: u64,
}

/// What is asked of the probes of one service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The first fault was issued.
    pub(crate) t0_us: u64,
    /// The last fault had struck.
    pub(crate) struck_us: u64,
    /// Watching stopped.
    pub(crate) watched_us: u64,
    /// How long it must stay good.
    pub(crate) stable_us: u64,
    /// How long an answer is waited for.
    pub(crate) timeout_us: u64,
    /// When watching had stopped, answers were waited for so long.
    pub(crate) drain_us: u64,
    /// When the harness stood still: from, to.
    pub(crate) stalls: &'a [(u64, u64)],
}

/// What the probes of one service show about the time after the first fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outage {
    /// t1: the first bad probe was due.
    pub t1_us: Option<u64>,
    /// Its number.
    pub first_bad: Option<u64>,
    /// When the last bad one was sent.
    pub last_bad_us: Option<u64>,
    /// t4: the first good answer after it.
    pub t4_us: Option<u64>,
    /// t5: the start of the first stable window, seen to its end.
    pub recovered: Option<Window>,
    /// A window that was still running when watching stopped began here.
    pub pending_us: Option<u64>,
    /// Bad probes after the first fault.
    pub bad: u64,
    /// All probes after the first fault that say something.
    pub asked: u64,
    /// Probes that ran out of time while the harness stood still.
    pub void: u64,
    /// The longest span after t0 between two probes that were sent and say something.
    pub resolution_us: u64,
    /// Probes of the schedule that are missing after t0: a drill asks every one, however late.
    pub missing: u64,
    /// How late the harness itself sent a probe, at worst, while it mattered.
    pub lag_us: u64,
    /// The schedule's period.
    pub period_us: u64,
    /// The last probe that was answered or given up.
    pub watched_until_us: u64,
    /// The events that prove it: first bad, last bad, first good, end of the window.
    pub evidence: Vec<u64>,
}

impl Outage {
    /// From probes in the order of their numbers.
    pub(crate) fn of(probes: &[ProbeRecord], asked: &Asked<'_>) -> Outage {
        let Asked { t0_us, watched_us, timeout_us, stalls, .. } = *asked;
        let counts = |p: &&ProbeRecord| p.done_us >= t0_us && p.due_us <= watched_us;
        let (void, after): (Vec<ProbeRecord>, Vec<ProbeRecord>) =
            probes.iter().filter(counts).copied().partition(|p| p.void(timeout_us, stalls));
        let first_bad = after.iter().find(|p| !p.good);
        let until = after.iter().map(|p| p.due_us).max().unwrap_or(t0_us).min(watched_us);
        let mut outage = Outage {
            t1_us: first_bad.map(|p| p.due_us),
            first_bad: first_bad.map(|p| p.n),
            last_bad_us: after.iter().filter(|p| !p.good).map(|p| p.sent_us).max(),
            t4_us: None,
            recovered: None,
            pending_us: None,
            bad: after.iter().filter(|p| !p.good).count() as u64,
            asked: after.len() as u64,
            void: void.len() as u64,
            resolution_us: 0,
            missing: 0,
            lag_us: 0,
            period_us: period(probes),
            watched_until_us: until,
            evidence: Vec::new(),
        };
        let back_us = outage.recovery(&after, asked.struck_us, asked.stable_us, until);
        if outage.bad == 0 {
            // That nothing failed is proved from the first probe to the last.
            outage.evidence.extend(after.first().map(|p| p.seq));
            outage.evidence.extend(after.last().filter(|_| after.len() > 1).map(|p| p.seq));
        }
        let numbers = || after.iter().chain(&void).map(|p| p.n);
        // Who was asked first may have been answered last: what ended before t0 was asked all the same.
        if let (Some(first), Some(last)) = (numbers().min(), numbers().max()) {
            let there = probes.iter().filter(|p| (first..=last).contains(&p.n)).count() as u64;
            outage.missing = (last - first).saturating_add(1).saturating_sub(there);
        }
        outage.resolve(&after, back_us, asked);
        outage
    }

    /// Answers with when the first good question was sent, if the service came back.
    fn recovery(&mut self, after: &[ProbeRecord], struck_us: u64, stable_us: u64, until: u64) -> Option<u64> {
        let first_bad = after.iter().position(|p| !p.good)?;
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
                let first = run.iter().min_by_key(|p| p.done_us).unwrap_or(good);
                let late_us = first.done_us.max(struck_us);
                let before = after[..start + next].iter().filter(|p| !p.good).max_by_key(|p| p.sent_us);
                let early_us = before.map_or(late_us, |p| p.sent_us).min(late_us);
                self.recovered = Some(Window { early_us, late_us });
                self.evidence.extend(before.map(|p| p.seq));
                self.evidence.push(good.seq);
                return Some(first.sent_us);
            }
            let Some(relapse) = relapse else {
                self.pending_us = Some(good.done_us);
                return None;
            };
            start += next + relapse;
        }
        None
    }

    /// The longest span in which nothing was asked, from the fault to the end of watching, and how late the harness was at
    /// worst. Questions that were under way when watching stopped were waited for, and nothing was asked meanwhile. Where
    /// the service came back, what went unseen before that counts as outage already: `back_us` is when the first good
    /// question was sent.
    fn resolve(&mut self, after: &[ProbeRecord], back_us: Option<u64>, asked: &Asked<'_>) {
        let t0_us = back_us.unwrap_or(asked.t0_us).max(asked.t0_us);
        let end_us = asked.watched_us.saturating_sub(asked.drain_us).max(self.watched_until_us).max(t0_us);
        self.lag_us = after.iter().map(|p| p.sent_us.saturating_sub(p.due_us)).max().unwrap_or(0);
        // A good answer that was read late says that the service was there at some time since it was asked; it may have
        // hung before, for longer than any answer is waited for.
        let asked_us = |p: &ProbeRecord| p.sent_us.max(p.done_us.saturating_sub(asked.timeout_us));
        let within = |at: u64| at.clamp(t0_us, end_us);
        let mut sent: Vec<(u64, u64)> =
            after.iter().map(|p| (within(p.sent_us), within(asked_us(p)))).collect();
        sent.extend([(t0_us, t0_us), (end_us, end_us)]);
        sent.sort_unstable();
        // From one that was sent to the next of which it is known that the service was there.
        self.resolution_us = sent.windows(2).map(|w| w[1].1.saturating_sub(w[0].0)).max().unwrap_or(0);
    }

    /// Whether a stall of the harness lies across a moment.
    pub fn stalled_at(stalls: &[(u64, u64)], at_us: u64) -> Option<(u64, u64)> {
        stalls.iter().copied().find(|(from, to)| *from <= at_us && *to >= at_us)
    }
}

/// Bad probes before the first fault, once the stack had been seen to be well. One that was still under way at t0 is the
/// fault's doing only if a good one could have been, too.
pub(crate) fn bad_before(
    probes: &[ProbeRecord],
    (storm_us, t0_us): (u64, u64),
    (every_us, timeout_us): (u64, u64),
    stalls: &[(u64, u64)],
) -> u64 {
    let usual = probes.iter().filter(|p| p.good && p.done_us < t0_us);
    let usual_us = usual.map(|p| p.done_us.saturating_sub(p.due_us)).max();
    let grace_us = usual_us.unwrap_or(0).saturating_add(every_us.saturating_mul(2));
    let before = |p: &&ProbeRecord| {
        !p.good
            && !p.void(timeout_us, stalls)
            && p.due_us >= storm_us
            && (p.done_us < t0_us || p.due_us.saturating_add(grace_us) < t0_us)
    };
    probes.iter().filter(before).count() as u64
}

fn period(probes: &[ProbeRecord]) -> u64 {
    match probes {
        [a, .., b] if b.n > a.n => b.due_us.saturating_sub(a.due_us) / (b.n - a.n),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
