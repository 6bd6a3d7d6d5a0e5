//! Damage to objects through the door of their users: a bad write, or tampering. The store keeps it and serves it as
//! good, with a valid entity tag. Bytes that rot on the store's own drives are another fault.

use harness::act::{Artifact, Damage};
use harness::ports::Effect;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use super::minio::Minio;
use crate::s3::{S3, key_of};

/// The most objects that are looked at.
const MOST: usize = 1_000_000;
/// Zeros come in sectors.
const SECTOR: usize = 512;

/// As many objects as the fraction says, each changed from end to end; which ones follows from the seed.
pub(super) async fn damage(node: &Minio, what: Artifact, how: Damage, fraction: f64, seed: u64) -> Effect {
    let store = match what {
        Artifact::Object => &node.data,
        Artifact::Backup => &node.backups,
        what => return Effect::failed(format!("an object store holds no {what}")),
    };
    damage_all(store, what, how, fraction, seed).await.unwrap_or_else(Effect::failed)
}

async fn damage_all(
    store: &S3,
    what: Artifact,
    how: Damage,
    fraction: f64,
    seed: u64,
) -> Result<Effect, String> {
    let listed = store.list_all("", MOST).await.map_err(|e| e.to_string())?;
    let object = |name: &String| what != Artifact::Object || key_of(name).is_some();
    let all: Vec<String> = listed.into_iter().map(|o| o.key).filter(object).collect();
    if all.is_empty() {
        return Err(format!("no {what} is stored"));
    }
    let hit = chosen(&all, fraction, seed);
    let mut first = None;
    for (n, name) in hit.iter().enumerate() {
        let before = body(store, name).await?.ok_or_else(|| format!("object {name} is gone"))?;
        let bad = match how {
            Damage::Delete => None,
            Damage::Swap => Some(another(store, name, &before, &all).await?),
            how => Some(bent(&before, how, seed.wrapping_add(n as u64))?),
        };
        match &bad {
            Some(bad) => store.put(name, bad.clone()).await.map(drop),
            None => store.delete(name).await,
        }
        .map_err(|e| e.to_string())?;
        // What is served from now on is what counts.
        let after = body(store, name).await?;
        if after != bad || after.as_ref() == Some(&before) {
            return Ok(Effect::not_observed(format!("object {name} is served as if nothing had been done")));
        }
        first.get_or_insert_with(|| (short(&before), after.as_deref().map_or("gone".into(), short)));
    }
    let (before, after) = first.unwrap_or_default();
    let text = format!(
        "{} of {} objects through S3; {}: sha256 {before} before, {after} now",
        hit.len(),
        all.len(),
        hit.first().map_or("", String::as_str)
    );
    Ok(Effect::observed(text).with("objects_changed", hit.len()))
}

/// As many as the fraction says, at least one, in order.
fn chosen(all: &[String], fraction: f64, seed: u64) -> Vec<String> {
    let mut all = all.to_vec();
    let count = ((all.len() as f64 * fraction).ceil() as usize).clamp(1, all.len());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for i in 0..count {
        let left = all.len() - i;
        all.swap(i, i + (rng.next_u64() % left as u64) as usize);
    }
    all.truncate(count);
    all.sort();
    all
}

/// The bytes of a damaged object, which differ from those before.
fn bent(before: &[u8], how: Damage, seed: u64) -> Result<Vec<u8>, String> {
    if before.is_empty() {
        return Err("an empty object has nothing to damage".into());
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let bad: Vec<u8> = match how {
        Damage::Flip => before.iter().map(|b| b ^ (1 << (rng.next_u64() % 8))).collect(),
        Damage::Truncate => before[..before.len() / 2].to_vec(),
        Damage::Zero => vec![0; before.len().max(SECTOR)],
        how => return Err(format!("objects are not damaged by `{how}`")),
    };
    Ok(bad)
}

/// The next object whose bytes differ.
async fn another(store: &S3, name: &str, mine: &[u8], all: &[String]) -> Result<Vec<u8>, String> {
    let at = all.iter().position(|o| o == name).unwrap_or(0);
    for next in all[at..].iter().chain(&all[..at]).skip(1) {
        if let Some(bytes) = body(store, next).await?
            && bytes != mine
        {
            return Ok(bytes);
        }
    }
    Err(format!("there is no other object than {name}"))
}

async fn body(store: &S3, name: &str) -> Result<Option<Vec<u8>>, String> {
    store.get(name).await.map(|body| body.map(|b| b.to_vec())).map_err(|e| e.to_string())
}

fn short(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(6).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_many_objects_are_hit_as_the_fraction_says() {
        let all: Vec<String> = (0..11).map(crate::s3::name_of).collect();
        for (fraction, count) in [(0.5, 6), (1.0, 11), (0.001, 1)] {
            let hit = chosen(&all, fraction, 7);
            assert_eq!(hit.len(), count);
            assert!(hit.windows(2).all(|pair| pair[0] < pair[1]), "each once, in order");
            assert_eq!(hit, chosen(&all, fraction, 7));
        }
    }

    proptest! {
        #[test]
        fn damage_changes_bytes(before in proptest::collection::vec(1u8.., 1..2000), seed: u64) {
            for how in [Damage::Flip, Damage::Truncate, Damage::Zero] {
                prop_assert_ne!(bent(&before, how, seed).unwrap(), before.clone());
            }
            prop_assert!(bent(&[], Damage::Flip, seed).is_err());
        }
    }
}
