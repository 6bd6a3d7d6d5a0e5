//! The threads of a build.
//!
//! Work is cut into items, each with its own piece of the output; whoever is free takes the next one. Which thread does
//! what never shows in the result. The calling thread works too, and is the only one to report progress.

use crate::engine::{BuildError, Progress};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// More threads than this wait for memory, not for each other.
const MOST: usize = 64;

/// Threads of a build on this machine.
fn hands() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(MOST)
}

/// Does `work` once for each item, on all processors, with one `scratch` for each thread.
///
/// # Errors
/// The build was cancelled; items not yet begun are left undone.
pub(crate) fn each<T, S>(
    items: impl ExactSizeIterator<Item = T> + Send,
    progress: &mut Progress<'_>,
    scratch: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, T) + Sync,
) -> Result<(), BuildError> {
    let of = items.len();
    let queue = Mutex::new(items);
    let take = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let labour = || {
        let mut scratch = scratch();
        while !stop.load(Ordering::Relaxed) {
            let Some(item) = take() else { return };
            work(&mut scratch, item);
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for _ in 1..hands().min(of) {
            // A machine that grants no thread is slower, not broken: this one does all there is to do.
            if thread::Builder::new().spawn_scoped(scope, labour).is_err() {
                break;
            }
        }
        let mut scratch = scratch();
        loop {
            if let Err(cancelled) = progress.at(done.load(Ordering::Relaxed), of) {
                stop.store(true, Ordering::Relaxed);
                return Err(cancelled);
            }
            let Some(item) = take() else { return Ok(()) };
            work(&mut scratch, item);
            done.fetch_add(1, Ordering::Relaxed);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;

    #[test]
    fn every_item_is_done_once_and_a_cancelled_crew_stops() {
        let mut out = vec![0u32; 1_000];
        let mut heard = |_| ControlFlow::Continue(());
        each(
            out.chunks_mut(7),
            &mut Progress::new(&mut heard),
            || (),
            |(), piece| {
                piece.iter_mut().for_each(|value| *value += 1);
            },
        )
        .unwrap();
        assert!(out.iter().all(|&value| value == 1));
        let begun = AtomicUsize::new(0);
        let mut refuse = |_| ControlFlow::Break(());
        let refused = each(
            0..1_000_000,
            &mut Progress::new(&mut refuse),
            || (),
            |(), _| {
                begun.fetch_add(1, Ordering::Relaxed);
                thread::yield_now();
            },
        );
        assert_eq!(refused, Err(BuildError::Cancelled));
        assert!(begun.into_inner() < 1_000_000);
    }
}
