//! A result as a picture (SVG): for each data set and kind of index, speed against recall, and build times as bars.
//!
//! Colours are told apart by most colour-blind people, and every curve has a marker of its own shape besides.

use std::fmt::Write as _;

use super::{
    result::{ContenderResult, Results, SetResult},
    summary::{curve, seconds},
};

const WIDTH: f64 = 1080.0;
const ROW: f64 = 330.0;
const HEAD: f64 = 64.0;
/// Left, right, top and bottom of the curves within a row.
const CURVES: (f64, f64, f64, f64) = (70.0, 600.0, 46.0, 280.0);
/// Left and right of the bars, without the names on their left.
const BARS: (f64, f64) = (800.0, 990.0);
/// After Okabe and Ito.
pub(super) const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#7f7f7f"];

/// The whole picture.
pub fn plot(r: &Results) -> String {
    let mut rows: Vec<(&SetResult, &str)> = Vec::new();
    for s in &r.sets {
        for c in &s.contenders {
            if !rows.contains(&(s, c.kind.as_str())) {
                rows.push((s, &c.kind));
            }
        }
    }
    let height = HEAD + ROW * rows.len().max(1) as f64 + 10.0;
    let mut out = String::new();
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    text(
        &mut out,
        20.0,
        26.0,
        "font-size=\"17\" font-weight=\"bold\"",
        "Index rebuilds: time, and what they are worth",
    );
    let rounds = format!(
        "{}, {} cores; medians of {} rounds, {} threads a build; queries on one thread",
        r.machine.cpu, r.machine.cores, r.rounds, r.threads
    );
    text(&mut out, 20.0, 46.0, "fill=\"#444444\"", &rounds);
    let mut names: Vec<&str> = Vec::new();
    for c in r.sets.iter().flat_map(|s| &s.contenders) {
        if !names.contains(&c.name.as_str()) {
            names.push(&c.name);
        }
    }
    for (i, (set, kind)) in rows.iter().enumerate() {
        let of_kind: Vec<(usize, &ContenderResult)> = set
            .contenders
            .iter()
            .filter(|c| c.kind == *kind)
            .map(|c| (names.iter().position(|n| *n == c.name).unwrap_or(0), c))
            .collect();
        let _ = writeln!(out, "<g transform=\"translate(0 {})\">", HEAD + ROW * i as f64);
        let title = format!("{} ({} x {}), {kind}", set.name, set.vectors, set.dim);
        text(&mut out, 20.0, 20.0, "font-size=\"14\" font-weight=\"bold\"", &title);
        curves(&mut out, &of_kind);
        bars(&mut out, &of_kind);
        out.push_str("</g>\n");
    }
    if rows.is_empty() {
        text(&mut out, 20.0, HEAD + 30.0, "", "nothing was measured");
    }
    out.push_str("</svg>\n");
    out
}

fn curves(out: &mut String, contenders: &[(usize, &ContenderResult)]) {
    let (left, right, top, bottom) = CURVES;
    text(
        out,
        left,
        top - 8.0,
        "fill=\"#444444\"",
        "queries a second against recall@10 (up and right is better)",
    );
    let lines: Vec<(usize, Vec<(f64, f64)>)> = contenders
        .iter()
        .map(|(n, c)| (*n, curve(c).into_iter().map(|(_, r, q)| (r, q)).collect::<Vec<_>>()))
        .filter(|(_, points)| !points.is_empty())
        .collect();
    let all: Vec<(f64, f64)> = lines.iter().flat_map(|(_, points)| points.iter().copied()).collect();
    if all.is_empty() {
        text(out, left + 20.0, f64::midpoint(top, bottom), "fill=\"#666666\"", "nobody searched these files");
        return;
    }
    let least = all.iter().map(|p| p.0).fold(1.0, f64::min);
    let from = ((least * 20.0).floor() / 20.0).min(0.95);
    let (slow, fast) = all.iter().fold((f64::MAX, 0.0f64), |(a, b), p| (a.min(p.1), b.max(p.1)));
    let (slow, fast) = ((slow * 0.9).log10(), (fast * 1.1).log10());
    let x = |recall: f64| left + (right - left) * (recall - from) / (1.0 - from);
    let y = |qps: f64| bottom - (bottom - top) * (qps.log10() - slow) / (fast - slow);
    let _ = writeln!(
        out,
        "<rect x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#999999\"/>",
        right - left,
        bottom - top
    );
    let step = if 1.0 - from > 0.25 { 0.1 } else { 0.02 };
    let steps = ((1.0 - from) / step).round() as usize;
    for i in 0..=steps {
        let recall = 1.0 - step * (steps - i) as f64;
        if recall >= from - 1e-9 {
            grid(out, x(recall), top, x(recall), bottom);
            let label = format!("{recall:.2}");
            text(out, x(recall), bottom + 16.0, "text-anchor=\"middle\" fill=\"#444444\"", &label);
        }
    }
    for qps in round_numbers(10f64.powf(slow), 10f64.powf(fast)) {
        grid(out, left, y(qps), right, y(qps));
        let label = if qps >= 1000.0 { format!("{}k", qps / 1000.0) } else { format!("{qps}") };
        text(out, left - 6.0, y(qps) + 4.0, "text-anchor=\"end\" fill=\"#444444\"", &label);
    }
    for (n, points) in &lines {
        let places: Vec<String> = points.iter().map(|(r, q)| format!("{:.1},{:.1}", x(*r), y(*q))).collect();
        let colour = COLOURS[n % COLOURS.len()];
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>",
            places.join(" ")
        );
        points.iter().for_each(|(r, q)| marker(out, *n, x(*r), y(*q)));
    }
}

fn bars(out: &mut String, contenders: &[(usize, &ContenderResult)]) {
    let (left, right) = BARS;
    let top = CURVES.2;
    text(
        out,
        left - 150.0,
        top - 8.0,
        "fill=\"#444444\"",
        "seconds from vectors to a synced file, with interval",
    );
    let longest = contenders.iter().filter_map(|(_, c)| seconds(c)).map(|s| s.high).fold(1e-9, f64::max);
    let width = |seconds: f64| (right - left) * seconds / longest;
    for (row, (n, c)) in contenders.iter().enumerate() {
        let y = top + 8.0 + 30.0 * row as f64;
        marker(out, *n, left - 160.0, y + 9.0);
        let weight = if c.ours { "font-weight=\"bold\"" } else { "" };
        text(out, left - 150.0, y + 13.0, weight, &c.name);
        let Some(s) = seconds(c) else {
            text(out, left, y + 13.0, "fill=\"#b00000\"", "failed");
            continue;
        };
        let colour = COLOURS[n % COLOURS.len()];
        let _ = writeln!(
            out,
            "<rect x=\"{left}\" y=\"{y}\" width=\"{:.1}\" height=\"18\" fill=\"{colour}\" fill-opacity=\"0.8\"/>\n\
             <path d=\"M{:.1} {m} H{:.1} M{:.1} {a} V{b} M{:.1} {a} V{b}\" stroke=\"#222222\" fill=\"none\"/>",
            width(s.median),
            left + width(s.low),
            left + width(s.high),
            left + width(s.low),
            left + width(s.high),
            m = y + 9.0,
            a = y + 5.0,
            b = y + 13.0,
        );
        text(out, left + width(s.high) + 6.0, y + 13.0, "", &format!("{:.2} s", s.median));
    }
}

pub(super) fn marker(out: &mut String, n: usize, x: f64, y: f64) {
    let colour = COLOURS[n % COLOURS.len()];
    let shape = match n % 4 {
        0 => format!("M{:.1} {y:.1} a4 4 0 1 0 8 0 a4 4 0 1 0 -8 0", x - 4.0),
        1 => format!("M{:.1} {:.1} h7 v7 h-7 z", x - 3.5, y - 3.5),
        2 => format!("M{x:.1} {:.1} l4.5 8 h-9 z", y - 5.0),
        _ => format!("M{x:.1} {:.1} l5 5 l-5 5 l-5 -5 z", y - 5.0),
    };
    let _ = writeln!(out, "<path d=\"{shape}\" fill=\"{colour}\"/>");
}

pub(super) fn grid(out: &mut String, x1: f64, y1: f64, x2: f64, y2: f64) {
    let _ = writeln!(
        out,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#dddddd\"/>"
    );
}

pub(super) fn text(out: &mut String, x: f64, y: f64, style: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{words}</text>");
}

/// 1, 2 and 5 times the powers of ten between two numbers.
fn round_numbers(from: f64, to: f64) -> Vec<f64> {
    let powers = from.log10().floor() as i32..=to.log10().ceil() as i32;
    powers
        .flat_map(|p| [1.0, 2.0, 5.0].map(|d| d * 10f64.powi(p)))
        .filter(|n| (from..=to).contains(n))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rebuild::result::tests::sample;

    #[test]
    fn the_picture() {
        insta::assert_snapshot!("plot", plot(&sample()));
    }

    #[test]
    fn nothing_and_odd_names_are_drawn_too() {
        let mut r = sample();
        r.sets[0].name = "<script>&".into();
        r.sets[0].contenders.truncate(1);
        r.sets[0].contenders[0].searches.clear();
        let picture = plot(&r);
        assert!(picture.contains("&lt;script&gt;&amp;") && picture.contains("nobody searched"));
        r.sets.clear();
        assert!(plot(&r).contains("nothing was measured"));
    }

    #[test]
    fn axes_have_round_numbers() {
        assert_eq!(round_numbers(900.0, 21_000.0), [1000.0, 2000.0, 5000.0, 10_000.0, 20_000.0]);
    }
}
