//! A result as a table for the terminal: build time and memory, then speed at equal recall.

use std::fmt::Write as _;

use super::{
    result::{ContenderResult, Results, SetResult},
    stats::{At, spread},
    summary::{
        BUSY, RECALLS, at, cpu_seconds, curve, deterministic, extra_bytes, foreign, growth, names,
        peak_bytes, seconds, times_as_fast, worst_recall,
    },
};

/// The whole table.
pub fn table(r: &Results) -> String {
    let mut out = String::new();
    let m = &r.machine;
    let _ = writeln!(out, "INDEX REBUILDS: vectors in memory to a synced file, each in a process of its own");
    let gib = m.memory as f64 / f64::from(1 << 30);
    let _ = writeln!(out, "  machine   {}, {} cores, {gib:.0} GiB, kernel {}", m.cpu, m.cores, m.kernel);
    let _ = writeln!(out, "  features  {}", if m.features.is_empty() { "none of note" } else { &m.features });
    if let Some(device) = &m.device {
        let _ = writeln!(out, "  device    {device}");
    }
    if let Some(start) = &r.start {
        let took = |seconds: &[f64]| {
            spread(seconds)
                .map_or("-".into(), |s| format!("{:.2} s ({:.2} to {:.2})", s.median, s.low, s.high))
        };
        let (cold, cached) = (took(&start.cold_seconds), took(&start.cached_seconds));
        let _ = writeln!(
            out,
            "  start     of the OpenCL engine, rows of {}: cold {cold}, cached {cached}",
            start.dim
        );
    }
    let peers: Vec<String> = r.peers.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let peers = if peers.is_empty() { "none took part".into() } else { peers.join(", ") };
    let _ = writeln!(out, "  peers     {peers}");
    let _ = writeln!(out, "  figures   medians of n={}, {} threads a build, 1 a search", r.rounds, r.threads);
    for s in &r.skipped {
        let _ = writeln!(out, "  SKIPPED   {s}");
    }
    for s in &r.sets {
        set(&mut out, r, s);
    }
    scale(&mut out, r);
    notes(&mut out, r);
    out
}

fn set(out: &mut String, r: &Results, s: &SetResult) {
    let metric = s.own.as_ref().map_or(String::new(), |own| format!("; {}", own.metric.name()));
    let _ = writeln!(
        out,
        "\n{} ({} vectors of {} values, {} queries{metric})",
        s.name, s.vectors, s.dim, s.queries
    );
    if let Some(own) = &s.own {
        let held = || format!("rows of {} itself, drawn with a fixed seed and held out: in no index", s.name);
        let _ = writeln!(out, "  queries   {}", own.queries.clone().unwrap_or_else(held));
    }
    let mut kinds: Vec<&str> = s.contenders.iter().map(|c| c.kind.as_str()).collect();
    kinds.dedup();
    for kind in kinds {
        let of_kind: Vec<&ContenderResult> = s.contenders.iter().filter(|c| c.kind == kind).collect();
        let _ = writeln!(
            out,
            "  {kind:<19} {:>8} {:>17} {:>7} {:>6} {:>7} {:>7} {:>6} {:>6} {:>6}  searched by",
            "seconds", "interval", "cpu", "peak", "beyond", "others", "@.95", "@.97", "@.99"
        );
        for c in &of_kind {
            line(out, c, r.machine.cores);
        }
        faster(out, &of_kind);
        ahead(out, &of_kind);
    }
}

fn line(out: &mut String, c: &ContenderResult, cores: u32) {
    let Some(s) = seconds(c) else {
        let _ = writeln!(out, "    {:<17} FAILED: {}", c.name, c.failed.as_deref().unwrap_or("no build"));
        return;
    };
    let interval = format!("{:.2} to {:.2}", s.low, s.high);
    let busy = foreign(c, cores).unwrap_or(0.0);
    let busy = format!("{:.0} %{}", busy * 100.0, if busy > BUSY { "!" } else { " " });
    let speeds: Vec<String> = RECALLS.iter().map(|recall| speed(at(c, *recall))).collect();
    let _ = writeln!(
        out,
        "    {:<17} {:>8.2} {:>17} {:>7} {:>6} {:>7} {:>7} {:>6} {:>6} {:>6}  {}",
        c.name,
        s.median,
        interval,
        cpu_seconds(c).map_or("-".into(), |s| format!("{s:.1}")),
        mib(peak_bytes(c)),
        mib(extra_bytes(c)),
        busy,
        if c.searches.is_empty() { "-" } else { &speeds[0] },
        if c.searches.is_empty() { "-" } else { &speeds[1] },
        if c.searches.is_empty() { "-" } else { &speeds[2] },
        c.searcher.as_deref().filter(|_| !c.searches.is_empty()).unwrap_or("nobody")
    );
    if let Some(ran) = c.builds.iter().rev().find_map(|b| b.ran.as_ref()) {
        let _ = writeln!(out, "    {:<17} ran: {ran}", "");
    }
    if let Some(why) = &c.failed {
        let _ = writeln!(out, "    {:<17} INCOMPLETE: {why}", "");
    }
}

/// How many times faster than each peer ours is, and at which part of its speed of search.
fn faster(out: &mut String, of_kind: &[&ContenderResult]) {
    for ours in of_kind.iter().filter(|c| c.ours) {
        for peer in of_kind.iter().filter(|c| !c.ours) {
            let Some(ratio) = times_as_fast(ours, peer) else { continue };
            // Speeds are of one searcher, or they compare searchers.
            let same = ours.searcher.is_some() && ours.searcher == peer.searcher;
            let speeds: Vec<String> = RECALLS
                .iter()
                .filter_map(|r| Some((r, at(ours, *r).qps()? / at(peer, *r).qps()?)))
                .map(|(r, x)| format!("{x:.2} x at {r:.2}"))
                .collect();
            let speeds = match (same, speeds.is_empty()) {
                (true, false) => format!("; queries a second {}", speeds.join(", ")),
                (true, true) => "; no recall of the three that both reach".into(),
                (false, _) => "; other searchers, so speeds are not compared".into(),
            };
            let (x, low, high) = (ratio.median, ratio.low, ratio.high);
            let names = format!("{} / {}", ours.name, peer.name);
            let _ = writeln!(out, "    {names}: {x:.1} x as fast ({low:.1} to {high:.1}){speeds}");
            if let Some((setting, by)) =
                worst_recall(ours, peer).filter(|_| same && ours.kind.starts_with("ivf"))
            {
                let _ = writeln!(
                    out,
                    "      recall at the same nprobe: {by:+.4} where it differs most, at {setting}"
                );
            }
        }
    }
}

/// In what a peer beats every engine of ours, whoever searched: its users have its searcher.
fn ahead(out: &mut String, of_kind: &[&ContenderResult]) {
    let ours: Vec<&ContenderResult> =
        of_kind.iter().copied().filter(|c| c.ours && !c.builds.is_empty()).collect();
    for peer in of_kind.iter().filter(|c| !c.ours && !ours.is_empty()) {
        let least = |of: &dyn Fn(&ContenderResult) -> Option<f64>| {
            ours.iter().map(|c| of(c)).collect::<Option<Vec<f64>>>()?.into_iter().reduce(f64::min)
        };
        let mut said = Vec::new();
        if let Some(x) = least(&|c| Some(times_as_fast(peer, c)?.median)).filter(|x| *x > 1.0) {
            said.push(format!("built {x:.2} x as fast"));
        }
        let memory = least(&extra_bytes).zip(extra_bytes(peer)).filter(|(ours, theirs)| theirs < ours);
        if let Some((ours, theirs)) = memory {
            said.push(format!("{} MiB beyond the vectors, not {}", mib(Some(theirs)), mib(Some(ours))));
        }
        for recall in RECALLS {
            let theirs = match at(peer, recall) {
                At::Qps(q) | At::AtLeast(q) => q,
                At::NotReached => continue,
            };
            let best: Option<Vec<f64>> = ours
                .iter()
                .map(|c| match at(c, recall) {
                    At::Qps(q) => Some(q),
                    // How much more is not known.
                    At::AtLeast(_) => None,
                    At::NotReached => Some(0.0),
                })
                .collect();
            match best.and_then(|all| all.into_iter().reduce(f64::max)) {
                Some(0.0) if !ours.iter().all(|c| c.searches.is_empty()) => {
                    said.push(format!("alone at {recall:.2}"));
                }
                Some(best) if best > 0.0 && theirs > best => {
                    said.push(format!("queries {:.2} x at {recall:.2}", theirs / best));
                }
                _ => {}
            }
        }
        if !said.is_empty() {
            let _ = writeln!(out, "    {} is ahead of gameday: {}", peer.name, said.join("; "));
        }
    }
}

fn scale(out: &mut String, r: &Results) {
    let rows: Vec<String> = names(r)
        .iter()
        .filter_map(|(name, kind)| Some((name, kind, growth(r, name, kind)?)))
        .map(|(name, kind, e)| format!("    {:<22} {e:.2}\n", format!("{name} {kind}")))
        .collect();
    if !rows.is_empty() {
        out.push_str("\nGROWTH: build time grows as the number of vectors to the power of\n");
        rows.iter().for_each(|row| out.push_str(row));
    }
}

fn notes(out: &mut String, r: &Results) {
    out.push_str("\n  seconds   what is compared; interval: holds the true median with 93 % (of fewer than five: all)\n");
    if r.start.is_some() {
        out.push_str(
            "  start     process, device and programs of a graph, each run once; it is in every build time\n",
        );
    }
    out.push_str("  cpu       processor time of the build in seconds; it hardly depends on what others do\n");
    out.push_str(
        "  peak      memory of the builder and its helpers in MiB; beyond: what was on top of the vectors\n",
    );
    out.push_str("  others    part of the machine that others took while it was built; ! above a tenth\n");
    out.push_str(
        "  @.95      queries a second at that recall@10, interpolated; > more even at the easiest\n",
    );
    out.push_str("            setting; - not reached, or nobody searched\n");
    out.push_str("  x as fast medians of the ratios within a round, with their interval\n");
    out.push_str("  ahead     where a peer beats every engine of gameday; its files are searched by its own searcher\n");
    let all: Vec<&ContenderResult> = r.sets.iter().flat_map(|s| &s.contenders).filter(|c| c.ours).collect();
    let differs: Vec<&str> =
        all.iter().filter(|c| deterministic(c) == Some(false)).map(|c| c.name.as_str()).collect();
    if !differs.is_empty() {
        let _ = writeln!(out, "  WARNING   not the same bytes in every round: {}", differs.join(", "));
    } else if all.iter().any(|c| deterministic(c).is_some()) {
        out.push_str("  bytes     every engine of gameday wrote the same bytes in every round\n");
    }
    if r.rounds < 5 {
        let _ = writeln!(out, "  NOTE      n={} is too few for a claim; five is the least", r.rounds);
    }
    if all.iter().any(|c| foreign(c, r.machine.cores).is_some_and(|f| f > BUSY)) {
        out.push_str("  WARNING   the machine was busy: these times are no claim about anything\n");
    }
}

fn speed(at: At) -> String {
    match at {
        At::Qps(q) => format!("{q:.0}"),
        At::AtLeast(q) => format!(">{q:.0}"),
        At::NotReached => "-".into(),
    }
}

fn mib(bytes: Option<f64>) -> String {
    bytes.map_or("-".into(), |b| format!("{:.0}", b / f64::from(1 << 20)))
}

/// The curves behind the table, one line a setting.
pub fn curves(r: &Results) -> String {
    let mut out = String::from("set,contender,kind,setting,recall_at_10,queries_per_second\n");
    for s in &r.sets {
        for c in &s.contenders {
            for (setting, recall, qps) in curve(c) {
                let _ = writeln!(out, "{},{},{},{setting},{recall:.4},{qps:.0}", s.name, c.name, c.kind);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rebuild::result::tests::sample;

    #[test]
    fn the_table() {
        insta::assert_snapshot!("table", table(&sample()));
    }

    #[test]
    fn a_busy_machine_and_growth_are_said() {
        let mut r = sample();
        r.rounds = 1;
        r.peers.clear();
        r.sets[0].name = "scale-10k".into();
        let mut larger = r.sets[0].clone();
        (larger.name, larger.vectors) = ("scale-100k".into(), 2_000_000);
        for b in larger.contenders.iter_mut().flat_map(|c| &mut c.builds) {
            b.seconds *= 12.0;
            b.foreign_seconds = b.seconds;
            b.file_digest = format!("{}", b.seconds);
        }
        larger.contenders[1].searcher = Some("gameday".into());
        r.sets.push(larger);
        insta::assert_snapshot!("table_busy", table(&r));
    }

    #[test]
    fn the_curves() {
        insta::assert_snapshot!("curves", curves(&sample()));
    }
}
