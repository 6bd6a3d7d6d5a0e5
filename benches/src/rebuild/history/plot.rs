//! A history as a picture (SVG): for each machine, data set and kind of index, build times over the runs.

use std::fmt::Write as _;

use super::{
    super::plot::{COLOURS, grid, marker, text},
    Entry, History,
};

const WIDTH: f64 = 1080.0;
const ROW: f64 = 300.0;
const HEAD: f64 = 50.0;
/// Left, right, top and bottom of the lines within a row.
const BOX: (f64, f64, f64, f64) = (70.0, 780.0, 46.0, 250.0);

/// The whole picture.
pub fn plot(history: &History) -> String {
    let mut groups: Vec<[&str; 3]> = Vec::new();
    for e in &history.entries {
        if !groups.contains(&group(e)) {
            groups.push(group(e));
        }
    }
    let height = HEAD + ROW * groups.len().max(1) as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let title = "font-size=\"17\" font-weight=\"bold\"";
    text(&mut out, 20.0, 26.0, title, "Index rebuilds over time: median seconds of each run, with interval");
    for (i, at) in groups.iter().enumerate() {
        let _ = writeln!(out, "<g transform=\"translate(0 {})\">", HEAD + ROW * i as f64);
        let [machine, set, kind] = at;
        text(&mut out, 20.0, 14.0, "font-size=\"14\" font-weight=\"bold\"", &format!("{set}, {kind}"));
        text(&mut out, 20.0, 32.0, "fill=\"#444444\"", machine);
        let of: Vec<&Entry> = history.entries.iter().filter(|e| group(e) == *at).collect();
        lines(&mut out, &of);
        out.push_str("</g>\n");
    }
    if groups.is_empty() {
        text(&mut out, 20.0, HEAD + 30.0, "", "there is no run in this history");
    }
    out.push_str("</svg>\n");
    out
}

fn group(e: &Entry) -> [&str; 3] {
    [&e.machine, &e.set, &e.kind]
}

fn lines(out: &mut String, entries: &[&Entry]) {
    let (left, right, top, bottom) = BOX;
    let mut runs: Vec<u64> = entries.iter().map(|e| e.began).collect();
    runs.dedup();
    let longest = entries.iter().map(|e| e.high).fold(1e-9, f64::max);
    // Runs stand side by side, whatever time lies between them.
    let step = (right - left - 40.0) / (runs.len().max(2) - 1) as f64;
    let x = |began: u64| left + 20.0 + step * runs.iter().position(|r| *r == began).unwrap_or(0) as f64;
    let y = |seconds: f64| bottom - (bottom - top) * seconds / longest;
    for part in 0..=4 {
        let seconds = longest * f64::from(part) / 4.0;
        grid(out, left, y(seconds), right, y(seconds));
        let label = if longest < 10.0 { format!("{seconds:.2}") } else { format!("{seconds:.0}") };
        text(out, left - 6.0, y(seconds) + 4.0, "text-anchor=\"end\" fill=\"#444444\"", &label);
    }
    let every = runs.len().div_ceil(7).max(1);
    for began in runs.iter().step_by(every) {
        let Some(e) = entries.iter().find(|e| e.began == *began) else { continue };
        let day = e.date.get(..10).unwrap_or(&e.date);
        text(out, x(*began), bottom + 16.0, "text-anchor=\"middle\" fill=\"#444444\"", day);
        let commit: String = e.commit.chars().take(18).collect();
        text(out, x(*began), bottom + 30.0, "text-anchor=\"middle\" fill=\"#888888\"", &commit);
    }
    let mut names: Vec<&str> = entries.iter().map(|e| e.engine.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for (n, name) in names.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let own: Vec<&&Entry> = entries.iter().filter(|e| e.engine == *name).collect();
        let places: Vec<String> =
            own.iter().map(|e| format!("{:.1},{:.1}", x(e.began), y(e.seconds))).collect();
        let line = places.join(" ");
        let _ = writeln!(
            out,
            "<polyline points=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>"
        );
        for e in own {
            let (at, high, low) = (x(e.began), y(e.high), y(e.low));
            let _ = writeln!(out, "<path d=\"M{at:.1} {high:.1} V{low:.1}\" stroke=\"{colour}\"/>");
            marker(out, n, at, y(e.seconds));
        }
        let height = top + 10.0 + 18.0 * n as f64;
        marker(out, n, right + 24.0, height - 4.0);
        text(out, right + 36.0, height, "", name);
    }
}
