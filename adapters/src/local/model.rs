//! A model that is not the one the registry means: the bytes of another, stored as any user would store them.
//!
//! To the object store it is a write like others: its checksums are right, its change log has it, standbys follow.
//! Only who compares the bytes with the registry's checksum can tell.

use bytes::Bytes;
use harness::corpus::MODELS;
use harness::ports::Effect;
use sha2::{Digest as _, Sha256};

use crate::s3::{S3, name_of};

/// Which model is replaced, and by which.
fn chosen(seed: u64) -> (u64, u64) {
    let victim = seed % MODELS;
    (victim, (victim + 1 + seed / MODELS % (MODELS - 1)) % MODELS)
}

async fn read(s3: &S3, key: u64) -> Result<Bytes, String> {
    let body = s3.get(&name_of(key)).await.map_err(|e| e.to_string())?;
    body.ok_or_else(|| format!("model object {key} is not stored"))
}

fn short(body: &[u8]) -> String {
    Sha256::digest(body)[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replaces one model object by another one's bytes, and reads it back.
pub(crate) async fn swap(store: &S3, seed: u64) -> Effect {
    let (victim, donor) = chosen(seed);
    match try_swap(store, victim, donor).await {
        Ok(effect) => effect.with("files", name_of(victim)).with("files_changed", 1),
        Err(why) => Effect::failed(why),
    }
}

async fn try_swap(s3: &S3, victim: u64, donor: u64) -> Result<Effect, String> {
    let (before, other) = (read(s3, victim).await?, read(s3, donor).await?);
    if before == other {
        return Err(format!("model objects {victim} and {donor} are the same already"));
    }
    s3.put(&name_of(victim), other.clone()).await.map_err(|e| e.to_string())?;
    let after = read(s3, victim).await?;
    let (was, is) = (short(&before), short(&after));
    let text = format!("model object {victim}: sha256 {was} before, {is} now, the bytes of object {donor}");
    Ok(if after == other { Effect::observed(text) } else { Effect::not_observed(text) })
}

/// What is seen of a swap that was not made.
pub(crate) async fn look(store: &S3, seed: u64) -> Effect {
    let (victim, _) = chosen(seed);
    match read(store, victim).await {
        Ok(body) => Effect::not_observed(format!("model object {victim}: sha256 {} as before", short(&body))),
        Err(why) => Effect::failed(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_model_takes_its_place() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in (0..100).chain([u64::MAX]) {
            let (victim, donor) = chosen(seed);
            assert!(victim != donor && victim < MODELS && donor < MODELS, "{seed}");
            seen.insert((victim, donor));
        }
        assert_eq!(seen.len() as u64, MODELS * (MODELS - 1));
    }
}
