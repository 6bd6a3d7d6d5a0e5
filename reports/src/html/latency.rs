//! Latency over time, for each service: the middle, the 99th percentile and the slowest good answer of each column.

use harness::{
    report::{
        Report,
        drawing::{Lane, Point},
    },
    time::human_us,
};
use maud::{Markup, html};

use super::{
    plot::{LEFT, RIGHT, Scale, WIDTH, fit, key, label, n},
    scroll, text,
};
use crate::text::words::count;

const TOP: f64 = 12.0;
const BOTTOM: f64 = 122.0;

pub(super) fn section(r: &Report) -> Markup {
    let lanes: Vec<&Lane> = r.drawing.lanes.iter().filter(|l| !l.latency.is_empty()).collect();
    if lanes.is_empty() {
        return html! {};
    }
    html! {
        section #latency {
            h2 { "How long answers took" }
            p.lead { "Good answers only, from the time that the schedule intended, on a logarithmic scale. Columns with bad answers are hatched." }
            ul.legend {
                (key("area", "half to 99 % of answers took this long"))
                (key("dot", "slowest"))
                (key("badwash", "bad answers in this column"))
            }
            @for lane in &lanes { figure { (scroll(&format!("Latency of {}", text(&lane.service)), chart(r, lane))) } }
            (scroll("Latency", table(&lanes)))
        }
    }
}

/// From a latency to its height: decades of microseconds.
#[derive(Clone, Copy, Debug)]
struct Decades {
    from: i32,
    to: i32,
}

impl Decades {
    fn of(lane: &Lane) -> Decades {
        let all = || lane.latency.iter().filter_map(|p| p.quantiles_us);
        let low = all().map(|q| q[0]).min().unwrap_or(1_000).max(1);
        let high = all().map(|q| q[3]).max().unwrap_or(1_000).max(lane.slow_us).max(2);
        let from = low.ilog10() as i32;
        Decades { from, to: ((high - 1).ilog10() as i32 + 1).max(from + 1) }
    }

    fn y(self, us: u64) -> f64 {
        let at = (us.max(1) as f64).log10();
        let share = (at - f64::from(self.from)) / f64::from(self.to - self.from);
        BOTTOM - (BOTTOM - TOP) * share.clamp(0.0, 1.0)
    }

    fn lines(self) -> impl Iterator<Item = u64> {
        (self.from..=self.to).map(|d| 10u64.saturating_pow(d.unsigned_abs()))
    }
}

fn chart(r: &Report, lane: &Lane) -> Markup {
    let (scale, decades) = (Scale::of(&r.drawing), Decades::of(lane));
    let middle = |p: &Point| (scale.x(p.from_us) + scale.x(p.to_us)) / 2.0;
    // Curves break where no answer was good.
    let runs = lane
        .latency
        .chunk_by(|a, b| a.quantiles_us.is_some() && b.quantiles_us.is_some() && b.from_us == a.to_us);
    let runs: Vec<Vec<(f64, [u64; 4])>> = runs
        .map(|run| run.iter().filter_map(|p| Some((middle(p), p.quantiles_us?))).collect::<Vec<_>>())
        .filter(|run| !run.is_empty())
        .collect();
    let path = |run: &[(f64, [u64; 4])], i: usize| {
        let at: Vec<String> = run.iter().map(|(x, q)| format!("{} {}", n(*x), n(decades.y(q[i])))).collect();
        at.join(" L")
    };
    let area = |run: &[(f64, [u64; 4])]| {
        let back: Vec<(f64, [u64; 4])> = run.iter().rev().copied().collect();
        format!("M{} L{}Z", path(run, 0), path(&back, 2))
    };
    let name = text(&lane.service);
    html! {
        svg.chart viewBox={ "0 0 " (WIDTH) " 142" } role="img" aria-label={ "Latency of " (name) " over time" } {
            text.th x="0" y="24" { (fit(&name, LEFT - 62.0, 7.2)) }
            text.ts x="0" y="40" { "latency" }
            @for us in decades.lines() {
                @let y = n(decades.y(us));
                line.grid x1=(n(LEFT)) x2=(n(RIGHT)) y1=(y) y2=(y) {}
                text class="ts end" x=(n(LEFT - 6.0)) y=(n(decades.y(us) + 4.0)) { (whole(us)) }
            }
            (scale.axis(TOP, BOTTOM, 137.0))
            @for p in lane.latency.iter().filter(|p| p.bad > 0) {
                @let (a, b) = (scale.x(p.from_us), scale.x(p.to_us));
                rect.badwash x=(n(a)) y=(n(TOP)) width=(n((b - a).max(1.0))) height=(n(BOTTOM - TOP)) { title { (count(p.bad)) " bad answers" } }
            }
            @for run in &runs {
                path.area d=(area(run)) {}
                path.p99 d={ "M" (path(run, 2)) } {}
                path.p50 d={ "M" (path(run, 0)) } {}
                @for (x, q) in run { circle.dot cx=(n(*x)) cy=(n(decades.y(q[3]))) r="1.6" {} }
            }
            @let y = decades.y(lane.slow_us);
            line.slowline x1=(n(LEFT)) x2=(n(RIGHT)) y1=(n(y)) y2=(n(y)) {}
            (label("slowt", RIGHT, if y < TOP + 14.0 { y + 14.0 } else { y - 5.0 }, true, &format!("slow over {}", human_us(lane.slow_us))))
            (scale.t0(&r.drawing, TOP, BOTTOM))
        }
    }
}

/// A power of ten, without digits that say nothing.
fn whole(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{} s", count(us / 1_000_000)),
    }
}

fn table(lanes: &[&Lane]) -> Markup {
    html! {
        table {
            caption { "Latency of good answers" }
            thead { tr { th { "Service" } th { "When" } th.num { "Good" } th.num { "Bad" } th.num { "p50" } th.num { "p90" } th.num { "p99" } th.num { "Slowest" } } }
            tbody { @for lane in lanes { @for (i, (when, p)) in lane.spans.iter().enumerate() {
                tr {
                    td { @if i == 0 { strong { (text(&lane.service)) } } }
                    td.nowrap { (when) }
                    td.num { (count(p.good)) }
                    td class=(if p.bad > 0 { "num harm" } else { "num" }) { (count(p.bad)) }
                    @for i in 0..4 { td.num { (p.quantiles_us.map_or("–".into(), |q| human_us(q[i]))) } }
                }
            } } }
        }
    }
}
