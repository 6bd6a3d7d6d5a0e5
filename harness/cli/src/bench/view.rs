//! Progress on stderr: a line for what ended, and on a terminal a bar below for what goes on.

use std::{io::IsTerminal as _, time::Duration};

use benches::rebuild::run::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::say;

/// Shows what happens.
#[derive(Debug)]
pub(super) struct View {
    bar: Option<ProgressBar>,
    quiet: bool,
}

impl View {
    pub(super) fn new(quiet: bool) -> View {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
            let template = "{bar:24} {pos}/{len}  {elapsed_precise}  {wide_msg}";
            bar.set_style(ProgressStyle::with_template(template).expect("the template above is right"));
            bar.enable_steady_tick(Duration::from_secs(1));
            bar
        });
        View { bar, quiet }
    }

    pub(super) fn show(&self, progress: Progress<'_>) {
        match progress {
            Progress::Note(words) => self.line(words),
            Progress::Ended(words) => self.line(&format!("  {words}")),
            Progress::Begins(step, of, words) => {
                if let Some(bar) = &self.bar {
                    bar.set_length(of as u64);
                    bar.set_position(step.saturating_sub(1) as u64);
                    bar.set_message(words.to_owned());
                }
            }
        }
    }

    fn line(&self, words: &str) {
        match &self.bar {
            Some(bar) => bar.println(words),
            None if !self.quiet => say::err(&format!("{words}\n")),
            None => {}
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
