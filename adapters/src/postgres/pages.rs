//! Damage to the bytes of pages on disk: what a failing drive does.
//!
//! Checksums are looked at when a page is read from disk, so a page that is in memory hides the damage, and may even undo
//! it, when it is written again. Hence the look afterwards: the bytes on disk, then all of the relation through the
//! server. Damage that memory hides is *latent*: it shows after the next restart.

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::node::{Node, NodeError};
use super::schema::ROWS;
use super::shell::{Command, must};

/// Bytes of a page.
const PAGE: u64 = 8192;
/// Where in a page the damage begins, and how long it is: past the header, which holds the checksum.
const AT: u64 = 1024;
const LEN: usize = 64;

/// Pages of what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pages {
    /// The rows of entities.
    Heap,
    /// The index of their keys. It can be built again: `REINDEX`.
    Index,
}

/// What a reader of all of it sees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// The server refuses, in these words.
    Invalid(String),
    /// Memory hides it.
    Latent,
}

/// What was damaged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damaged {
    /// Of the cluster's files.
    pub file: String,
    /// Which pages.
    pub blocks: Vec<u64>,
    /// Of how many.
    pub pages: u64,
    /// What was seen.
    pub seen: Seen,
}

impl Pages {
    fn relation(self) -> String {
        match self {
            Self::Heap => ROWS.into(),
            Self::Index => format!("{ROWS}_pkey"),
        }
    }

    /// A question for which every page of it is read.
    fn scan(self) -> String {
        let by = match self {
            Self::Heap => "SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off",
            Self::Index => "SET LOCAL enable_seqscan = off",
        };
        format!(
            "BEGIN; {by}; SET LOCAL enable_bitmapscan = off; SET LOCAL max_parallel_workers_per_gather = 0;
             SELECT count(entity_key), count(digest) FROM {ROWS} WHERE entity_key >= 0; COMMIT"
        )
    }
}

impl Node {
    /// Damages a share of the pages on disk, at least one, while the server runs.
    ///
    /// # Errors
    /// [`NodeError::Refused`] if there are none, or the bytes on disk are not what was written.
    pub async fn damage_pages(&self, what: Pages, fraction: f64, seed: u64) -> Result<Damaged, NodeError> {
        // What the first reader notes on a page would have it written again.
        self.scan(what).await?;
        self.operators().run("CHECKPOINT").await?;
        let relation = what.relation();
        let file: String =
            self.operators().value(&format!("SELECT pg_relation_filepath('{relation}')")).await?;
        let size: i64 = self.operators().value(&format!("SELECT pg_relation_size('{relation}')")).await?;
        let pages = size.unsigned_abs() / PAGE;
        if pages == 0 {
            return Err(NodeError::Refused(format!("{relation} has no page yet")));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = ((pages as f64 * fraction).ceil() as u64).clamp(1, pages);
        let mut blocks = BTreeSet::new();
        while (blocks.len() as u64) < count {
            blocks.insert(rng.next_u64() % pages);
        }
        let path = format!("{}/{file}", self.layout.data());
        for block in &blocks {
            let mut bytes = vec![0; LEN];
            rng.fill_bytes(&mut bytes);
            self.overwrite(&path, block * PAGE + AT, bytes).await?;
        }
        let seen = self.scan(what).await?;
        Ok(Damaged { file, blocks: blocks.into_iter().collect(), pages, seen })
    }

    async fn overwrite(&self, path: &str, at: u64, bytes: Vec<u8>) -> Result<(), NodeError> {
        let script = r#"dd of="$1" bs=1 seek="$2" conv=notrunc,fsync status=none && dd if="$1" bs=1 skip="$2" count="$3" status=none"#;
        let (at, len) = (at.to_string(), LEN.to_string());
        let command = Command::script(script, [path, at.as_str(), len.as_str()]).reads(bytes.clone());
        let found = must(self.shell.as_ref(), command).await?;
        match found == bytes {
            true => Ok(()),
            false => Err(NodeError::Refused(format!("{path} does not hold what was written at {at}"))),
        }
    }

    /// Reads all of it, and says whether the server finds a page that fails its checksum.
    ///
    /// # Errors
    /// Any other failure of the server.
    pub async fn scan(&self, what: Pages) -> Result<Seen, NodeError> {
        match self.operators().run(&what.scan()).await {
            Ok(()) => Ok(Seen::Latent),
            Err(e) if e.to_string().contains("invalid page in block") => Ok(Seen::Invalid(e.to_string())),
            Err(e) => Err(e.into()),
        }
    }
}
