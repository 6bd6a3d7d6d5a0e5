//! Rows on a terminal, redrawn in place.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::board::{Row, Tone};
use crate::say;

/// A table in place.
#[derive(Debug)]
pub(super) struct Screen {
    all: MultiProgress,
    bars: Vec<ProgressBar>,
    shown: Vec<Row>,
}

impl Screen {
    pub(super) fn new() -> Screen {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        say::above(Some(all.clone()));
        Screen { all, bars: Vec::new(), shown: Vec::new() }
    }

    /// Draws what differs from what is shown.
    pub(super) fn draw(&mut self, rows: Vec<Row>) {
        for (i, row) in rows.iter().enumerate() {
            if self.bars.len() == i {
                self.bars.push(self.all.add(ProgressBar::no_length()));
            }
            if self.shown.get(i) != Some(row) {
                self.bars[i].set_style(style(row.tone));
                self.bars[i].set_message(row.text.clone());
            }
        }
        self.shown = rows;
    }

    pub(super) fn clear(&self) {
        say::above(None);
        // What is left of a table on a terminal that went away does no harm.
        drop(self.all.clear());
    }
}

/// Colour only where the terminal wants it: `NO_COLOR` is obeyed by the library.
fn style(tone: Tone) -> ProgressStyle {
    let template = match tone {
        Tone::Title => "{wide_msg:.bold}",
        Tone::Plain => "{wide_msg}",
        Tone::Good => "{wide_msg:.green}",
        Tone::Bad => "{wide_msg:.red}",
    };
    ProgressStyle::with_template(template).expect("the templates above are right")
}
