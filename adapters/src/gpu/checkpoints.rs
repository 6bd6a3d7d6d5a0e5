//! The job's state in an object store: one object for each step, and its checksum in another.
//!
//! A checkpoint that does not match its checksum, or has none, is never resumed from: the one before it is, and the
//! step is run again. Both objects are acknowledged before a step counts as done, so a driver that dies between the two
//! has promised nothing.

use bytes::Bytes;
use harness::job::Checkpoint;
use sha2::{Digest as _, Sha256};

use crate::s3::{S3, S3Error, key_of};

const PREFIX: &str = "checkpoints/";
const DIGESTS: &str = "digests/";
/// More objects than any job of a drill makes.
const MOST: usize = 1 << 20;

/// The checkpoints of a job in one bucket.
#[derive(Debug, Clone)]
pub(super) struct Checkpoints(S3);

impl Checkpoints {
    pub(super) fn new(s3: S3) -> Self {
        Self(s3)
    }

    /// Stores a checkpoint; it is durable then.
    pub(super) async fn put(&self, checkpoint: &Checkpoint) -> Result<(), S3Error> {
        let body = Bytes::from(checkpoint.bytes());
        let (name, digest) = (name(PREFIX, checkpoint.step), name(DIGESTS, checkpoint.step));
        let stored = tokio::try_join!(self.0.put(&name, body.clone()), self.0.put(&digest, hex(&body)));
        match stored {
            Ok(_) => Ok(()),
            // The store is a new one.
            Err(e) if no_bucket(&e) => {
                self.0.create_bucket().await?;
                Err(e)
            }
            Err(e) => Err(e),
        }
    }

    /// What is stored for a step, and whether it matches its checksum; `None` for that if it has none.
    pub(super) async fn stored(&self, step: u64) -> Result<Option<(Bytes, Option<bool>)>, S3Error> {
        let (body, digest) = (name(PREFIX, step), name(DIGESTS, step));
        let (body, digest) = tokio::try_join!(self.0.get(&body), self.0.get(&digest))?;
        Ok(body.map(|body| {
            let matches = digest.map(|digest| hex(&body).as_bytes() == digest);
            (body, matches)
        }))
    }

    /// The checkpoint of a step, if what is stored matches its checksum.
    pub(super) async fn valid(&self, step: u64) -> Result<Option<Checkpoint>, S3Error> {
        let matching = self.stored(step).await?.filter(|(_, matches)| *matches == Some(true));
        Ok(matching.and_then(|(body, _)| Checkpoint::parse(&body)).filter(|c| c.step == step))
    }

    /// The steps that have an object, in order, and how many objects have other names.
    pub(super) async fn steps(&self, after: Option<u64>) -> Result<(Vec<u64>, u64), S3Error> {
        let mut names: Vec<String> = Vec::new();
        let mut last = after.map(|step| name(PREFIX, step));
        loop {
            let page = match self.0.list(PREFIX, last.as_deref()).await {
                Err(e) if no_bucket(&e) => break,
                page => page?,
            };
            names.extend(page.objects.into_iter().map(|o| o.key));
            if names.len() > MOST {
                return Err(S3Error::TooLarge { op: "list", limit: MOST as u64 });
            }
            if !page.more {
                break;
            }
            last = names.last().cloned();
        }
        let step = |key: &String| key_of(key.strip_prefix(PREFIX)?);
        let steps: Vec<u64> = names.iter().filter_map(step).collect();
        let foreign = (names.len() - steps.len()) as u64;
        Ok((steps, foreign))
    }

    /// The newest valid checkpoint of at most that step, of those after another step.
    pub(super) async fn newest(&self, after: Option<u64>, most: u64) -> Result<Option<Checkpoint>, S3Error> {
        let (steps, _) = self.steps(after).await?;
        for step in steps.into_iter().rev().filter(|s| *s <= most) {
            if let Some(checkpoint) = self.valid(step).await? {
                return Ok(Some(checkpoint));
            }
        }
        Ok(None)
    }
}

fn name(prefix: &str, step: u64) -> String {
    format!("{prefix}{step:020}")
}

fn hex(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|b| format!("{b:02x}")).collect()
}

fn no_bucket(error: &S3Error) -> bool {
    matches!(error, S3Error::Refused { code, .. } if code == "NoSuchBucket")
}
