//! Progress on stderr, a bar where that is a terminal; and whether somebody asked to stop.

use std::{io::IsTerminal as _, ops::ControlFlow, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{exit::Failure, stop::Stop};

/// Steps of the bar.
const STEPS: u64 = 1_000;

/// Whoever waits for something that takes long.
#[derive(Debug)]
pub(super) struct Watch {
    bar: Option<ProgressBar>,
    stop: Stop,
}

impl Watch {
    pub(super) fn new(quiet: bool) -> Result<Watch, Failure> {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
            let template = "{bar:24} {percent:>3} %  {elapsed_precise}  {wide_msg}";
            bar.set_style(ProgressStyle::with_template(template).expect("the template above is right"));
            bar.enable_steady_tick(Duration::from_secs(1));
            bar
        });
        Ok(Watch { bar, stop: Stop::listen()? })
    }

    /// Something else begins.
    pub(super) fn begins(&self, what: &str) -> Result<(), Failure> {
        if let Some(bar) = &self.bar {
            bar.set_position(0);
            bar.set_message(what.to_owned());
        }
        if self.asked() { Err(super::stopped()) } else { Ok(()) }
    }

    /// A share of it is done.
    pub(super) fn at(&self, share: f32) -> ControlFlow<()> {
        if let Some(bar) = &self.bar {
            bar.set_position((share * STEPS as f32) as u64);
        }
        if self.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    pub(super) fn asked(&self) -> bool {
        self.stop.asked()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
