//! A census: how many keys a node knows, and a digest of which write each of them shows.
//!
//! The digest is a sum over all keys, so that it follows every write at a constant price and does not depend on
//! their order. It tells states apart; whether the values of a write are intact is for checksums of bytes.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Counts and digest of a whole state, tombstones included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// Keys that were ever written.
    pub keys: u64,
    /// Keys that are not deleted.
    pub live: u64,
    /// Sum, over all keys, of a hash of key, write number and whether it is live.
    pub digest: u128,
}

impl Census {
    /// Counts a key that shows write `ver`.
    pub(crate) fn add(&mut self, key: u64, ver: u64, live: bool) {
        self.keys += 1;
        self.live += u64::from(live);
        self.digest = self.digest.wrapping_add(mark(key, ver, live));
    }

    /// Takes back an [`add`](Self::add) with the same arguments.
    pub(crate) fn remove(&mut self, key: u64, ver: u64, live: bool) {
        self.keys -= 1;
        self.live -= u64::from(live);
        self.digest = self.digest.wrapping_sub(mark(key, ver, live));
    }
}

fn mark(key: u64, ver: u64, live: bool) -> u128 {
    let mut sha = Sha256::new();
    sha.update(key.to_le_bytes());
    sha.update(ver.to_le_bytes());
    sha.update([u8::from(live)]);
    let hash: [u8; 32] = sha.finalize().into();
    hash.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}
