//! Rows on a terminal, redrawn in place.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::board::{Row, Tone};

/// As many rows as the board has.
#[derive(Debug)]
pub(super) struct Screen {
    all: MultiProgress,
    rows: Vec<ProgressBar>,
}

impl Screen {
    pub(super) fn new(rows: usize) -> Screen {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let rows = (0..rows).map(|_| all.add(ProgressBar::no_length())).collect();
        Screen { all, rows }
    }

    pub(super) fn draw(&self, rows: &[Row]) {
        for (bar, row) in self.rows.iter().zip(rows) {
            bar.set_style(style(row.tone));
            bar.set_message(row.text.clone());
            bar.tick();
        }
    }

    pub(super) fn clear(&self) {
        for bar in &self.rows {
            bar.finish_and_clear();
        }
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
