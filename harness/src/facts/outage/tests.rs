use proptest::prelude::*;

use super::*;

fn record(n: u64, sent_us: u64, done_us: u64, good: bool) -> ProbeRecord {
    ProbeRecord { n, due_us: n * 10, sent_us, done_us, good, seq: n }
}

fn asked(t0_us: u64, watched_us: u64, stable_us: u64) -> Asked<'static> {
    Asked { t0_us, struck_us: t0_us, watched_us, stable_us, timeout_us: 8, drain_us: 10, stalls: &[] }
}

/// Probes every 10 us; `g` good, `b` bad, answered after 1 us.
fn outage(pattern: &str, t0_us: u64, stable_us: u64) -> Outage {
    let probe = |(n, c): (usize, char)| record(n as u64, n as u64 * 10, n as u64 * 10 + 1, c == 'g');
    let probes: Vec<ProbeRecord> = pattern.chars().enumerate().map(probe).collect();
    Outage::of(&probes, &asked(t0_us, pattern.len() as u64 * 10, stable_us))
}

#[test]
fn recovery_is_the_start_of_the_first_stable_window() {
    let o = outage("ggbbbggggggg", 15, 40);
    assert_eq!(o.t1_us, Some(20));
    assert_eq!(o.recovered, Some(Window { early_us: 40, late_us: 51 }));
    assert_eq!((o.bad, o.void, o.resolution_us), (3, 0, 10));
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
    let probes: Vec<_> = (0..20).map(|n| record(n, n * 10, n * 10 + 1, n != 2)).collect();
    let late = Asked { struck_us: 100, ..asked(15, 200, 40) };
    assert_eq!(Outage::of(&probes, &late).recovered.unwrap().late_us, 101);
    let never = Asked { struck_us: u64::MAX, ..asked(15, 200, 40) };
    assert_eq!(Outage::of(&probes, &never).recovered, None);
}

#[test]
fn what_was_not_asked_is_the_resolution() {
    let mut probes: Vec<_> = (0..20).map(|n| record(n, n * 10, n * 10 + 1, n != 4)).collect();
    probes[6].sent_us = 75;
    assert_eq!(Outage::of(&probes, &asked(15, 200, 40)).lag_us, 15);
    probes.retain(|p| !(7..12).contains(&p.n));
    let o = Outage::of(&probes, &asked(15, 200, 40));
    assert_eq!((o.resolution_us, o.missing), (45, 5));
    // Watching went on, and nobody asked any more.
    assert_eq!(Outage::of(&probes, &asked(15, 300, 40)).resolution_us, 100);
}

#[test]
fn a_probe_that_ran_out_of_time_in_a_stall_says_nothing() {
    let mut probes: Vec<_> = (0..20).map(|n| record(n, n * 10, n * 10 + 1, true)).collect();
    (probes[5].good, probes[5].done_us) = (false, 70);
    let honest = asked(15, 200, 40);
    assert_eq!(Outage::of(&probes, &honest).bad, 1);
    let stalls = [(55, 65)];
    let o = Outage::of(&probes, &Asked { stalls: &stalls, ..honest });
    assert_eq!((o.bad, o.void, o.resolution_us), (0, 1, 20));
    // An answer that was read and is wrong is bad, whoever was slow.
    (probes[5].good, probes[5].done_us) = (false, 52);
    assert_eq!(Outage::of(&probes, &Asked { stalls: &[(51, 65)], ..honest }).bad, 1);
}

/// A world with one outage from t0 and perhaps a relapse, asked by a harness that stands still now and then.
#[derive(Clone, Debug)]
struct World {
    ends_us: u64,
    relapse: Option<(u64, u64)>,
    stalls: Vec<(u64, u64)>,
    hangs: bool,
}

const PERIOD: u64 = 50;
const TIMEOUT: u64 = 200;
const T0: u64 = 1_000;
const WATCHED: u64 = 20_000;

impl World {
    fn down(&self, at_us: u64) -> bool {
        let within = |(from, to): (u64, u64)| at_us >= from && at_us < to;
        within((T0, self.ends_us)) || self.relapse.is_some_and(within)
    }

    /// When the harness next runs.
    fn awake(&self, at_us: u64) -> u64 {
        self.stalls.iter().fold(at_us, |at, (from, to)| if (*from..*to).contains(&at) { *to } else { at })
    }

    /// What the harness writes down. A service that is up answers after 3 us; one that is down refuses at once, or
    /// hangs until it is up again.
    fn probes(&self) -> Vec<ProbeRecord> {
        let ask = |n: u64| {
            let due_us = n * PERIOD;
            let sent_us = self.awake(due_us);
            let up_us = (sent_us..).find(|at| !self.down(*at)).unwrap_or(u64::MAX);
            let answer_us = if self.hangs { up_us + 3 } else { sent_us + 3 };
            // The deadline is looked at when the harness runs; an answer that is there by then is read.
            let read_us = self.awake(answer_us);
            let given_up_us = self.awake(sent_us + TIMEOUT);
            let timely = answer_us <= given_up_us;
            let good = timely && (self.hangs || !self.down(sent_us));
            let done_us = if timely { read_us.min(given_up_us).max(answer_us) } else { given_up_us };
            ProbeRecord { n, due_us, sent_us, done_us, good, seq: n }
        };
        (0..WATCHED / PERIOD).map(ask).collect()
    }
}

fn world() -> impl Strategy<Value = World> {
    let stalls = proptest::collection::vec((0u64..WATCHED, 20u64..1_500), 0..12);
    let relapse = proptest::option::of((T0..WATCHED / 2, 1u64..3_000));
    (T0 + 1..WATCHED / 2, relapse, stalls, any::<bool>()).prop_map(|(ends_us, relapse, stalls, hangs)| {
        let mut stalls: Vec<(u64, u64)> =
            stalls.into_iter().map(|(from, long)| (from, from + long)).collect();
        stalls.sort_unstable();
        // Stalls that overlap are one.
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for (from, to) in stalls {
            match merged.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        let relapse = relapse.map(|(from, long)| (from.max(ends_us + 1), from.max(ends_us + 1) + long));
        World { ends_us, relapse, stalls: merged, hangs }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_known_contains_the_truth(world in world()) {
        let stable_us = 2_000;
        let asked = Asked {
            t0_us: T0,
            struck_us: T0,
            watched_us: WATCHED,
            stable_us,
            timeout_us: TIMEOUT,
            drain_us: TIMEOUT,
            stalls: &world.stalls,
        };
        let o = Outage::of(&world.probes(), &asked);
        // A relapse that could hide between two probes is no part of the law; nor is a service that hangs for less than the
        // time that an answer is waited for.
        let hangs_us = if world.hangs { TIMEOUT } else { 0 };
        let relapse = world.relapse.filter(|(from, to)| to - from > o.resolution_us + hangs_us);
        let hidden = world.relapse.is_some() && relapse.is_none();
        let truth_us = relapse.map_or(world.ends_us, |(_, to)| to);
        if let Some(window) = o.recovered {
            if !hidden {
                prop_assert!(window.late_us >= truth_us, "{window:?} is before {truth_us}: a false pass; {world:?}");
            }
            // Somebody was turned away, or waited in vain, by a service that was down after the early end.
            let last_us = world.relapse.map_or(world.ends_us, |(_, to)| to);
            prop_assert!(window.early_us <= last_us, "{window:?} begins after {last_us}: a false fail; {world:?}");
        } else if o.bad == 0 {
            // Nothing bad was seen: the outage was shorter than what can be told apart.
            prop_assert!(world.ends_us - T0 <= o.resolution_us + TIMEOUT, "{o:?} {world:?}");
        }
    }
}

#[test]
fn a_question_that_was_answered_out_of_turn_is_not_missing() {
    // The question of 10 is answered after t0 (25), that of 20 before it.
    let mut probes: Vec<ProbeRecord> = (0..8).map(|n| record(n, n * 10, n * 10 + 1, true)).collect();
    probes[1].done_us = 40;
    probes[2].done_us = 24;
    assert_eq!(Outage::of(&probes, &asked(25, 80, 20)).missing, 0);
    probes.remove(5);
    assert_eq!(Outage::of(&probes, &asked(25, 80, 20)).missing, 1);
}
