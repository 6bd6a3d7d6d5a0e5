//! Quality and the ledger: recall before and after with its bound, and what became of every acknowledged record.

use harness::report::{QualityReport, Report, StoreReport};
use harness::time::human_us;
use maud::{Markup, html};

use super::{
    plot::{key, n},
    scroll,
};
use crate::text::words::{count, maybe_us, share, share_at_least};

const WIDTH: f64 = 760.0;
const FROM: f64 = 196.0;
const TO: f64 = 744.0;

pub(super) fn quality(r: &Report) -> Markup {
    let Some(q) = &r.quality else { return html! {} };
    html! {
        section #quality {
            h2 { "Whether answers are still right" }
            p.lead {
                "Recall@" (q.k) " of " (q.queries) " frozen queries against exact search. End to end: the truth is everything acknowledged, "
                "so lost vectors count. Index only: the truth is what is stored. The bound is one-sided, 95 %, over paired queries."
            }
            figure { (scroll("Recall", recall(r, q))) }
            (scroll("Recall figures", figures(q)))
        }
    }
}

fn recall(r: &Report, q: &QualityReport) -> Markup {
    let limit = r.objectives.iter().filter_map(|o| o.quality).max_by(f64::total_cmp);
    let ratios = [("end to end / before", q.ratio), ("index only / before", q.ratio_stored)];
    let dots = [
        ("before, first", Some(q.before[0])),
        ("before, second", Some(q.before[1])),
        ("after, end to end", q.after),
        ("after, index only", q.after_stored),
    ];
    let bounds = ratios.iter().filter_map(|(_, r)| *r).flat_map(|(point, lower)| [point, lower]);
    let all: Vec<f64> = bounds.chain(dots.iter().filter_map(|(_, x)| *x)).chain(limit).collect();
    let low = all.iter().copied().fold(1.0, f64::min);
    let high = all.iter().copied().fold(1.0, f64::max);
    // Round edges, so that the axis can be read: steps of a quarter, a twentieth, or a hundredth.
    let step = if high - low > 0.4 {
        0.25
    } else if high - low > 0.1 {
        0.05
    } else {
        0.02
    };
    // Room on the left for the limit's words, but never below nothing.
    let from = (((low - 1e-9) / step).floor() * step).max(0.0);
    let to = ((high - 1e-9) / step).ceil() * step;
    let x = |v: f64| FROM + (TO - FROM) * ((v - from) / (to - from).max(1e-9)).clamp(0.0, 1.0);
    let ticks = (0..=((to - from) / step).round() as u32).map(|i| from + f64::from(i) * step);
    let row = |i: usize| 26.0 + 24.0 * i as f64;
    let bottom = row(6) + 6.0;
    html! {
        svg.chart.small viewBox={ "0 0 " (WIDTH) " " (n(bottom + 18.0)) } role="img" aria-label="Recall before and after" {
            @for v in ticks {
                line.grid x1=(n(x(v))) x2=(n(x(v))) y1="14" y2=(n(bottom)) {}
                text class="ts mid" x=(n(x(v))) y=(n(bottom + 14.0)) { (format!("{v:.2}")) }
            }
            line.rule x1="0" x2=(n(TO)) y1=(n(row(4) - 10.0)) y2=(n(row(4) - 10.0)) {}
            @for (i, (what, value)) in dots.iter().enumerate() {
                text.t x="0" y=(n(row(i) + 4.0)) { "recall " (what) }
                @match value {
                    Some(v) => circle class=(if i < 2 { "hollow" } else { "dot" }) cx=(n(x(*v))) cy=(n(row(i))) r="5" {},
                    None => text.ts x=(n(FROM)) y=(n(row(i) + 4.0)) { "not measured" },
                }
            }
            @for (i, (what, ratio)) in ratios.iter().enumerate() {
                @let y = row(i + 4) + 6.0;
                text.t x="0" y=(n(y + 4.0)) { (what) }
                @if let Some((point, lower)) = ratio {
                    line.whisk x1=(n(x(*lower))) x2=(n(x(*point))) y1=(n(y)) y2=(n(y)) {}
                    line.whisk x1=(n(x(*lower))) x2=(n(x(*lower))) y1=(n(y - 6.0)) y2=(n(y + 6.0)) {}
                    circle.dot cx=(n(x(*point))) cy=(n(y)) r="5" {}
                } @else { text.ts x=(n(FROM)) y=(n(y + 4.0)) { "not measured" } }
            }
            @if let Some(limit) = limit {
                line.limit x1=(n(x(limit))) x2=(n(x(limit))) y1=(n(row(4) - 8.0)) y2=(n(bottom)) {}
                text class="limt end" x=(n(x(limit) - 5.0)) y=(n(row(4) + 2.0)) { "required " (limit) }
            }
        }
    }
}

fn figures(q: &QualityReport) -> Markup {
    let value = |v: Option<f64>| v.map_or("–".into(), |v| format!("{v:.4}"));
    let rows = [("end to end", q.after, q.ratio), ("index only", q.after_stored, q.ratio_stored)];
    html! {
        table {
            caption { "Recall@" (q.k) " before the fault, twice: " (format!("{:.4} and {:.4}", q.before[0], q.before[1])) }
            thead { tr { th { "Truth" } th.num { "Recall after" } th.num { "Of before" } th.num { "At least (95 %)" } } }
            tbody { @for (what, after, ratio) in rows {
                tr {
                    td { (what) }
                    td.num { (value(after)) }
                    td.num { (ratio.map_or("–".into(), |r| share(r.0))) }
                    td.num { (ratio.map_or("–".into(), |r| share_at_least(r.1))) }
                }
            } }
        }
    }
}

pub(super) fn ledger(r: &Report) -> Markup {
    if r.ledger.is_empty() {
        return html! {};
    }
    html! {
        section #ledger {
            h2 { "What became of every acknowledged record" }
            p.lead {
                @if r.ledger.iter().all(|s| s.read_back) {
                    "Every record was read back as a user would, before any undo, and its value compared."
                } @else { "Not every store was read back: what those hold is unknown, and so is the verdict about them." }
            }
            figure {
                (scroll("Ledger", bars(r)))
                ul.legend { (key("good", "intact")) (key("bad", "lost")) (key("slow", "corrupt")) (key("hold", "unexpected or twice")) }
            }
            (scroll("Ledger figures", table(r)))
            (scroll("Load", load(r)))
            @for s in &r.ledger { (remarks(&r.name_of(s), s)) }
        }
    }
}

fn bars(r: &Report) -> Markup {
    let height = 8.0 + 26.0 * r.ledger.len() as f64;
    html! {
        svg.chart.small viewBox={ "0 0 " (WIDTH) " " (n(height)) } role="img" aria-label="Records of each store" {
            @for (i, s) in r.ledger.iter().enumerate() {
                @let y = 6.0 + 26.0 * i as f64;
                text.th x="0" y=(n(y + 14.0)) { (r.name_of(s)) }
                @if s.read_back {
                    text class="ts end" x=(n(FROM - 10.0)) y=(n(y + 14.0)) { (count(s.acked)) " records" }
                    (bar(s, y))
                } @else {
                    text.limt x=(n(FROM)) y=(n(y + 14.0)) { "NOT READ BACK: nobody knows what it holds" }
                }
            }
        }
    }
}

/// Shares of the acknowledged records; the least harm is still three units wide, since one lost record is a finding.
fn bar(s: &StoreReport, y: f64) -> Markup {
    let strange = s.unexpected.saturating_add(s.duplicate);
    let parts =
        [("bad", s.lost, "lost"), ("slow", s.corrupt, "corrupt"), ("hold", strange, "unexpected or twice")];
    let whole = (s.intact + s.lost + s.corrupt).saturating_add(strange).max(1) as f64;
    let width = |count: u64| if count == 0 { 0.0 } else { ((TO - FROM) * count as f64 / whole).max(3.0) };
    let harm: f64 = parts.iter().map(|(_, count, _)| width(*count)).sum::<f64>().min(TO - FROM);
    let intact = TO - FROM - harm;
    let mut from = FROM + intact;
    let placed = parts.iter().map(|(class, of, words)| {
        let at = from;
        from += width(*of);
        (*class, at, (from.min(TO) - at).max(0.0), *of, *words)
    });
    html! {
        @if s.intact > 0 && intact > 0.0 { rect.good x=(n(FROM)) y=(n(y)) width=(n(intact)) height="20" { title { (count(s.intact)) " intact" } } }
        @for (class, at, wide, of, words) in placed.collect::<Vec<_>>() {
            @if of > 0 { rect class=(class) x=(n(at)) y=(n(y)) width=(n(wide)) height="20" { title { (count(of)) " " (words) } } }
        }
    }
}

fn table(r: &Report) -> Markup {
    html! {
        table {
            thead { tr { th { "Store" } @for h in ["Acked", "Intact", "Lost", "Corrupt", "Recovered", "Unexpected", "Duplicate", "RPO"] { th.num { (h) } } } }
            tbody { @for s in &r.ledger {
                tr {
                    td { strong { (r.name_of(s)) } }
                    @if s.read_back {
                        td.num { (count(s.acked)) }
                        td.num { (count(s.intact)) }
                        (harm(s.lost)) (harm(s.corrupt))
                        td.num { (count(s.recovered)) }
                        (harm(s.unexpected)) (harm(s.duplicate))
                        td.num { (maybe_us(s.rpo_us)) }
                    } @else { td colspan="8" { "not read back" } }
                }
            } }
        }
    }
}

fn harm(of: u64) -> Markup {
    html! { td class=(if of > 0 { "num harm" } else { "num" }) { (count(of)) } }
}

fn load(r: &Report) -> Markup {
    html! {
        table {
            caption { "The load: writes on a schedule that never waits, timed from when they were due" }
            thead { tr { th { "Store" } @for h in ["Acknowledged", "Refused", "Unknown", "p50", "p99", "p99.9", "Slowest"] { th.num { (h) } } } }
            tbody { @for s in &r.ledger {
                tr {
                    td { strong { (r.name_of(s)) } }
                    @for of in [s.writes_ok, s.writes_failed, s.writes_unknown] { td.num { (count(of)) } }
                    @let l = s.latency.as_ref().map(|l| [l.p50_us, l.p99_us, l.p999_us, l.max_us]);
                    @for i in 0..4 { td.num { (l.map_or("–".into(), |l| human_us(l[i]))) } }
                }
            } }
        }
    }
}

fn remarks(name: &str, s: &StoreReport) -> Markup {
    html! {
        @if s.scattered_loss {
            p.why-line { (name) ": newer records survived while older ones were lost; the span understates the harm." }
        }
        @if let Some(differ) = s.diverged_after_undo.filter(|d| *d > 0) {
            p.why-line { (name) ": " (count(differ)) " records read differently after the undo." }
        }
    }
}
