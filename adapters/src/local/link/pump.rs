//! One direction of one connection: a queue of chunks, each with the time it arrived.
//!
//! A chunk leaves when it is at the front, its arrival plus the delay in force has passed, and the mode lets bytes
//! pass. The end of the stream and a reset travel in the same queue, so they are late and held like bytes. But a reset
//! does not wait for room: what the far side cannot take by then is thrown away, and so is what a dark link held when
//! it came, as the sender's TCP would do. The queue is bounded: when it is full the pump stops reading and TCP holds
//! the sender back.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes, BytesMut};
use futures::FutureExt;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Mode, Way};

/// What one direction of a connection may hold. With a delay this also bounds the rate: 40 MB/s at 100 ms.
const HELD: usize = 4 << 20;
/// What an entry of the queue costs beside its bytes.
const ENTRY: usize = 64;
const READ: usize = 64 << 10;

/// A connection that did not end in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Reset,
}

enum Item {
    Bytes(Bytes),
    Eof,
    Reset,
}

struct Queue {
    items: VecDeque<(Instant, Item)>,
    cost: usize,
    /// Nothing comes any more.
    ended: bool,
}

impl Queue {
    /// What was held in the dark when the sender gave up never leaves.
    fn reset(&mut self, dark: bool) {
        if dark {
            self.items.clear();
        }
        self.push(Item::Reset);
    }

    /// When a reset came; nothing comes after it.
    fn reset_at(&self) -> Option<Instant> {
        self.items.back().filter(|(_, item)| matches!(item, Item::Reset)).map(|(arrived, _)| *arrived)
    }

    fn push(&mut self, item: Item) {
        match &item {
            Item::Bytes(bytes) => self.cost += bytes.len() + ENTRY,
            Item::Eof | Item::Reset => self.ended = true,
        }
        self.items.push_back((Instant::now(), item));
    }

    fn reads(&self) -> bool {
        !self.ended && self.cost < HELD
    }
}

/// Moves bytes from `src` to `dst` until the end of the stream was passed on.
pub(super) async fn pump(
    src: ReadHalf<'_>,
    mut dst: WriteHalf<'_>,
    mode: &watch::Sender<Mode>,
    way: Way,
    passed: &AtomicU64,
) -> Result<(), Ended> {
    let mut modes = mode.subscribe();
    let mut queue = Queue { items: VecDeque::new(), cost: 0, ended: false };
    let mut buffer = BytesMut::new();
    loop {
        let delay = modes.borrow_and_update().delay(way);
        // The front item and when it may leave; nothing leaves a dark link.
        let due = queue.items.front().zip(delay).map(|((arrived, _), delay)| *arrived + delay);
        let ripe = due.is_some_and(|due| due <= Instant::now());
        let reset_due = queue.reset_at().zip(delay).map(|(arrived, delay)| arrived + delay);
        let is_bytes = matches!(queue.items.front(), Some((_, Item::Bytes(_))));
        if ripe && !is_bytes {
            let open = mode.borrow();
            if open.delay(way) != delay {
                continue;
            }
            if let Some((_, Item::Reset)) = queue.items.front() {
                return Err(Ended::Reset);
            }
            // Shutting down a TCP socket never waits.
            let _ = dst.shutdown().now_or_never();
            return Ok(());
        }
        if ripe && reset_due.is_some_and(|due| due <= Instant::now()) {
            let held = queue.cost;
            if write(&dst, &mut queue, mode, way, passed).is_err() || queue.cost == held {
                queue.items.drain(..queue.items.len() - 1);
            }
            continue;
        }
        // Ripe bytes wait for room, and no longer than until the reset behind them.
        let wake = if ripe { reset_due } else { due };
        tokio::select! {
            changed = modes.changed() => changed.map_err(|_| Ended::Reset)?,
            _ = src.readable(), if queue.reads() => read(&src, &mut buffer, &mut queue, delay.is_none()),
            _ = src.ready(Interest::ERROR), if !queue.ended && !queue.reads() => queue.reset(delay.is_none()),
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            _ = dst.writable(), if ripe => {
                if write(&dst, &mut queue, mode, way, passed).is_err() {
                    // The far side is gone. That news travels against this direction.
                    let back = if way == Way::ToNode { Way::FromNode } else { Way::ToNode };
                    let _ = modes.wait_for(|mode| mode.delay(back).is_some()).await;
                    return Err(Ended::Reset);
                }
            }
        }
    }
}

fn read(src: &ReadHalf<'_>, buffer: &mut BytesMut, queue: &mut Queue, dark: bool) {
    buffer.reserve(READ);
    match src.try_read_buf(buffer) {
        Ok(0) => queue.push(Item::Eof),
        Ok(_) => queue.push(Item::Bytes(buffer.split().freeze())),
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
        Err(_) => queue.reset(dark),
    }
}

/// Writes from the front of the queue while the mode cannot change.
fn write(
    dst: &WriteHalf<'_>,
    queue: &mut Queue,
    mode: &watch::Sender<Mode>,
    way: Way,
    passed: &AtomicU64,
) -> std::io::Result<()> {
    let held_still = mode.borrow();
    let Some(delay) = held_still.delay(way) else { return Ok(()) };
    let Some((arrived, Item::Bytes(bytes))) = queue.items.front_mut() else { return Ok(()) };
    if *arrived + delay > Instant::now() {
        return Ok(());
    }
    match dst.try_write(bytes) {
        Ok(written) => {
            passed.fetch_add(written as u64, Ordering::SeqCst);
            bytes.advance(written);
            queue.cost -= written;
            if bytes.is_empty() {
                queue.cost -= ENTRY;
                queue.items.pop_front();
            }
            Ok(())
        }
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
        Err(e) => Err(e),
    }
}
