//! What all charts share: the scale of time, its ticks, patterns, and text that fits.

use harness::report::drawing::Drawing;
use harness::time::human_us;
use maud::{Markup, html};

/// The width of every chart, in its own units.
pub(super) const WIDTH: f64 = 1000.0;
/// Names stand left of this.
pub(super) const LEFT: f64 = 168.0;
/// Time ends here.
pub(super) const RIGHT: f64 = 988.0;

/// From stamps to places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    from_us: u64,
    to_us: u64,
    zero_us: u64,
}

impl Scale {
    pub(super) fn of(d: &Drawing) -> Scale {
        let to_us = d.to_us.max(d.from_us.saturating_add(1));
        Scale { from_us: d.from_us, to_us, zero_us: d.t0_us.unwrap_or(d.from_us) }
    }

    /// The place of a stamp, at the edge if it lies beyond.
    pub(super) fn x(&self, us: u64) -> f64 {
        let us = us.clamp(self.from_us, self.to_us);
        LEFT + (RIGHT - LEFT) * (us - self.from_us) as f64 / (self.to_us - self.from_us) as f64
    }

    pub(super) fn holds(&self, us: u64) -> bool {
        (self.from_us..=self.to_us).contains(&us)
    }

    /// Round stamps, five to ten of them, with their distance from t0 in words.
    pub(super) fn ticks(&self) -> Vec<(u64, String)> {
        let span = self.to_us - self.from_us;
        let steps = [1u64, 2, 5].into_iter();
        let decades = (0..=13).flat_map(|d| steps.clone().map(move |s| s * 10u64.pow(d)));
        let minutes = [1u64, 2, 5, 10, 30, 60, 120, 360, 720, 1440].map(|m| m * 60_000_000);
        // Above a minute people count in minutes.
        let wanted = decades.filter(|us| *us < 60_000_000).chain(minutes);
        let step = wanted.into_iter().find(|us| span / us <= 10).unwrap_or(span.max(1));
        let before = self.zero_us.saturating_sub(self.from_us) / step;
        let mut all = Vec::new();
        let mut at = self.zero_us.saturating_sub(before * step);
        while at <= self.to_us && all.len() < 24 {
            if at >= self.from_us {
                all.push((at, self.since(at)));
            }
            at = at.saturating_add(step);
        }
        all
    }

    fn since(&self, at: u64) -> String {
        let (sign, us) =
            if at < self.zero_us { ("−", self.zero_us - at) } else { ("+", at - self.zero_us) };
        match us {
            0 => "0".into(),
            us if us % 60_000_000 == 0 => format!("{sign}{} m", us / 60_000_000),
            us if us % 1_000_000 == 0 => format!("{sign}{} s", us / 1_000_000),
            us => format!("{sign}{}", human_us(us)),
        }
    }

    /// Lines and numbers of the time axis; zero has a line of its own.
    pub(super) fn axis(&self, top: f64, bottom: f64, numbers: f64) -> Markup {
        html! {
            @for (at, words) in self.ticks() {
                @if at != self.zero_us { line.grid x1=(n(self.x(at))) x2=(n(self.x(at))) y1=(n(top)) y2=(n(bottom)) {} }
                @if self.x(at) < RIGHT - 8.0 || self.x(at) > RIGHT - 0.5 {
                    @if at == self.zero_us { rect.under x=(n(self.x(at) - 5.0)) y=(n(numbers - 11.0)) width="10" height="14" {} }
                    text class=(if self.x(at) > RIGHT - 14.0 { "ts end" } else { "ts mid" })
                        x=(n(self.x(at))) y=(n(numbers)) { (words) }
                }
            }
        }
    }

    /// The moment that all spans count from.
    pub(super) fn t0(&self, d: &Drawing, top: f64, bottom: f64) -> Markup {
        html! {
            @if let Some(t0) = d.t0_us {
                line.t0 x1=(n(self.x(t0))) x2=(n(self.x(t0))) y1=(n(top)) y2=(n(bottom)) {}
            }
        }
    }
}

/// A coordinate, as short as it can be without moving.
pub(super) fn n(x: f64) -> String {
    let text = format!("{x:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A text cut to what fits a width; letters are about this wide.
pub(super) fn fit(text: &str, width: f64, letter: f64) -> String {
    let room = (width / letter).max(0.0) as usize;
    if text.chars().count() <= room {
        return text.into();
    }
    let cut: String = text.chars().take(room.saturating_sub(1)).collect();
    if cut.is_empty() { cut } else { cut + "…" }
}

/// Small words over lines and patterns, on a ground of their own; `end` puts their end at `x`, else they begin there.
pub(super) fn label(class: &str, x: f64, y: f64, end: bool, words: &str) -> Markup {
    let width = 6.3 * words.chars().count() as f64 + 4.0;
    html! {
        rect.under x=(n(if end { x - width + 2.0 } else { x - 2.0 })) y=(n(y - 8.5)) width=(n(width)) height="10.5" {}
        text class=(if end { format!("{class} end") } else { class.into() }) x=(n(x)) y=(n(y)) { (words) }
    }
}

/// Patterns, so that nothing rests on colour alone.
pub(super) fn patterns() -> Markup {
    html! {
        svg.defs aria-hidden="true" width="0" height="0" {
            defs {
                pattern #bad width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect.pb0 width="6" height="6" {}
                    line.pb1 x1="1.5" y1="0" x2="1.5" y2="6" {}
                }
                pattern #slow width="6" height="6" patternUnits="userSpaceOnUse" {
                    rect.ps0 width="6" height="6" {}
                    circle.ps1 cx="1.7" cy="1.7" r="1.1" {}
                    circle.ps1 cx="4.7" cy="4.7" r="1.1" {}
                }
                pattern #hold width="5" height="5" patternUnits="userSpaceOnUse" {
                    rect.ph0 width="5" height="5" {}
                    line.ph1 x1="0" y1="2.5" x2="5" y2="2.5" {}
                }
            }
        }
    }
}

/// One entry of a legend.
pub(super) fn key(class: &str, words: &str) -> Markup {
    html! { li { svg viewBox="0 0 22 12" aria-hidden="true" { rect class=(class) x="0.5" y="0.5" width="21" height="11" rx="1.5" {} } (words) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_count_from_t0() {
        let scale = Scale { from_us: 4_400_000, to_us: 27_000_000, zero_us: 14_703_000 };
        let ticks: Vec<String> = scale.ticks().into_iter().map(|(_, w)| w).collect();
        assert_eq!(ticks, ["−10 s", "−5 s", "0", "+5 s", "+10 s"]);
        for span in [1, 999, 1_000_000, 3_600_000_000, 604_800_000_000, u64::MAX] {
            let scale = Scale { from_us: 0, to_us: span, zero_us: 0 };
            assert!((1..=24).contains(&scale.ticks().len()), "{span}");
        }
    }

    #[test]
    fn texts_are_cut_to_their_room() {
        assert_eq!(fit("settle", 60.0, 6.0), "settle");
        assert_eq!(fit("second read-back", 48.0, 6.0), "second …");
        assert_eq!(fit("undo", 3.0, 6.0), "");
    }
}
