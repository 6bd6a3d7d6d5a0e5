//! The drill over time: a lane for each service, fault and recovery step, with t0 to t6, RTO and its limit.

use harness::{
    report::{
        Report, ServiceReport,
        drawing::{Answers, Lane, NOTICED_US, Step},
    },
    time::human_us,
};
use maud::{Markup, html};

use super::{
    ROWS_MAX, lines,
    plot::{LEFT, RIGHT, Scale, WIDTH, fit, key, label, n},
    scroll, text,
};
use crate::text::words::{count, limit_us, maybe_us};

const LANE: f64 = 24.0;
/// Below a lane of a service that was hurt: its RTO, and its moments.
const UNDER: f64 = 38.0;
const ROW: f64 = 27.0;

pub(super) fn section(r: &Report) -> Markup {
    let d = &r.drawing;
    if d.lanes.is_empty() {
        return html! {};
    }
    html! {
        section #timeline {
            h2 { "What happened, over time" }
            p.lead {
                @if d.t0_us.is_some() {
                    "Seconds count from t0, the moment the first fault was issued. A service is unavailable until it stays good; "
                    "the truth lies between the last bad and the first good answer, and the late end is judged."
                } @else { "No fault was issued, so there is no t0: seconds count from the first question." }
            }
            figure { (scroll("Timeline", chart(r))) (legend(r)) }
            (services(r))
            (steps(r))
        }
    }
}

fn chart(r: &Report) -> Markup {
    let (d, scale) = (&r.drawing, Scale::of(&r.drawing));
    let (mut y, mut rows) = (62.0, Vec::new());
    let head = |y: f64, words: &str| html! { text.head x="0" y=(n(y + 12.0)) { (words) } };
    rows.push(head(y, "SERVICES"));
    y += 20.0;
    for lane in &d.lanes {
        let (drawn, next) = service(r, &scale, lane, y);
        rows.push(drawn);
        y = next;
    }
    for (fault, words) in [(true, "FAULTS"), (false, "RECOVERY")] {
        let of: Vec<&Step> = d.steps.iter().filter(|s| s.fault == fault).take(ROWS_MAX).collect();
        if !of.is_empty() {
            y += 6.0;
            rows.push(head(y, words));
            y += 20.0;
            for s in of {
                rows.push(step(&scale, s, y));
                y += ROW;
            }
        }
    }
    html! {
        svg.chart viewBox={ "0 0 " (WIDTH) " " (n(y + 4.0)) } role="img" aria-label="Timeline of the drill" {
            (phases(r, &scale))
            (scale.t0(d, 24.0, y))
            (scale.axis(38.0, y, 52.0))
            @if let Some(t0) = d.t0_us {
                text.t0t x=(n(scale.x(t0) + 4.0)) y="35" { "t0" }
            }
            @for row in rows { (row) }
        }
    }
}

fn phases(r: &Report, scale: &Scale) -> Markup {
    html! {
        text.head x="0" y="15" { "PHASE" }
        text.head x="0" y="52" { (if r.drawing.t0_us.is_some() { "SINCE t0" } else { "TIME" }) }
        @for (i, (name, from, to)) in r.drawing.phases.iter().filter(|(_, from, _)| scale.holds(*from)).enumerate() {
            @let (a, b) = (scale.x(*from), scale.x(*to));
            rect class=(if i % 2 == 0 { "phase" } else { "phase odd" }) x=(n(a)) y="2" width=(n((b - a).max(0.5))) height="18" {
                title { (text(name)) }
            }
            @let short = fit(&text(name), b - a - 8.0, 6.4);
            @if short.chars().count() > 3 { text.pht x=(n(a + 5.0)) y="15" { (short) } }
        }
    }
}

fn service(r: &Report, scale: &Scale, lane: &Lane, y: f64) -> (Markup, f64) {
    let s = r.services.iter().find(|s| s.service == lane.service);
    let hurt = s.filter(|s| s.impact_us.is_some());
    let bands = html! {
        text.th x="0" y=(n(y + 16.0)) { (fit(&text(&lane.service), LEFT - 12.0, 7.2)) }
        @for b in &lane.bands {
            @let (from, to) = (scale.x(b.from_us), scale.x(b.to_us));
            rect class=(state(b.state)) x=(n(from)) y=(n(y)) width=(n((to - from).max(1.5))) height=(n(LANE - 2.0)) {
                title { (state(b.state)) ": " (count(b.asked)) " probes" }
            }
        }
    };
    let Some(s) = hurt else { return (bands, y + LANE + 8.0) };
    let under = html! { (bands) (rto(r, scale, s, y + LANE)) (moments(r, scale, s, y + LANE)) };
    (under, y + LANE + UNDER + 6.0)
}

/// From t0 to the interval in which the outage ended, and the limit.
fn rto(r: &Report, scale: &Scale, s: &ServiceReport, y: f64) -> Markup {
    let Some(t0) = r.drawing.t0_us else { return html! {} };
    let limit = r.objectives.iter().find(|o| o.service == s.service).and_then(|o| o.rto_us);
    let (early, late) = (s.rto_early_us, s.rto_us);
    let line = n(y + 9.0);
    let end = scale.x(late.map_or(u64::MAX, |us| t0.saturating_add(us)));
    let outage = match (early, late) {
        (Some(a), Some(b)) => format!("outage {} – {}", human_us(a), human_us(b)),
        _ => "not back for good".into(),
    };
    html! {
        text.ts x="0" y=(n(y + 9.0)) { (outage) }
        line.rto x1=(n(scale.x(t0))) x2=(n(end)) y1=(line) y2=(line) {}
        @if let (Some(a), Some(_)) = (early, late) {
            @let from = scale.x(t0.saturating_add(a));
            rect.rtoint x=(n(from)) y=(n(y + 5.0)) width=(n((end - from).max(2.5))) height="8" { title { (outage) } }
        }
        @if let Some(limit) = limit {
            @let (at, words) = (t0.saturating_add(limit), format!("limit {}", limit_us(limit)));
            @let x = scale.x(at);
            text.ts x="0" y=(n(y + 23.0)) { "allowed " (limit_us(limit)) }
            @if late.is_some() && x > end { line.rest x1=(n(end + 3.0)) x2=(n(x)) y1=(line) y2=(line) {} }
            @if scale.holds(at) {
                line.limit x1=(n(x)) x2=(n(x)) y1=(n(y + 2.0)) y2=(n(y + 16.0)) {}
                (label("limt", x + if x > RIGHT - 80.0 { -5.0 } else { 5.0 }, y + 6.0, x > RIGHT - 80.0, &words))
            } @else {
                (label("limt", RIGHT, y + 6.0, true, &format!("{words} ▸")))
            }
        }
    }
}

/// t1 to t6; those that stand too close share a label.
fn moments(r: &Report, scale: &Scale, s: &ServiceReport, y: f64) -> Markup {
    let Some(t0) = r.drawing.t0_us else { return html! {} };
    let all = [
        (1, s.impact_us),
        (2, s.detected_us),
        (3, s.recovery_started_us),
        (4, s.first_good_us),
        (5, s.rto_us),
        (6, s.verified_us),
    ];
    let mut at: Vec<(f64, u8)> =
        all.iter().filter_map(|(i, us)| Some((scale.x(t0.saturating_add((*us)?)), *i))).collect();
    at.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut groups: Vec<(f64, Vec<u8>)> = Vec::new();
    for (x, i) in &at {
        match groups.last_mut().filter(|(start, g)| *x < start + if g.len() > 1 { 44.0 } else { 24.0 }) {
            Some((_, group)) => group.push(*i),
            None => groups.push((*x, vec![*i])),
        }
    }
    html! {
        @for (x, _) in &at { line.tick x1=(n(*x)) x2=(n(*x)) y1=(n(y + 17.0)) y2=(n(y + 25.0)) {} }
        @for (x, group) in &groups {
            @let words = named(group);
            @if *x > RIGHT - 44.0 { text class="ts end" x=(n((*x + 8.0).min(RIGHT))) y=(n(y + 34.0)) { (words) } }
            @else { text.ts x=(n(*x + 3.0)) y=(n(y + 34.0)) { (words) } }
        }
    }
}

fn named(group: &[u8]) -> String {
    match group {
        [one] => format!("t{one}"),
        [first, .., last] if group.windows(2).all(|w| w[0] + 1 == w[1]) && group.len() > 2 => {
            format!("t{first}–t{last}")
        }
        more => more.iter().map(|i| format!("t{i}")).collect::<Vec<_>>().join(" "),
    }
}

fn step(scale: &Scale, s: &Step, y: f64) -> Markup {
    let (began, ended) = (scale.x(s.began_us), scale.x(s.ended_us.unwrap_or(s.began_us)));
    let until = s.until_us.map_or(if s.fault { RIGHT } else { ended }, |us| scale.x(us)).max(ended);
    let (act, hold) = if s.fault { ("act", "hold") } else { ("fix", "fixhold") };
    let (body, edge) = ((until - began).max(3.0), (ended - began).max(3.0));
    let what = s.acts.first().map_or("nothing is done".into(), |(what, _)| text(what));
    let what = if s.acts.len() > 1 { format!("{what}, and {} more", s.acts.len() - 1) } else { what };
    let failed = s.acts.iter().any(|(_, seen)| seen.starts_with("FAILED"));
    let what = match (s.observed, failed) {
        (true, _) => what,
        (false, true) => format!("FAILED: {what}"),
        (false, false) => format!("NOT OBSERVED: {what}"),
    };
    let (left, right) = (began - LEFT, RIGHT - (began + edge));
    html! {
        text.t x="0" y=(n(y + 15.0)) { (fit(&text(&s.name), LEFT - 12.0, 6.8)) }
        @if s.fault { rect class=(hold) x=(n(began)) y=(n(y + 17.0)) width=(n(body)) height="5" { title { "until undone or lifted" } } }
        rect class=(act) x=(n(began)) y=(n(y + 3.0)) width=(n(edge)) height=(if s.fault { "19" } else { "14" }) rx="1.5" { title { (what) } }
        @if right > 200.0 || right >= left { text.ts x=(n(began + edge + 6.0)) y=(n(y + 13.0)) { (fit(&what, right - 10.0, 6.1)) } }
        @else { text class="ts end" x=(n(began - 6.0)) y=(n(y + 13.0)) { (fit(&what, left - 10.0, 6.1)) } }
    }
}

fn state(s: Answers) -> &'static str {
    match s {
        Answers::Good => "good",
        Answers::Slow => "slow",
        Answers::Bad => "bad",
    }
}

fn legend(r: &Report) -> Markup {
    let slow: Vec<String> = r
        .drawing
        .lanes
        .iter()
        .map(|l| {
            let by = match l.slow_us {
                _ if l.slow_is_objective => "its objective",
                NOTICED_US => "the floor",
                _ => "three times its p99 before the fault",
            };
            format!("{} over {} ({by})", text(&l.service), human_us(l.slow_us))
        })
        .take(12)
        .collect();
    html! {
        ul.legend {
            (key("good", "good"))
            (key("slow", "slow"))
            (key("bad", "bad: wrong, refused or no answer"))
            (key("act", "fault strikes"))
            (key("hold", "until lifted or undone"))
            (key("fix", "recovery step"))
            (key("rtoint", "outage ended in this interval"))
        }
        p.why-line { "Slow: " (slow.join("; ")) "." }
    }
}

fn services(r: &Report) -> Markup {
    let head = [
        "Service",
        "Gone",
        "Allowed",
        "t1 impact",
        "t2 detected",
        "t3 recovery",
        "t4 first good",
        "t5 stable",
        "t6 verified",
        "Probes",
        "Bad",
        "Slow",
    ];
    let table = html! {
        table.tight {
            caption { "Services, counted from t0. t1 to t6 as marked below each lane" }
            thead { tr { @for (i, h) in head.iter().enumerate() { th class=(if i > 0 { "num" } else { "" }) { (h) } } } }
            tbody { @for (s, lane) in r.services.iter().zip(&r.drawing.lanes) {
                @let limit = r.objectives.iter().find(|o| o.service == s.service).and_then(|o| o.rto_us);
                @let slow: u64 = lane.bands.iter().map(|b| b.slow).sum();
                tr {
                    td { strong { (text(&s.service)) } span.why-line { (s.priority) } }
                    td class="num gone" { (outage(s)) }
                    td.num { (limit.map_or("–".into(), limit_us)) }
                    @for us in [s.impact_us, s.detected_us, s.recovery_started_us, s.first_good_us, s.rto_us, s.verified_us] {
                        td.num { (maybe_us(us)) }
                    }
                    td.num { (count(s.probes)) }
                    td class=(if s.bad > 0 { "num harm" } else { "num" }) { (count(s.bad)) }
                    td.num { (count(slow)) }
                }
            } }
        }
    };
    let reasons = r.services.iter().filter_map(|s| Some((s, s.why.as_ref()?)));
    html! {
        (scroll("Services", table))
        @for (s, why) in reasons.take(ROWS_MAX) {
            p.why-line {
                (text(&s.service)) " was first bad: " (text(why)) ". "
                @if s.lifted { "It came back once the fault was lifted. " }
                @if s.detection_bypassed { "Detection: bypassed, recovery had a fixed time. " }
                "A probe every " (human_us(s.probe_period_us)) "; the harness was at worst " (human_us(s.harness_lag_us)) " late."
            }
        }
        @for s in r.services.iter().filter(|s| s.older > 0).take(ROWS_MAX) {
            p.why-line { (text(&s.service)) " showed " (count(s.older)) " records as they were before an acknowledged write." }
        }
    }
}

fn outage(s: &ServiceReport) -> String {
    match (s.rto_early_us, s.rto_us) {
        _ if s.absorbed => "never".into(),
        (Some(early), Some(late)) => {
            format!("{} – {}", unbroken(&human_us(early)), unbroken(&human_us(late)))
        }
        _ if s.impact_us.is_some() => "to the end".into(),
        _ => "not measured".into(),
    }
}

/// A figure that stays with its unit.
fn unbroken(figure: &str) -> String {
    figure.replace(' ', "\u{a0}")
}

fn steps(r: &Report) -> Markup {
    let t0 = r.drawing.t0_us.unwrap_or(0);
    let since = |us: u64| if us >= t0 { human_us(us - t0) } else { format!("−{}", human_us(t0 - us)) };
    let table = html! {
        table.cards {
            caption { "Counted from t0" }
            thead { tr { th { "Step" } th.num { "Issued" } th.num { "Effect seen" } th.num { "Lifted or undone" } th { "What was done, and what was seen" } th { "Lines" } } }
            tbody { @for s in r.drawing.steps.iter().take(ROWS_MAX) {
                tr {
                    td { strong { (text(&s.name)) } span.why-line { (if s.fault { "fault" } else { "recovery" }) } }
                    td.num data-label="Issued" { (since(s.began_us)) }
                    td.num data-label="Effect seen" { (s.ended_us.map_or("never".into(), since)) }
                    td.num data-label="Lifted or undone" { (s.until_us.map_or("–".into(), since)) }
                    td { @for (what, seen) in s.acts.iter().take(32) { (text(what)) span.why-line { (text(seen)) } }
                        @if s.acts.is_empty() { "nothing is done" } }
                    td { (lines(r, &s.evidence)) }
                }
            } }
        }
    };
    html! { @if !r.drawing.steps.is_empty() { h3 { "Faults and recovery" } (scroll("Faults and recovery", table)) } }
}
