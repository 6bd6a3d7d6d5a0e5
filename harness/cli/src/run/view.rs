//! A drill while it runs: a table on a terminal, a line for each important event elsewhere. Always on stderr.
//!
//! The journal's observer only sends what it sees down a channel: a slow terminal never delays the journal.

mod board;
mod screen;

use std::{
    io::IsTerminal as _,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use harness::{
    journal::{Observer, Onlooker},
    plan::Plan,
};

use crate::say;
use board::{Board, Sight};
use screen::Screen;

/// Redraws are this far apart.
const REDRAW: Duration = Duration::from_millis(100);

/// The live view of one drill.
#[derive(Debug)]
pub(super) struct View(Option<(Sender<Option<Sight>>, JoinHandle<()>)>);

impl View {
    /// Shows a drill from its first event on, if it is wanted at all.
    pub(super) fn start(wanted: bool, plan: &Plan) -> View {
        if !wanted {
            return View(None);
        }
        let (send, receive) = mpsc::channel();
        let board = Board::new(plan);
        let show = move || {
            if std::io::stderr().is_terminal() {
                on_terminal(board, &receive)
            } else {
                in_lines(board, &receive)
            }
        };
        // Without the thread the drill is not shown, and is otherwise the same.
        View(thread::Builder::new().name("gameday-view".into()).spawn(show).ok().map(|t| (send, t)))
    }

    /// What the journal calls after each event.
    pub(super) fn observer(&self) -> Option<Observer> {
        let (send, _) = self.0.as_ref()?;
        let send = send.clone();
        Some(Box::new(move |event| {
            if let Some(sight) = Sight::of(event) {
                // The view may be gone; the drill goes on.
                let _ = send.send(Some(sight));
            }
        }))
    }

    /// What the journal calls while long work lasts.
    pub(super) fn onlooker(&self) -> Option<Onlooker> {
        let (send, _) = self.0.as_ref()?;
        let send = send.clone();
        Some(Box::new(move |progress| {
            let _ = send.send(Some(progress.into()));
        }))
    }

    /// Shows what is still to be shown, and clears the table.
    pub(super) fn finish(self) {
        if let Some((send, thread)) = self.0 {
            let _ = send.send(None);
            let _ = thread.join();
        }
    }
}

fn in_lines(mut board: Board, receive: &Receiver<Option<Sight>>) {
    while let Ok(Some(sight)) = receive.recv() {
        if let Some(line) = board.take(&sight) {
            say::err(&format!("{line}\n"));
        }
    }
}

fn on_terminal(mut board: Board, receive: &Receiver<Option<Sight>>) {
    let mut screen = Screen::new();
    let mut heard = Instant::now();
    loop {
        let mut next = receive.recv_timeout(REDRAW);
        let round = Instant::now();
        while let Ok(Some(sight)) = &next {
            board.take(sight);
            heard = Instant::now();
            if round.elapsed() > REDRAW {
                break;
            }
            next = receive.try_recv().map_err(|_| RecvTimeoutError::Timeout);
        }
        if matches!(next, Ok(None) | Err(RecvTimeoutError::Disconnected)) {
            return screen.clear();
        }
        screen.draw(board.rows(heard.elapsed()));
    }
}
