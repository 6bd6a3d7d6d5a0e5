//! The undisturbed job, recomputed as far as anybody asks, to compare with.

use std::sync::{Arc, Mutex, PoisonError};

use harness::job::{Checkpoint, Job};
use sha2::{Digest as _, Sha256};

/// No drill's job has more steps; what claims to be a later one is none of them.
pub(super) const STEPS_MAX: u64 = 1 << 20;
/// Steps recomputed before others get a turn.
const AT_ONCE: usize = 32;

type Digest = [u8; 32];

/// Checksums of the checkpoints of an undisturbed job, as far as they are known.
#[derive(Debug, Clone)]
pub(super) struct Truth(Arc<Mutex<Known>>);

#[derive(Debug)]
struct Known {
    job: Job,
    last: Checkpoint,
    /// By step.
    digests: Vec<Digest>,
}

impl Truth {
    pub(super) fn new(job: Job) -> Self {
        let last = job.start();
        let digests = vec![digest(&last.bytes())];
        Self(Arc::new(Mutex::new(Known { job, last, digests })))
    }

    /// Whether these are the very bytes that an undisturbed job has after that many steps.
    pub(super) async fn agrees(&self, step: u64, bytes: &[u8]) -> bool {
        if step >= STEPS_MAX {
            return false;
        }
        let said = digest(bytes);
        loop {
            let known = self.0.clone();
            let found = tokio::task::spawn_blocking(move || {
                known.lock().unwrap_or_else(PoisonError::into_inner).digest(step)
            });
            match found.await {
                Ok(Some(known)) => return known == said,
                Ok(None) => {}
                Err(_) => return false,
            }
        }
    }
}

impl Known {
    /// The digest of a step; `None` if it takes more than one turn to get there.
    fn digest(&mut self, step: u64) -> Option<Digest> {
        let at = usize::try_from(step).ok()?;
        for _ in 0..AT_ONCE {
            if let Some(known) = self.digests.get(at) {
                return Some(*known);
            }
            self.last = self.job.step(&self.last);
            self.digests.push(digest(&self.last.bytes()));
        }
        self.digests.get(at).copied()
    }
}

fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_very_bytes_agree() {
        let (job, truth) = (Job { seed: 5 }, Truth::new(Job { seed: 5 }));
        let mut at = job.start();
        for step in 0..70 {
            let mut bytes = at.bytes();
            assert!(truth.agrees(step, &bytes).await, "{step}");
            assert!(!truth.agrees(step + 1, &bytes).await);
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            assert!(!truth.agrees(step, &bytes).await);
            at = job.step(&at);
        }
        assert!(!truth.agrees(u64::MAX, &at.bytes()).await);
    }
}
